"""The Execution Verifier, asked over its unix socket."""

import asyncio
from pathlib import Path
from typing import Protocol, TypeVar

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ValidationError

from schedcp_api.base import digest_of
from schedcp_api.services import (
    MAX_BLOB_BYTES,
    ErrorReply,
    PublicKeys,
    TokenReply,
    TokenRequest,
    Verification,
)
from schedcp_api.tokens import TokenClaims
from schedcp_api.verdicts import VerificationRequest

from .bodies import PLAIN, is_plain, read_body
from .errors import NotFound, Refused, SettingsError, VerifierUnavailable

_Reply = TypeVar("_Reply", bound=BaseModel)

__all__ = ["SocketVerifier", "Verifier", "public_keys"]


class Verifier(Protocol):
    """Whoever proves candidates and signs tokens."""

    async def start(self, request: VerificationRequest, claims: TokenClaims) -> Verification:
        """Start a verification; the same request again names the same one.

        `claims` are those of the token that will be asked for when the verdict is accepted.
        """

    async def status(self, verification: str) -> Verification:
        """Return how a verification stands; raise NotFound when it is not known."""

    async def fetch(self, digest: str) -> bytes:
        """Return the built object of that digest; raise NotFound."""

    async def sign(self, request: TokenRequest) -> str:
        """Return a token for an accepted verification; raise Refused when it is not."""

    async def keys(self) -> tuple[str, ...]:
        """Return the signer's public keys, PEM."""


def public_keys(pems: tuple[str, ...]) -> tuple[Ed25519PublicKey, ...]:
    """Return the keys of PEM texts; raise SettingsError for one that is not Ed25519."""
    keys: list[Ed25519PublicKey] = []
    for pem in pems:
        try:
            key = load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm) as err:
            raise SettingsError(f"a trusted key is not a PEM public key: {err}") from err
        if not isinstance(key, Ed25519PublicKey):
            raise SettingsError(f"a trusted key is {type(key).__name__}, not Ed25519")
        keys.append(key)
    return tuple(keys)


class SocketVerifier:
    """`schedcp-verifier serve` on a unix socket; no answer is longer than an object may be."""

    def __init__(
        self,
        socket: Path,
        *,
        timeout_seconds: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._socket = socket
        transport = transport or httpx.AsyncHTTPTransport(uds=str(socket))
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(
            transport=transport,
            base_url="http://verifier",
            timeout=timeout_seconds,
            headers=PLAIN,
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def start(
        self,
        request: VerificationRequest,
        claims: TokenClaims,  # noqa: ARG002
    ) -> Verification:
        """Start a verification; the same request again names the same one."""
        response = await self._ask("POST", "/v1/verifications", request)
        return _parsed(Verification, response)

    async def status(self, verification: str) -> Verification:
        """Return how a verification stands; raise NotFound when it is not known."""
        return _parsed(Verification, await self._ask("GET", f"/v1/verifications/{verification}"))

    async def fetch(self, digest: str) -> bytes:
        """Return the built object, checked against its digest."""
        data = await self._ask("GET", f"/v1/objects/{digest}")
        if digest_of(data) != digest:
            raise Refused(f"the verifier's object {digest} does not have that digest")
        return data

    async def sign(self, request: TokenRequest) -> str:
        """Return a token for an accepted verification; raise Refused when it is not."""
        return _parsed(TokenReply, await self._ask("POST", "/v1/tokens", request)).token

    async def keys(self) -> tuple[str, ...]:
        """Return the signer's public keys, PEM."""
        return _parsed(PublicKeys, await self._ask("GET", "/v1/keys")).keys

    async def _ask(self, method: str, path: str, body: BaseModel | None = None) -> bytes:
        content = body.model_dump_json(by_alias=True, exclude_none=True) if body else None
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._client.stream(method, path, content=content, headers=headers) as response,
            ):
                if not is_plain(response.headers):
                    raise VerifierUnavailable(
                        f"{self._socket}: a compressed answer was not asked for"
                    )
                data = await read_body(response.aiter_bytes(), limit=MAX_BLOB_BYTES)
        except httpx.HTTPError as err:
            raise VerifierUnavailable(
                f"{self._socket}: {type(err).__name__}: {err}; does the verifier run?"
            ) from err
        except TimeoutError as err:
            raise VerifierUnavailable(
                f"{self._socket}: no whole answer to {method} {path} within"
                f" {self._timeout_seconds:g} s; is the verifier overloaded?"
            ) from err
        if response.status_code == 404:
            raise NotFound(f"the verifier does not know {path}")
        if 400 <= response.status_code < 500:
            raise Refused(_reason(response.status_code, data))
        if response.status_code >= 500:
            raise VerifierUnavailable(_reason(response.status_code, data))
        if len(data) > MAX_BLOB_BYTES:
            raise Refused(
                f"the verifier's answer to {method} {path} is longer than {MAX_BLOB_BYTES} bytes,"
                " more than an object may be; do verifier and operator have the same version?"
            )
        return data


def _reason(status: int, data: bytes) -> str:
    try:
        reply = ErrorReply.model_validate_json(data)
    except ValidationError:
        return f"the verifier answered {status}: {data[:300].decode(errors='replace')}"
    return f"the verifier answered {reply.reason}: {reply.message}"


def _parsed(model: type[_Reply], data: bytes) -> _Reply:
    try:
        return model.model_validate_json(data)
    except ValidationError as err:
        raise VerifierUnavailable(f"the verifier's answer is no {model.__name__}: {err}") from err
