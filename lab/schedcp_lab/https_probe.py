"""Asks a local HTTPS or HTTP server whether it is well, verifying who answers."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

__all__ = ["http_ok", "https_ok"]

PROBE_TIMEOUT_SECONDS = 5.0


def https_ok(
    port: int,
    path: str,
    *,
    authority_pem: str,
    host: str = "127.0.0.1",
    identity: tuple[Path, Path] | None = None,
) -> bool:
    """Say whether the server answers 200; a certificate not of the authority counts as no.

    `identity` is the client's certificate and key, where the server asks for them.
    """
    context = ssl.create_default_context(cadata=authority_pem)
    if identity is not None:
        context.load_cert_chain(*identity)
    connection = http.client.HTTPSConnection(
        host, port, timeout=PROBE_TIMEOUT_SECONDS, context=context
    )
    return _answers(connection, path)


def http_ok(port: int, path: str, *, host: str = "127.0.0.1") -> bool:
    """Say whether a server without TLS answers 200."""
    return _answers(http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_SECONDS), path)


def _answers(connection: http.client.HTTPConnection, path: str) -> bool:
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
