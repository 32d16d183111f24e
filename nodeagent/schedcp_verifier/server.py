"""The HTTP interface on a unix socket, as described in `schedcp_api.services`.

Thin: each handler parses, calls one function, returns. Only the socket's owner may connect.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Request
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

from schedcp_api.base import Noun
from schedcp_api.services import (
    ErrorReply,
    Kernels,
    PublicKeys,
    TokenReply,
    TokenRequest,
    Verification,
)
from schedcp_api.verdicts import VerificationRequest

from .errors import SigningRefused, UsageError, VerifierError
from .kernels import KernelShelf
from .keyring import pem_of
from .remembering import verdict_store
from .settings import Settings
from .signer import Signer
from .verifications import Verifications
from .verifying import Verifier

__all__ = ["Service", "application", "serve_on_socket"]

DigestInPath = Annotated[str, InPath(pattern=r"^sha256:[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Service:
    """What the handlers call."""

    verifications: Verifications
    signer: Signer
    clock: Callable[[], datetime]
    token_backdate_seconds: int

    def token(self, request: TokenRequest) -> TokenReply:
        """Return a token for a finished verification, or raise SigningRefused."""
        remembered = self.verifications.proven(request.verification)
        if remembered is None:
            raise SigningRefused(
                "Unknown",
                f"verification {request.verification} is not finished here, or the scheduler, the "
                "tools or the kernel are not what they were then; ask for it first",
            )
        return TokenReply(
            token=self.signer.token(
                remembered.verdict,
                remembered.request.contract,
                request.claims,
                now=self.clock(),
                backdate_seconds=self.token_backdate_seconds,
            )
        )


def application(service: Service) -> FastAPI:
    """Return the web application of a service."""
    app = FastAPI(title="schedcp-verifier", docs_url=None, redoc_url=None, openapi_url=None)
    _add_errors(app)

    @app.post("/v1/verifications", status_code=202)
    def request_verification(request: VerificationRequest) -> Response:
        return _reply(service.verifications.request(request), status=202)

    @app.get("/v1/verifications/{id_}")
    def read_verification(id_: DigestInPath) -> Response:
        found: Verification | None = service.verifications.find(id_)
        return _missing(f"verification {id_} is unknown here") if found is None else _reply(found)

    @app.get("/v1/objects/{digest}")
    def read_object(digest: DigestInPath) -> Response:
        data = service.verifications.store.object(digest)
        if data is None:
            return _missing(f"no object {digest} was built here")
        return Response(data, media_type="application/octet-stream")

    @app.post("/v1/tokens")
    def request_token(request: TokenRequest) -> Response:
        return _reply(service.token(request))

    @app.get("/v1/keys")
    def read_keys() -> Response:
        return _reply(PublicKeys(keys=tuple(map(pem_of, service.signer.public_keys()))))

    @app.get("/v1/kernels")
    def read_kernels() -> Response:
        bundles = service.verifications.shelf.bundles()
        return _reply(Kernels(kernels=tuple(bundle.profile for bundle in bundles)))

    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(SigningRefused)
    def refused(_: Request, error: SigningRefused) -> Response:
        return _error(409, error.reason, str(error))

    @app.exception_handler(UsageError)
    def misused(_: Request, error: UsageError) -> Response:
        return _error(422, "BadRequest", str(error))

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _error(422, "BadRequest", f"{where}: {first['msg']}")

    @app.exception_handler(VerifierError)
    def broken(_: Request, error: VerifierError) -> Response:
        return _error(503, type(error).__name__, str(error))


def _reply(noun: Noun, *, status: int = 200) -> Response:
    text = noun.model_dump_json(by_alias=True, exclude_none=True)
    return Response(text, status_code=status, media_type="application/json")


def _error(status: int, reason: str, message: str) -> Response:
    return _reply(ErrorReply(reason=reason[:256], message=message[:2048]), status=status)


def _missing(message: str) -> Response:
    return _error(404, "NotFound", message)


def serve_on_socket(settings: Settings, path: Path, kind: type[Verifier] = Verifier) -> None:
    """Serve on the unix socket `path` until SIGTERM or SIGINT; the socket is gone afterwards."""
    with ExitStack() as stack:
        pool = stack.enter_context(
            ThreadPoolExecutor(settings.max_running, thread_name_prefix="verification")
        )
        verifier = kind.from_settings(settings)
        signer = _signer(settings.state_dir.resolve())
        service = Service(
            Verifications(
                verifier,
                KernelShelf(settings.kernels_dir.resolve()),
                verdict_store(settings, signer),
                pool,
                signer.verdict,
            ),
            signer,
            lambda: datetime.now(UTC),
            settings.token_backdate_seconds,
        )
        service.verifications.shelf.bundles()
        stack.callback(verifier.guests.stopping.set)
        listener = stack.enter_context(_listen(path))
        stack.callback(path.unlink, missing_ok=True)
        config = uvicorn.Config(application(service), log_level="warning", access_log=False)
        _leave_signals_to_the_server()
        uvicorn.Server(config).run(sockets=[listener])


def _signer(folder: Path) -> Signer:
    try:
        return Signer.open(folder)
    except OSError as error:
        raise VerifierError(
            f"the signing key cannot be kept in {folder}: {error}; mount a folder there that can be"
            " written, or name another in SCHEDCP_VERIFIER_STATE_DIR"
        ) from error


def _leave_signals_to_the_server() -> None:
    """Make the server's own raising of a caught signal harmless: the clean-up comes after it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)


def _listen(path: Path) -> socket.socket:
    """Return a listening socket that only its owner can reach; a dead one's file is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise UsageError(f"somebody serves on {path} already")
        path.unlink()
    previous = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot listen on {path}: {error}") from error
    finally:
        os.umask(previous)
    return listener
