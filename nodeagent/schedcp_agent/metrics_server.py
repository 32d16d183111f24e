"""Serve the metrics over TLS. Certificates may be replaced on disk at any time.

Connections stay open between scrapes: a handshake a second would cost more than the metrics. They
are bounded, because everybody in the cluster reaches this port. Who has gone longest without an
answer makes room for a newcomer: a flood that says nothing keeps neither the kubelet nor Prometheus
out, who ask at once.
"""

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .errors import SettingsError
from .metrics import CONTENT_TYPE, Exporter

_LOG = logging.getLogger(__name__)
_LEAVING_SECONDS = 1.0
"""How long the thread of a connection that was ended may take to give its place back."""


@dataclass(frozen=True)
class Bounds:
    """What connections may take, whoever opens them."""

    connections: int = 32
    """Open at a time, each with a thread."""
    first_seconds: float = 15.0
    """To the end of the first answer, with the handshake: as long as the kubelet waits for it."""
    next_seconds: float = 60.0
    """From one answer to the end of the next: longer than from one scrape to another."""


_BOUNDS = Bounds()


class _Connections:
    """The open connections with their deadlines; who has gone longest without an answer first."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._places = threading.Semaphore(bounds.connections)
        self._deadlines: dict[socket.socket, float] = {}

    def admit(self, connection: socket.socket) -> bool:
        """Take a place for a new connection, of another's if need be; return whether there is one.

        Who took a place gives it back with `leave`.
        """
        if not self._places.acquire(blocking=False):
            with self._lock:
                if self._deadlines:
                    longest = next(iter(self._deadlines))
                    del self._deadlines[longest]
                    _end(longest)
            if not self._places.acquire(timeout=_LEAVING_SECONDS):
                return False
        with self._lock:
            self._deadlines[connection] = time.monotonic() + self._bounds.first_seconds
        return True

    def answered(self, connection: socket.socket) -> None:
        """Give a connection its time for the next request."""
        with self._lock:
            if self._deadlines.pop(connection, None) is not None:
                self._deadlines[connection] = time.monotonic() + self._bounds.next_seconds

    def forget(self, connection: socket.socket) -> None:
        """End a connection no more: it is about to be closed, and its descriptor another's."""
        with self._lock:
            self._deadlines.pop(connection, None)

    def leave(self) -> None:
        """Give a place back, when nothing is left of the connection."""
        self._places.release()

    def end_late(self) -> None:
        """End the connections whose time is over."""
        now = time.monotonic()
        with self._lock:
            for connection, deadline in self._deadlines.items():
                if deadline < now:
                    _end(connection)


def _end(connection: socket.socket) -> None:
    """Wake the thread that waits for a connection's peer; it finds the end, and closes it."""
    with contextlib.suppress(OSError):
        # TLS's own shutdown would take the session away from under that thread.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class Certificate:
    """The server's TLS context, made anew when the files change."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read the files; raise SettingsError when they cannot be used."""
        self._files = (certificate, key)
        self._stamp: tuple[int, ...] = ()
        try:
            self._context = self._load()
        except OSError as err:  # SSLError is one
            raise SettingsError(
                f"cannot serve with the certificate {certificate} and the key {key}: {err}; put a"
                " pair there, in PEM, or name others in SCHEDCP_AGENT_METRICS_CERTIFICATE_FILE and"
                " SCHEDCP_AGENT_METRICS_KEY_FILE"
            ) from err

    def current(self) -> ssl.SSLContext:
        """Return the context; the former one while new files cannot be read."""
        try:
            if self._stamps() != self._stamp:
                self._context = self._load()
        except OSError as err:
            _LOG.warning("the new certificate cannot be used, the old one stays: %s", err)
        return self._context

    def _load(self) -> ssl.SSLContext:
        stamp = self._stamps()  # First: its errors name the file that is missing.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files)
        self._stamp = stamp
        return context

    def _stamps(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns for path in self._files)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
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
        self.server.connections.answered(self.connection)


class MetricsServer(ThreadingHTTPServer):
    """HTTPS for Prometheus and the kubelet's probes, in threads of its own."""

    daemon_threads = True
    request_queue_size = 128
    """Of connections that are not accepted yet: a burst of others' must not crowd a probe out."""

    def __init__(
        self,
        address: tuple[str, int],
        exporter: Exporter,
        *,
        certificate: Certificate,
        healthy: Callable[[], bool],
        ready: Callable[[], bool],
        bounds: Bounds = _BOUNDS,
    ) -> None:
        self.exporter = exporter
        self.connections = _Connections(bounds)
        self._certificate = certificate
        self.healthy = healthy
        self.ready = ready
        try:
            super().__init__(address, _Handler)
        except OSError as err:
            raise SettingsError(
                f"cannot listen on port {address[1]} of {address[0]}: {err}; end what listens"
                " there, or choose others with SCHEDCP_AGENT_METRICS_BIND and"
                " SCHEDCP_AGENT_METRICS_PORT"
            ) from err
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
        wrapped = self._certificate.current().wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread for a connection, if there is a place for it."""
        if not self.connections.admit(request):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.connections.leave()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection in its own thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.leave()

    def close_request(self, request: Any) -> None:
        """Close a connection."""
        self.connections.forget(request)
        super().close_request(request)

    def service_actions(self) -> None:
        """End who took too long; called by the thread that accepts, twice a second at least."""
        self.connections.end_late()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A peer that hangs up or speaks no TLS is no news."""
        _LOG.debug("connection from %s failed", client_address, exc_info=True)
