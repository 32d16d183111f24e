"""HTTP over TLS: blobs for the agents, health for the kubelet, metrics for Prometheus."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from schedcp_api.base import digest_of
from schedcp_api.services import MAX_BLOB_BYTES, TOKEN_AUDIENCE, ErrorReply

from .errors import KubeUnavailable, Refused, StoreUnavailable
from .kube import TOKEN_REVIEWS, KubeApi
from .store import Store

__all__ = ["Authenticator", "TokenReviewer", "application", "serve"]

_log = logging.getLogger(__name__)


class Authenticator(Protocol):
    """Who can tell whose token it is."""

    async def user_of(self, token: str) -> str | None:
        """Return the user's name, or None for a token that does not hold."""


class TokenReviewer:
    """The API server, asked with a TokenReview for our audience."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube

    async def user_of(self, token: str) -> str | None:
        """Return the user's name, or None for a token that does not hold."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [TOKEN_AUDIENCE]},
        }
        status = (await self._kube.create(TOKEN_REVIEWS, body)).get("status") or {}
        if not status.get("authenticated") or TOKEN_AUDIENCE not in (status.get("audiences") or []):
            return None
        return (status.get("user") or {}).get("username")


def application(
    store: Store,
    authenticator: Authenticator,
    *,
    agent: str,
    registry: CollectorRegistry,
    not_ready: Callable[[], str],
) -> FastAPI:
    """Return the application; `agent` is the user that may read and write blobs."""
    app = FastAPI(title="schedcp operator", openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response("ok\n", media_type="text/plain")

    @app.get("/readyz")
    async def readyz() -> Response:
        problem = not_ready()
        status = 503 if problem else 200
        return Response(f"{problem or 'ok'}\n", status_code=status, media_type="text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/blobs/{digest}")
    async def get_blob(digest: str, request: Request) -> Response:
        await _admit(request, authenticator, agent)
        data = await store.get_blob(digest)
        if data is None:
            raise _Problem(404, "NotFound", f"there is no blob {digest}")
        return Response(data, media_type="application/octet-stream")

    @app.put("/v1/blobs/{digest}")
    async def put_blob(digest: str, request: Request) -> Response:
        await _admit(request, authenticator, agent)
        data = await _body(request)
        if digest_of(data) != digest:
            message = f"the {len(data)} bytes have digest {digest_of(data)}, not {digest}"
            raise _Problem(422, "WrongDigest", message)
        await store.put_blob(data)
        return Response(status_code=204)

    _add_errors(app)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(_Problem)
    async def problem(_request: Request, err: _Problem) -> JSONResponse:
        return _reply(err.status, err.reason, str(err))

    @app.exception_handler(StoreUnavailable)
    async def unavailable(_request: Request, err: StoreUnavailable) -> JSONResponse:
        return _reply(503, "StoreUnavailable", str(err))


class _Problem(Exception):
    """A request that is answered with a reason."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


def _reply(status: int, reason: str, message: str) -> JSONResponse:
    body = ErrorReply(reason=reason, message=message[:2048])
    return JSONResponse(body.to_json(), status_code=status)


async def _admit(request: Request, authenticator: Authenticator, agent: str) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _Problem(401, "NoToken", f"send a bearer token for audience {TOKEN_AUDIENCE}")
    try:
        user = await authenticator.user_of(token.strip())
    except (KubeUnavailable, Refused) as err:
        raise _Problem(503, "CannotAuthenticate", str(err)) from err
    if user is None:
        raise _Problem(401, "BadToken", f"the token does not hold for audience {TOKEN_AUDIENCE}")
    if user != agent:
        raise _Problem(403, "WrongUser", f"{user} may not use blobs, only {agent}")


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BLOB_BYTES:
            raise _Problem(413, "TooLarge", f"a blob has at most {MAX_BLOB_BYTES} bytes")
    return bytes(data)


class _Server(uvicorn.Server):
    """A server that leaves the process' signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: FastAPI,
    *,
    host: str,
    port: int,
    cert_file: Path,
    key_file: Path,
    reload_seconds: float = 30.0,
) -> None:
    """Serve over TLS until cancelled; a renewed certificate is taken up within `reload_seconds`."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        ssl_certfile=cert_file,
        ssl_keyfile=key_file,
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=3,
    )
    config.load()
    server = _Server(config)
    reloading = asyncio.create_task(
        _reload(config, cert_file, key_file, every_seconds=reload_seconds)
    )
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.shield(serving)
    finally:
        reloading.cancel()
        # Cancelled outright, uvicorn would leave its sockets open.
        server.should_exit = True
        await serving


async def _reload(
    config: uvicorn.Config, cert_file: Path, key_file: Path, *, every_seconds: float
) -> None:
    def stamp() -> tuple[float, float]:
        return os.stat(cert_file).st_mtime, os.stat(key_file).st_mtime  # noqa: PTH116

    seen = stamp()
    while True:
        await asyncio.sleep(every_seconds)
        try:
            now = stamp()
            if now != seen and config.ssl is not None:
                config.ssl.load_cert_chain(cert_file, key_file)
                seen = now
        except OSError as err:  # SSLError is one
            # A rotation is two writes: between them the pair does not fit. It is looked at again.
            _log.warning("the new certificate is not used yet: %s", err)
