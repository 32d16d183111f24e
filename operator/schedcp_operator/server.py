"""The web application: blobs for agents, health for the kubelet, metrics for Prometheus."""

from collections.abc import Callable
from typing import Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import ClientDisconnect

from schedcp_api.base import digest_of
from schedcp_api.services import MAX_BLOB_BYTES, TOKEN_AUDIENCE, ErrorReply

from .errors import KubeUnavailable, Refused, StoreUnavailable
from .kube import TOKEN_REVIEWS, KubeApi
from .store import Store

__all__ = ["Authenticator", "TokenReviewer", "application"]


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
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_BLOB_BYTES:
                raise _Problem(413, "TooLarge", f"a blob has at most {MAX_BLOB_BYTES} bytes")
    except ClientDisconnect as err:
        raise _Problem(400, "Incomplete", f"the body ended after {len(data)} bytes") from err
    return bytes(data)
