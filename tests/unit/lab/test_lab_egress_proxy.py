import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schedcp_lab.egress_proxy import parse_connect, read_routes, serve, write_routes

NODE = "10.76.0.1:10250"


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    path = tmp_path / "routes.json"
    write_routes(path, {})
    return path


@pytest.fixture
async def proxy(tmp_path: Path, routes: Path) -> AsyncIterator[Path]:
    socket = tmp_path / "egress.sock"
    async with await serve(socket, routes):
        yield socket


async def ask(proxy: Path, request: str) -> str:
    """The first line of the proxy's answer."""
    reader, writer = await asyncio.open_unix_connection(str(proxy))
    writer.write(request.encode())
    async with asyncio.timeout(30):
        answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer.decode().strip()


def connect(address: str) -> str:
    return f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n"


@pytest.mark.parametrize(
    ("request_text", "answer"),
    [
        (connect(NODE), "HTTP/1.1 403 Forbidden"),
        (connect("127.0.0.1:22"), "HTTP/1.1 403 Forbidden"),
        (connect("10.244.1.5:8443"), "HTTP/1.1 403 Forbidden"),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
        ("x" * 100_000, "HTTP/1.1 400 Bad Request"),
    ],
)
async def test_what_is_no_route_is_refused(proxy: Path, request_text: str, answer: str) -> None:
    assert await ask(proxy, request_text) == answer


async def test_a_route_carries_both_directions_and_may_come_later(
    proxy: Path, routes: Path
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as kubelet:
        port = kubelet.sockets[0].getsockname()[1]
        write_routes(routes, {NODE: f"127.0.0.1:{port}"})
        reader, writer = await asyncio.open_unix_connection(str(proxy))
        writer.write(connect(NODE).encode())
        async with asyncio.timeout(30):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\n\r\n"
            writer.write(b"through the proxy")
            writer.write_eof()
            assert await reader.read() == b"THROUGH THE PROXY"
        writer.close()
        await writer.wait_closed()


async def test_a_node_that_is_down_is_told_apart(proxy: Path, routes: Path) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    write_routes(routes, {NODE: f"127.0.0.1:{port}"})
    assert await ask(proxy, connect(NODE)) == "HTTP/1.1 502 Bad Gateway"


def test_a_route_never_leaves_loopback(routes: Path) -> None:
    write_routes(routes, {NODE: "192.0.2.1:10250"})
    with pytest.raises(ValueError, match="not loopback"):
        read_routes(routes)


def test_only_connect_is_understood() -> None:
    assert parse_connect(connect(NODE).encode()) == NODE
    assert parse_connect(b"POST /x HTTP/1.1\r\n\r\n") is None
