"""Serve the metrics over TLS. Certificates may be replaced on disk at any time.

Connections stay open between scrapes: a handshake a second would cost more than the metrics.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .metrics import CONTENT_TYPE, Exporter

_LOG = logging.getLogger(__name__)
_IDLE_SECONDS = 60.0


class _Certificate:
    """The server's TLS context, made anew when the files change."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._stamp: tuple[int, ...] = ()
        self._context = self._load()

    def current(self) -> ssl.SSLContext:
        """Return the context; the former one while new files cannot be read."""
        try:
            if self._stamps() != self._stamp:
                self._context = self._load()
        except (OSError, ssl.SSLError) as err:
            _LOG.warning("the new certificate cannot be used, the old one stays: %s", err)
        return self._context

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files)
        self._stamp = self._stamps()
        return context

    def _stamps(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns for path in self._files)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server: "MetricsServer"

    def do_GET(self) -> None:
        """Answer `/metrics` and the kubelet's probes."""
        if self.path == "/metrics":
            self._answer(200, self.server.exporter.render(), CONTENT_TYPE)
        elif self.path == "/healthz":
            alive = self.server.healthy()
            self._answer(200 if alive else 503, b"ok\n" if alive else b"the agent hangs\n")
        elif self.path == "/readyz":
            ready = self.server.ready()
            self._answer(200 if ready else 503, b"ok\n" if ready else b"nobody hears the agent\n")
        else:
            self._answer(404, b"there are /metrics, /healthz and /readyz\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""

    def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class MetricsServer(ThreadingHTTPServer):
    """HTTPS for Prometheus and the kubelet's probes, in threads of its own."""

    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        exporter: Exporter,
        *,
        certificate: Path,
        key: Path,
        healthy: Callable[[], bool],
        ready: Callable[[], bool],
    ) -> None:
        self.exporter = exporter
        self._certificate = _Certificate(certificate, key)
        self.healthy = healthy
        self.ready = ready
        super().__init__(address, _Handler)
        self._thread = threading.Thread(target=self.serve_forever, name="metrics", daemon=True)

    def start(self) -> None:
        """Start to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop to serve and close the port."""
        self.shutdown()
        self.server_close()

    @property
    def port(self) -> int:
        """Return the port, also when it was chosen by the system."""
        return int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept, and leave the handshake to the connection's own thread."""
        connection, address = super().get_request()
        connection.settimeout(_IDLE_SECONDS)
        wrapped = self._certificate.current().wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, address

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A peer that hangs up or speaks no TLS is no news."""
        _LOG.debug("connection from %s failed", client_address, exc_info=True)
