"""The API server's only way to the nodes: an HTTP CONNECT proxy on a unix socket.

Nodes live behind QEMU's user network, so their internal addresses mean nothing on the host. The
API server is told (egress selector) to dial everything in the cluster through this proxy, which
maps each kubelet's address to its forward on loopback and refuses everything else. The routes are
a JSON file, `{"10.76.0.1:10250": "127.0.76.1:21000"}`, read for every connection.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["main", "parse_connect", "read_routes", "serve", "write_routes"]

REQUEST_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 10.0
CHUNK_BYTES = 1 << 16
CONNECT = re.compile(rb"CONNECT (\S+) HTTP/1\.[01]\r\n")


def parse_connect(request: bytes) -> str | None:
    """Return the HOST:PORT of a CONNECT request, or None when it is something else."""
    found = CONNECT.match(request)
    return None if found is None else found.group(1).decode(errors="replace")


def read_routes(path: Path) -> dict[str, str]:
    """Return the routes in a file. Raise ValueError for a target that is not on loopback."""
    routes = json.loads(path.read_text())
    for node, target in routes.items():
        host = str(target).rpartition(":")[0]
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"{path}: the route of {node} leads to {target}, not loopback")
    return {str(node): str(target) for node, target in routes.items()}


def write_routes(path: Path, routes: Mapping[str, str]) -> None:
    """Replace the routes in one step."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(dict(routes), indent=1))
    fresh.replace(path)


async def serve(socket: Path, routes: Path) -> asyncio.Server:
    """Listen on a unix socket that only its owner may use."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, TimeoutError):
            await _handle(reader, writer, routes)

    old = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(handle, path=str(socket))
    finally:
        os.umask(old)


async def _handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, routes: Path) -> None:
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
            request = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        await _answer(writer, "400 Bad Request")
        return
    wanted = parse_connect(request)
    if wanted is None:
        await _answer(writer, "405 Method Not Allowed")
        return
    target = read_routes(routes).get(wanted)
    if target is None:
        await _answer(writer, "403 Forbidden")
        return
    host, _, port = target.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        await _answer(writer, "502 Bad Gateway")
        return
    with contextlib.closing(far_writer):
        await _answer(writer, "200 OK")
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(reader, far_writer))
            both.create_task(_pump(far_reader, writer))


async def _answer(writer: asyncio.StreamWriter, status: str) -> None:
    writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
    await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction to its end, then tell the other side that no more will come."""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _run(socket: Path, routes: Path) -> None:
    async with await serve(socket, routes) as server:
        await server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="egress-proxy", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--routes", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.socket.unlink(missing_ok=True)
    read_routes(options.routes)
    asyncio.run(_run(options.socket, options.routes))


if __name__ == "__main__":
    main()
