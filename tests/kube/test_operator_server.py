"""The operator's blobs over TLS, with a certificate that is replaced while the server runs."""

import asyncio
import shutil
import ssl
from pathlib import Path

import httpx
from fastapi import FastAPI

from schedcp_lab.certificates import Authority
from schedcp_lab.ports import free_ports
from schedcp_operator.server import serve
from support.api_server import wait_for
from support.certificates import issue

NAME = "schedcp-operator"
RELOAD_SECONDS = 0.05
DEADLINE_SECONDS = 30.0
NOT_FOUND = 404


def status(port: int, trusted: Authority) -> int:
    """Ask the server over a new connection; 0 when there is none, or it is not to be trusted."""
    context = ssl.create_default_context(cadata=trusted.pem)
    try:
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.get(f"https://127.0.0.1:{port}/").status_code
    except httpx.ConnectError:
        return 0


def rotate(folder: Path, port: int, first: Authority) -> None:
    """Renew the certificate in two writes, and look at each step what the server shows."""
    wait_for(lambda: status(port, first), what="the server answers")
    renewed = folder / "renewed"
    renewed.mkdir()
    second = issue(renewed, NAME)
    # Half of a rotation: the pair does not fit, and the old one goes on.
    shutil.copyfile(renewed / "tls.crt", folder / "tls.crt")
    assert status(port, first) == NOT_FOUND
    shutil.copyfile(renewed / "tls.key", folder / "tls.key")
    wait_for(lambda: status(port, second), what="the new certificate is taken up")
    assert status(port, first) == 0


async def test_a_renewed_certificate_is_taken_up(tmp_path: Path) -> None:
    first = issue(tmp_path, NAME)
    (port,) = free_ports(1)
    serving = asyncio.create_task(
        serve(
            FastAPI(),
            host="127.0.0.1",
            port=port,
            cert_file=tmp_path / "tls.crt",
            key_file=tmp_path / "tls.key",
            reload_seconds=RELOAD_SECONDS,
        )
    )
    try:
        await asyncio.to_thread(rotate, tmp_path, port, first)
    finally:
        serving.cancel()
        await asyncio.wait([serving], timeout=DEADLINE_SECONDS)
    assert serving.done()
