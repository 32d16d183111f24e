"""HTTP over TLS with a bearer token from a file: the only module that imports httpx.

Certificates and tokens are rotated under a running agent: the token is read for every request, and
a connection that fails is made anew with the CA file as it is then.
"""

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from .errors import RequestFailed

_MESSAGE_CHARS = 300
_ANSWER_LIMIT = 4 * 1024 * 1024
_LINE_LIMIT = 4 * 1024 * 1024
_TOTAL_PART = 4.0
_KEPT_SECONDS = 60.0
"""How long an idle connection is kept: longer than from one heartbeat to the next, because a TLS
handshake costs more than all that is sent."""


class Web:
    """One server. Not for use by several threads at once."""

    def __init__(
        self, base_url: str, *, ca_file: Path, token_file: Path, timeout_seconds: float
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._ca_file = ca_file
        self._token_file = token_file
        self._timeout = timeout_seconds
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, path: str, *, limit: int, params: Mapping[str, str] | None = None) -> bytes:
        """Return the body, at most `limit` bytes of it; raise RequestFailed."""
        return self._exchange("GET", path, limit=limit, params=dict(params or {}))

    def lines(
        self, path: str, *, params: Mapping[str, str], silence_seconds: float
    ) -> Iterator[bytes]:
        """Yield the lines of a long answer; raise RequestFailed when it is silent for too long."""
        timeout = httpx.Timeout(self._timeout, read=silence_seconds)
        try:
            with self._opened().stream(
                "GET", path, params=dict(params), headers=self._headers(), timeout=timeout
            ) as response:
                _require_success(response, until=time.monotonic() + self._total_seconds)
                yield from _lines(response)
        except (httpx.HTTPError, OSError) as err:
            self.close()
            raise RequestFailed(f"GET {self._base_url}{path}: {_said(err)}") from err

    def send(self, method: str, path: str, *, body: bytes, content_type: str) -> bytes:
        """Send `body` and return the answer; raise RequestFailed."""
        return self._exchange(
            method, path, limit=_ANSWER_LIMIT, content=body, content_type=content_type
        )

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def _total_seconds(self) -> float:
        """For how long one answer may take as a whole, however steadily it trickles."""
        return _TOTAL_PART * self._timeout

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        limit: int,
        params: dict[str, str] | None = None,
        content: bytes | None = None,
        content_type: str | None = None,
    ) -> bytes:
        until = time.monotonic() + self._total_seconds
        try:
            headers = self._headers() | ({"Content-Type": content_type} if content_type else {})
            with self._opened().stream(
                method, path, params=params, content=content, headers=headers
            ) as response:
                _require_success(response, until=until)
                return _body(response, limit=limit, until=until)
        except (httpx.HTTPError, OSError) as err:
            self.close()
            raise RequestFailed(f"{method} {path} at {self._base_url}: {_said(err)}") from err

    def _opened(self) -> httpx.Client:
        if not self._base_url:
            raise RequestFailed("no server is configured: set its URL in the agent's settings")
        if self._client is None:
            context = ssl.create_default_context(cafile=str(self._ca_file))
            # Many clusters' own authorities lack extensions that newer Pythons insist on.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            self._client = httpx.Client(
                base_url=self._base_url,
                verify=context,
                timeout=self._timeout,
                limits=httpx.Limits(keepalive_expiry=_KEPT_SECONDS),
                trust_env=False,
            )
        return self._client

    def _headers(self) -> dict[str, str]:
        token = self._token_file.read_text().strip()
        # What is not compressed cannot grow without bounds here.
        return {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}


def _body(response: httpx.Response, *, limit: int, until: float) -> bytes:
    """Return the body; raise RequestFailed when it is too long, or takes too long."""
    what = f"{response.request.method} {response.request.url.path}"
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > limit:
            raise RequestFailed(f"{what}: the answer is longer than {limit} bytes", status=413)
        if time.monotonic() > until:
            raise RequestFailed(f"{what}: the answer takes too long")
    return bytes(body)


def _lines(response: httpx.Response) -> Iterator[bytes]:
    rest = b""
    for chunk in response.iter_raw():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
        if len(rest) > _LINE_LIMIT:
            raise RequestFailed(f"a line is longer than {_LINE_LIMIT} bytes", status=413)
    if rest:
        yield rest


def _require_success(response: httpx.Response, *, until: float) -> None:
    if response.is_success:
        return
    text = _body(response, limit=_ANSWER_LIMIT, until=until).decode(errors="replace")
    message = text
    try:
        reply: Any = json.loads(text)
        message = str(reply.get("message", text)) if isinstance(reply, dict) else text
    except ValueError:
        message = text
    raise RequestFailed(
        f"{response.request.method} {response.request.url.path}: "
        f"status {response.status_code}: {message[:_MESSAGE_CHARS]}",
        status=response.status_code,
    )


def _said(err: Exception) -> str:
    return f"{type(err).__name__}: {err}"[:_MESSAGE_CHARS]
