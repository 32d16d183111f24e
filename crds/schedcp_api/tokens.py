"""Deployment tokens: what the verifier's signer signs and every agent checks.

A token is two base64url parts joined by a dot: the canonical JSON of the claims, and an Ed25519
signature over a fixed prefix and that JSON. Changing any claim breaks the signature.
"""

from datetime import datetime
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, ValidationError, model_validator

from .base import (
    Digest,
    Noun,
    ObjectName,
    SchedulerName,
    ShortText,
    Timestamp,
    canonical_json,
)
from .candidates import Argument, CommandLine
from .signatures import SignatureError, decode, encode, key_id_of, signed_by
from .verdicts import ContractLoss

_PREFIX = b"schedcp.io/deployment-token/v1\n"
MAX_TOKEN_CHARS = 131_072
"""Enough for as many nodes as a token may name, with names as long as Kubernetes allows."""

KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class TokenError(SignatureError):
    """A token that must not be acted on; the message says which claim or check failed."""


class DeploymentToken(Noun):
    """The claims: this object, with these arguments, on this kernel, on these nodes, until then."""

    object_digest: Digest
    """Of what was proven: the built object, or the program."""
    source_digest: Digest | None = None
    program_digest: Digest | None = None
    """The object's digest once more where it is a program, which is run and not loaded."""
    candidate_digest: Digest
    scheduler: SchedulerName
    ops_name: ShortText
    arguments: Annotated[tuple[Argument, ...], Field(max_length=32)] = ()
    command_line: CommandLine = ()
    timeout_ms: int = Field(ge=1000, le=30_000)
    kernel_digest: Digest
    contract_digest: Digest
    evidence_digest: Digest
    contract_losses: Annotated[tuple[ContractLoss, ...], Field(max_length=8)] = ()
    guarded_losses: Annotated[tuple[ContractLoss, ...], Field(max_length=8)] = ()
    """Those of them that nobody waived: an agent refuses once a pod asks for one."""
    scope: Annotated[str, Field(pattern=r"^(Node|Workload)$")] = "Node"
    unit: ShortText = "root"
    run: ObjectName
    nodes: Annotated[tuple[ObjectName, ...], Field(min_length=1, max_length=256)]
    not_before: Timestamp
    expires_at: Timestamp
    nonce: Nonce
    key_id: ShortText

    @model_validator(mode="after")
    def _a_program_is_what_was_proven(self) -> "DeploymentToken":
        if self.program_digest not in (None, self.object_digest):
            raise ValueError("a token for a program has its digest twice, and these are two")
        return self


class Revocations(Noun):
    """What no longer counts, though it was signed once; a key, one token, or an object."""

    key_ids: Annotated[tuple[KeyId, ...], Field(max_length=64)] = ()
    nonces: Annotated[tuple[Nonce, ...], Field(max_length=2048)] = ()
    """Of single tokens."""
    object_digests: Annotated[tuple[Digest, ...], Field(max_length=2048)] = ()
    """Of built schedulers, whoever signs for them."""

    def merged(self, more: "Revocations") -> "Revocations":
        """Return both, each entry once and in order; nothing is ever taken back."""
        return Revocations(
            key_ids=_union(self.key_ids, more.key_ids),
            nonces=_union(self.nonces, more.nonces),
            object_digests=_union(self.object_digests, more.object_digests),
        )

    def refusal(self, token: DeploymentToken) -> str:
        """Return why `token` no longer counts; empty when it does."""
        if token.key_id in self.key_ids:
            return f"the key {token.key_id} that signed the token is revoked"
        if token.nonce in self.nonces:
            return f"the token {token.nonce} is revoked"
        if token.object_digest in self.object_digests:
            return f"the object {token.object_digest} is revoked"
        return ""


NOTHING_REVOKED = Revocations()


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*first, *second}))


class TokenClaims(Noun):
    """What the operator asks a token for; everything else comes from the verdict."""

    run: ObjectName
    nodes: Annotated[tuple[ObjectName, ...], Field(min_length=1, max_length=256)]
    unit: ShortText = "root"
    validity_seconds: int = Field(default=86_400, ge=60, le=2_592_000)


def sign(token: DeploymentToken, key: Ed25519PrivateKey) -> str:
    """Return the signed form of `token`, whose `key_id` must be that of `key`."""
    if token.key_id != key_id_of(key.public_key()):
        raise TokenError("WrongKey", f"token names key {token.key_id}, which is not the signer's")
    payload = canonical_json(token.to_json())
    return f"{encode(payload)}.{encode(key.sign(_PREFIX + payload))}"


def check(
    text: str,
    keys: tuple[Ed25519PublicKey, ...],
    *,
    node: str,
    kernel_digest: str,
    now: datetime,
    revoked: Revocations = NOTHING_REVOKED,
) -> DeploymentToken:
    """Return the claims of a token that holds here and now, or raise `TokenError`."""
    token = open_signed(text, keys)
    refusal = revoked.refusal(token)
    if refusal:
        raise TokenError("Revoked", refusal)
    if now < token.not_before:
        raise TokenError("NotYetValid", f"the token is valid from {token.not_before}, now is {now}")
    if now >= token.expires_at:
        raise TokenError("Expired", f"the token expired at {token.expires_at}, now is {now}")
    if node not in token.nodes:
        raise TokenError(
            "WrongNode", f"the token is for nodes {', '.join(token.nodes)}, not {node}"
        )
    if kernel_digest != token.kernel_digest:
        raise TokenError(
            "WrongKernel",
            f"the token was proven on kernel {token.kernel_digest}, this node runs {kernel_digest}",
        )
    return token


def open_signed(text: str, keys: tuple[Ed25519PublicKey, ...]) -> DeploymentToken:
    """Return the claims if one of `keys` signed them; times and places are not looked at."""
    if len(text) > MAX_TOKEN_CHARS:
        raise TokenError(
            "Malformed", f"the token has {len(text)} characters; the most is {MAX_TOKEN_CHARS}"
        )
    payload_text, dot, signature_text = text.partition(".")
    if not dot:
        raise TokenError("Malformed", "the token is not two base64url parts joined by a dot")
    payload, signature = _decoded(payload_text), _decoded(signature_text)
    signer = next((key for key in keys if signed_by(key, _PREFIX + payload, signature)), None)
    if signer is None:
        known = ", ".join(key_id_of(key) for key in keys) or "none"
        raise TokenError("BadSignature", f"no trusted key signed this token; trusted: {known}")
    try:
        token = DeploymentToken.model_validate_json(payload)
    except ValidationError as err:
        raise TokenError("Malformed", f"signed claims do not fit: {err}") from err
    if token.key_id != key_id_of(signer):
        # Otherwise a revoked key could sign under the name of one that is not.
        raise TokenError("WrongKey", f"the token names key {token.key_id}, another one signed it")
    return token


def _decoded(text: str) -> bytes:
    try:
        return decode(text)
    except ValueError as err:
        raise TokenError("Malformed", f"a part of the token is {err}") from err
