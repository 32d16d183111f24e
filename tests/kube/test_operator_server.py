"""The operator's server: renewed certificates, and connections that nobody speaks on."""

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from schedcp_api.base import digest_of
from schedcp_lab.certificates import Authority
from schedcp_lab.ports import free_ports
from schedcp_operator.errors import SettingsError
from schedcp_operator.server import application
from schedcp_operator.serving import Bounds, Certificate, serve
from support.api_server import wait_for
from support.certificates import issue
from support.connections import connected, ended, secured, trickled
from support.operator_doubles import MemoryStore

NAME = "schedcp-operator"
RELOAD_SECONDS = 0.05
DEADLINE_SECONDS = 30.0
NOT_FOUND = 404
BOUND = 4
SHORT_SECONDS = 3.0
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Anybody:
    """Takes everybody for the agent."""

    async def user_of(self, token: str) -> str | None:
        """The user."""
        return NAME


def status(port: int, trusted: Authority) -> int:
    """Ask the server over a new connection; 0 when there is none, or it is not to be trusted."""
    context = ssl.create_default_context(cadata=trusted.pem)
    try:
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.get(f"https://127.0.0.1:{port}/").status_code
    except httpx.TransportError:
        return 0


def rotate(folder: Path, port: int, first: Authority, log: pytest.LogCaptureFixture) -> None:
    """Renew the certificate in two writes, and look at each step what the server shows."""
    wait_for(lambda: status(port, first), what="the server answers")
    renewed = folder / "renewed"
    renewed.mkdir()
    second = issue(renewed, NAME)
    # Half of a rotation: the pair does not fit, and the old one goes on.
    shutil.copyfile(renewed / "tls.crt", folder / "tls.crt")
    wait_for(lambda: "is not used yet" in log.text, what="the half is looked at")
    assert status(port, first) == NOT_FOUND
    shutil.copyfile(renewed / "tls.key", folder / "tls.key")
    wait_for(lambda: status(port, second), what="the new certificate is taken up")
    assert status(port, first) == 0


@contextlib.asynccontextmanager
async def serving(folder: Path, app: FastAPI, **options: Any) -> AsyncIterator[int]:
    """Serve `app` with the certificate in `folder`; yield the port."""
    (port,) = free_ports(1)
    task = asyncio.create_task(
        serve(
            app,
            host="127.0.0.1",
            port=port,
            certificate=Certificate(folder / "tls.crt", folder / "tls.key"),
            **options,
        )
    )
    try:
        yield port
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=DEADLINE_SECONDS)
    assert task.done()


async def test_a_renewed_certificate_is_taken_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = issue(tmp_path, NAME)
    async with serving(tmp_path, FastAPI(), reload_seconds=RELOAD_SECONDS) as port:
        await asyncio.to_thread(rotate, tmp_path, port, first, caplog)


async def test_a_flood_shuts_nobody_out(tmp_path: Path) -> None:
    trusted = issue(tmp_path, NAME)
    bounds = Bounds(connections=BOUND, handshake_seconds=3600, exchange_seconds=3600)

    def flood(port: int) -> None:
        wait_for(lambda: status(port, trusted), what="the server answers")
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(connected(port)) for _ in range(4 * BOUND)]
            idle += [stack.enter_context(secured(port, trusted)) for _ in range(4 * BOUND)]
            wait_for(
                lambda: sum(not ended(each) for each in idle) <= BOUND,
                what="no more than the bound stay open",
                timeout_seconds=DEADLINE_SECONDS,
            )
            assert sum(not ended(each) for each in idle) == BOUND
            wait_for(lambda: status(port, trusted) == NOT_FOUND, what="others are answered")

    async with serving(tmp_path, FastAPI(), bounds=bounds) as port:
        await asyncio.to_thread(flood, port)


async def test_who_was_answered_last_stays(tmp_path: Path) -> None:
    trusted = issue(tmp_path, NAME)
    bounds = Bounds(connections=2, handshake_seconds=3600, exchange_seconds=3600)

    def crowd(port: int) -> None:
        wait_for(lambda: status(port, trusted), what="the server answers")
        with secured(port, trusted) as asking, secured(port, trusted) as silent:
            asking.sendall(REQUEST)
            assert asking.recv(65536).startswith(b"HTTP/1.1 404")
            with secured(port, trusted) as newcomer:
                wait_for(lambda: ended(silent), what="the silent one made room")
                assert not ended(newcomer)
                assert not ended(asking)

    async with serving(tmp_path, FastAPI(), bounds=bounds) as port:
        await asyncio.to_thread(crowd, port)


async def test_who_never_asks_is_let_go(tmp_path: Path) -> None:
    trusted = issue(tmp_path, NAME)
    bounds = Bounds(handshake_seconds=SHORT_SECONDS, exchange_seconds=SHORT_SECONDS)

    def silent(port: int) -> None:
        wait_for(lambda: status(port, trusted), what="the server answers")
        with connected(port) as mute, secured(port, trusted) as shy:
            wait_for(lambda: ended(mute), what="the one without a handshake is closed")
            wait_for(lambda: ended(shy), what="the one without a request is closed")
        with secured(port, trusted) as slow:
            trickled(slow, b"GET / HTTP/1.1\r\nX: ")
        wait_for(lambda: status(port, trusted) == NOT_FOUND, what="others are answered")

    async with serving(tmp_path, FastAPI(), bounds=bounds) as port:
        await asyncio.to_thread(silent, port)


async def test_a_body_that_trickles_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trusted = issue(tmp_path, NAME)
    store = MemoryStore()
    app = application(
        store,
        Anybody(),
        agent=NAME,
        registry=CollectorRegistry(),
        not_ready=str,
    )
    bounds = Bounds(exchange_seconds=SHORT_SECONDS)
    head = f"PUT /v1/blobs/{digest_of(b'')} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n"

    def slow(port: int) -> None:
        wait_for(lambda: status(port, trusted), what="the server answers")
        with secured(port, trusted) as connection:
            trickled(connection, f"{head}Content-Length: 1000000\r\n\r\n".encode())
        wait_for(lambda: status(port, trusted) == NOT_FOUND, what="others are answered")

    async with serving(tmp_path, app, bounds=bounds) as port:
        await asyncio.to_thread(slow, port)
    assert "Traceback" not in capsys.readouterr().err


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    issue(tmp_path, NAME)
    certificate = Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on port {port} of 127"):
            await serve(FastAPI(), host="127.0.0.1", port=port, certificate=certificate)
