"""Serve over TLS, in bounds that hold before anybody has said who they are.

uvicorn bounds neither how many connections are open nor how long one may take to ask. So they are
accepted here and handed to it: at most so many, and each with a deadline for its handshake, and for
every request with its answer. Who has gone longest without an answer makes room for a newcomer:
a flood of connections that say nothing shuts nobody out who asks at once.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from .errors import SettingsError

__all__ = ["Bounds", "Certificate", "serve"]

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.1
"""After a connection that could not be accepted, for instance for want of descriptors."""


@dataclass(frozen=True)
class Bounds:
    """What connections may take, whoever opens them."""

    connections: int = 256
    """Open at a time. Each has some 300 KiB of buffers, mostly TLS's."""
    handshake_seconds: float = 10.0
    exchange_seconds: float = 30.0
    """From the handshake, or the answer before, to the end of the next answer."""


_BOUNDS = Bounds()


class _Server(uvicorn.Server):
    """A server that leaves the process' signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Certificate:
    """The server's TLS context, made anew when the files change."""

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        """Read the files; raise SettingsError when they cannot be used."""
        self._files = (cert_file, key_file)
        try:
            self._seen = self._stamp()
            self.context = self._load()
        except OSError as err:  # SSLError is one
            raise SettingsError(
                f"cannot serve with the certificate {cert_file} and the key {key_file}: {err}; put"
                " a pair there, in PEM, or name others in SCHEDCP_OPERATOR_TLS_CERT_FILE and"
                " SCHEDCP_OPERATOR_TLS_KEY_FILE"
            ) from err

    async def follow(self, *, every_seconds: float) -> None:
        """Take a renewed certificate up, until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            try:
                now = self._stamp()
                if now != self._seen:
                    # Into a context of its own: a pair that does not fit spoils what it is put in.
                    self.context = self._load()
                    self._seen = now
            except OSError as err:  # SSLError is one
                # A rotation is two writes: between them the pair does not fit; it is tried again.
                _log.warning("the new certificate is not used yet: %s", err)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self._files)
        return context

    def _stamp(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns for path in self._files)


class _Connection(H11Protocol):
    """uvicorn's protocol, which also says when it answered and when the connection is lost."""

    def __init__(self, server: uvicorn.Server) -> None:
        super().__init__(server.config, server.server_state, app_state={})
        self.lost = False
        self.moved = asyncio.Event()
        """Set by every answer, and by the end."""

    def on_response_complete(self) -> None:
        self.moved.set()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.moved.set()
        super().connection_lost(exc)


class _Connections:
    """The open connections, each held by a task."""

    def __init__(self, server: uvicorn.Server, certificate: Certificate, bounds: Bounds) -> None:
        self._server = server
        self._certificate = certificate
        self._bounds = bounds
        self._held: dict[asyncio.Task[None], None] = {}
        """Who has gone longest without an answer comes first."""

    async def accept(self, listener: socket.socket) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as err:
                _log.warning("cannot accept a connection: %s", err)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if len(self._held) >= self._bounds.connections:
                first = next(iter(self._held))
                del self._held[first]
                first.cancel()
            holder = loop.create_task(self._hold(connection), name="connection")
            self._held[holder] = None
            holder.add_done_callback(lambda ended: self._held.pop(ended, None))
            # Where many wait, accepting never does: everything else has its turn, and the holder
            # begins, without which it would not close what it holds.
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Close what is open."""
        held = list(self._held)
        for holder in held:
            holder.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    async def _hold(self, connection: socket.socket) -> None:
        """Serve a connection until it is lost, or a deadline passes."""
        bounds = self._bounds
        try:
            async with asyncio.timeout(bounds.handshake_seconds):
                _, protocol = await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: _Connection(self._server), connection, ssl=self._certificate.context
                )
            while not protocol.lost:
                async with asyncio.timeout(bounds.exchange_seconds):
                    await protocol.moved.wait()
                protocol.moved.clear()
                self._put_last(asyncio.current_task())
        except OSError as err:  # TimeoutError and SSLError are, too
            _log.debug("a connection failed: %r", err)
        finally:
            # Below the transport, which in some states can be neither closed nor aborted: it finds
            # the end when it reads or writes.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _put_last(self, holder: asyncio.Task[None] | None) -> None:
        if holder in self._held:
            self._held[holder] = self._held.pop(holder)


async def serve(
    app: FastAPI,
    *,
    host: str,
    port: int,
    certificate: Certificate,
    reload_seconds: float = 30.0,
    bounds: Bounds = _BOUNDS,
) -> None:
    """Serve over TLS until cancelled; a renewed certificate is taken up within `reload_seconds`."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=3,
    )
    server = _Server(config)
    connections = _Connections(server, certificate, bounds)
    with _listening(host, port, backlog=config.backlog) as listener:
        accepting = asyncio.create_task(connections.accept(listener))
        reloading = asyncio.create_task(certificate.follow(every_seconds=reload_seconds))
        serving = asyncio.create_task(server.serve(sockets=[]))
        try:
            done, _ = await asyncio.wait((accepting, serving), return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            accepting.cancel()
            reloading.cancel()
            # Cancelled outright, uvicorn would not let requests come to their end.
            server.should_exit = True
            await serving
            await connections.close()


def _listening(host: str, port: int, *, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as err:
        raise SettingsError(
            f"cannot listen on port {port} of {host}: {err}; end what listens there, or choose"
            " others with SCHEDCP_OPERATOR_HTTP_HOST and SCHEDCP_OPERATOR_HTTP_PORT"
        ) from err
    listener.setblocking(False)
    return listener
