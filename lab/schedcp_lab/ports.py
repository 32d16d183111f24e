"""Free TCP ports on loopback, chosen at random so that two labs can live side by side."""

from __future__ import annotations

import random
import socket

from schedcp_lab.errors import NotReady

__all__ = ["free_ports"]

FIRST, LAST = 20000, 31999
"""Below the range from which the kernel picks ports for outgoing connections."""

ATTEMPTS_PER_PORT = 50


def free_ports(
    count: int, *, address: str = "127.0.0.1", source: random.Random | None = None
) -> list[int]:
    """Return `count` different ports on which nothing listens at `address`."""
    generator = random.SystemRandom() if source is None else source
    ports: list[int] = []
    for _attempt in range(ATTEMPTS_PER_PORT * count):
        port = generator.randint(FIRST, LAST)
        if port not in ports and _is_free(address, port):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise NotReady(
        f"found only {len(ports)} of {count} free ports between {FIRST} and {LAST} on {address}; "
        "end what listens there"
    )


def _is_free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
