"""Clients that connect to a server and do not do what it waits for."""

import contextlib
import socket
import ssl

from schedcp_lab.certificates import Authority

from .api_server import wait_for

DEADLINE_SECONDS = 30.0
_LOOK_SECONDS = 0.02


def connected(port: int) -> socket.socket:
    """Connect, and say nothing."""
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)


def secured(port: int, trusted: Authority) -> ssl.SSLSocket:
    """Connect and shake hands, and ask nothing."""
    context = ssl.create_default_context(cadata=trusted.pem)
    return context.wrap_socket(connected(port), server_hostname="127.0.0.1")


def ended(connection: socket.socket) -> bool:
    """Return whether the server closed the connection; what it says before is passed over."""
    connection.settimeout(_LOOK_SECONDS)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def trickled(connection: socket.socket, data: bytes) -> None:
    """Send `data`, and then a byte now and then until the server closes the connection."""
    connection.sendall(data)

    def closed_after_a_byte() -> bool:
        with contextlib.suppress(OSError):
            connection.sendall(b"a")
        return ended(connection)

    wait_for(closed_after_a_byte, what="the server ends it", timeout_seconds=DEADLINE_SECONDS)
