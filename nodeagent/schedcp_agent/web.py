"""HTTP over TLS with a bearer token from a file: the only module that imports httpx.

Certificates and tokens are rotated under a running agent: the token is read for every request, and
a connection that fails is made anew with the CA file as it is then.
"""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from .errors import RequestFailed

_MESSAGE_CHARS = 300


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

        def receive(client: httpx.Client) -> bytes:
            with client.stream(
                "GET", path, params=dict(params or {}), headers=self._headers()
            ) as response:
                _require_success(response)
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > limit:
                        raise RequestFailed(
                            f"GET {self._base_url}{path} is longer than {limit} bytes", status=413
                        )
                return bytes(body)

        return self._attempt(f"GET {path}", receive)

    def lines(
        self, path: str, *, params: Mapping[str, str], silence_seconds: float
    ) -> Iterator[bytes]:
        """Yield the lines of a long answer; raise RequestFailed when it is silent for too long."""
        timeout = httpx.Timeout(self._timeout, read=silence_seconds)
        try:
            with self._opened().stream(
                "GET", path, params=dict(params), headers=self._headers(), timeout=timeout
            ) as response:
                _require_success(response)
                for line in response.iter_lines():
                    yield line.encode()
        except (httpx.HTTPError, OSError) as err:
            self.close()
            raise RequestFailed(f"GET {self._base_url}{path}: {_said(err)}") from err

    def send(self, method: str, path: str, *, body: bytes, content_type: str) -> bytes:
        """Send `body` and return the answer; raise RequestFailed."""

        def exchange(client: httpx.Client) -> bytes:
            headers = {**self._headers(), "Content-Type": content_type}
            response = client.request(method, path, content=body, headers=headers)
            _require_success(response)
            return response.content

        return self._attempt(f"{method} {path}", exchange)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _attempt(self, what: str, action: Callable[[httpx.Client], bytes]) -> bytes:
        try:
            return action(self._opened())
        except (httpx.HTTPError, OSError) as err:
            self.close()
            raise RequestFailed(f"{what} at {self._base_url}: {_said(err)}") from err

    def _opened(self) -> httpx.Client:
        if not self._base_url:
            raise RequestFailed("no server is configured: set its URL in the agent's settings")
        if self._client is None:
            context = ssl.create_default_context(cafile=str(self._ca_file))
            # Many clusters' own authorities lack extensions that newer Pythons insist on.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            self._client = httpx.Client(
                base_url=self._base_url, verify=context, timeout=self._timeout, trust_env=False
            )
        return self._client

    def _headers(self) -> dict[str, str]:
        token = self._token_file.read_text().strip()
        return {"Authorization": f"Bearer {token}"}


def _require_success(response: httpx.Response) -> None:
    if response.is_success:
        return
    text = response.read().decode(errors="replace")[:4096]
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
