"""The metrics over TLS: renewed certificates, and connections that nobody speaks on."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from schedcp_agent.errors import SettingsError
from schedcp_agent.metrics import Exporter, Snapshot
from schedcp_agent.metrics_server import Bounds, Certificate, MetricsServer
from schedcp_lab.certificates import Authority
from support.api_server import wait_for
from support.certificates import issue
from support.connections import connected, ended, secured, trickled

NAME = "schedcp-agent"
TIMEOUT_SECONDS = 30.0
BOUND = 4
SHORT_SECONDS = 3.0


def connect(server: MetricsServer, trusted: Authority) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cadata=trusted.pem)
    return http.client.HTTPSConnection(
        "127.0.0.1", server.port, context=context, timeout=TIMEOUT_SECONDS
    )


def get(connection: http.client.HTTPSConnection, path: str) -> tuple[int, str]:
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.fixture
def first(tmp_path: Path) -> Authority:
    """The authority of the first certificate."""
    return issue(tmp_path, NAME)


@pytest.fixture
def health() -> list[bool]:
    """What the agent says of itself; the tests change it."""
    return [True]


def made(folder: Path, health: list[bool], bounds: Bounds, *, port: int = 0) -> MetricsServer:
    """A server, on a port of the system's choice unless one is given."""
    exporter = Exporter()
    exporter.publish(Snapshot(node="node-1", enable_seq=5))
    return MetricsServer(
        ("127.0.0.1", port),
        exporter,
        certificate=Certificate(folder / "tls.crt", folder / "tls.key"),
        healthy=lambda: health[-1],
        ready=lambda: health[0] and health[-1],
        bounds=bounds,
    )


@contextlib.contextmanager
def serving(folder: Path, bounds: Bounds) -> Iterator[MetricsServer]:
    """A server that runs."""
    server = made(folder, [True], bounds)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(tmp_path: Path, first: Authority, health: list[bool]) -> Iterator[MetricsServer]:
    """A server with the bounds that it has by default."""
    server = made(tmp_path, health, Bounds())
    server.start()
    yield server
    server.stop()


def test_a_port_that_is_taken_is_named(server: MetricsServer, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"cannot listen on port {server.port} of 127"):
        made(tmp_path, [True], Bounds(), port=server.port)


def test_several_scrapes_over_one_connection(server: MetricsServer, first: Authority) -> None:
    connection = connect(server, first)
    for _ in range(3):
        status, body = get(connection, "/metrics")
        assert status == 200
        assert 'schedcp_sched_ext_enable_seq{node="node-1"} 5.0' in body
    assert get(connection, "/elsewhere")[0] == 404
    connection.close()


def test_health(server: MetricsServer, first: Authority, health: list[bool]) -> None:
    connection = connect(server, first)
    assert get(connection, "/healthz")[0] == get(connection, "/readyz")[0] == 200
    health[0] = False
    health.append(True)
    assert (get(connection, "/healthz")[0], get(connection, "/readyz")[0]) == (200, 503)
    health.append(False)
    assert get(connection, "/healthz")[0] == 503
    connection.close()


def test_a_new_certificate_is_taken_up(
    server: MetricsServer, first: Authority, tmp_path: Path
) -> None:
    second = issue(tmp_path, NAME)
    connection = connect(server, second)
    assert get(connection, "/healthz")[0] == 200
    connection.close()
    stale = connect(server, first)
    with pytest.raises(ssl.SSLCertVerificationError):
        get(stale, "/healthz")
    stale.close()


def test_a_certificate_that_cannot_be_read_changes_nothing(
    server: MetricsServer, first: Authority, tmp_path: Path
) -> None:
    (tmp_path / "tls.crt").write_text("rubbish")
    connection = connect(server, first)
    assert get(connection, "/healthz")[0] == 200
    connection.close()


def test_plain_text_is_not_answered(server: MetricsServer, first: Authority) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_SECONDS)
    plain.request("GET", "/metrics")
    with pytest.raises((http.client.BadStatusLine, ConnectionError)):
        plain.getresponse()
    plain.close()
    connection = connect(server, first)
    assert get(connection, "/metrics")[0] == 200
    connection.close()


def workers() -> int:
    """Count the threads that hold a connection."""
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def healthy(server: MetricsServer, trusted: Authority) -> bool:
    """Ask over a new connection."""
    connection = connect(server, trusted)
    try:
        return get(connection, "/healthz")[0] == 200
    finally:
        connection.close()


def test_a_flood_shuts_nobody_out(tmp_path: Path, first: Authority) -> None:
    bounds = Bounds(connections=BOUND, first_seconds=3600, next_seconds=3600)
    wait_for(lambda: not workers(), what="other tests' connections are gone")
    with serving(tmp_path, bounds) as server, contextlib.ExitStack() as stack:
        idle: list[socket.socket] = []
        for _ in range(4 * BOUND):
            idle.append(stack.enter_context(connected(server.port)))
            # A thread that gave its place back is seen until it has ended.
            assert workers() <= 2 * BOUND
        for _ in range(4 * BOUND):
            idle.append(stack.enter_context(secured(server.port, first)))
            assert workers() <= 2 * BOUND
        wait_for(
            lambda: sum(not ended(each) for each in idle) == BOUND,
            what="as many as the bound stay open",
            timeout_seconds=TIMEOUT_SECONDS,
        )
        wait_for(lambda: workers() == BOUND, what="and as many threads")
        assert healthy(server, first)


def test_who_was_answered_last_stays(tmp_path: Path, first: Authority) -> None:
    bounds = Bounds(connections=2, first_seconds=3600, next_seconds=3600)
    with serving(tmp_path, bounds) as server:
        scraping = connect(server, first)
        scraping.connect()
        with secured(server.port, first) as silent:
            assert get(scraping, "/metrics")[0] == 200
            with secured(server.port, first) as newcomer:
                wait_for(lambda: ended(silent), what="the silent one made room")
                assert not ended(newcomer)
                assert get(scraping, "/metrics")[0] == 200
        scraping.close()


def test_who_never_asks_is_let_go(tmp_path: Path, first: Authority) -> None:
    bounds = Bounds(first_seconds=SHORT_SECONDS, next_seconds=3600)
    with serving(tmp_path, bounds) as server:
        with connected(server.port) as mute, secured(server.port, first) as shy:
            wait_for(lambda: ended(mute), what="the one without a handshake is closed")
            wait_for(lambda: ended(shy), what="the one without a request is closed")
        with secured(server.port, first) as slow:
            trickled(slow, b"GET /metrics HTTP/1.1\r\nX: ")
        wait_for(lambda: not workers(), what="no thread is left", timeout_seconds=TIMEOUT_SECONDS)
        assert healthy(server, first)


def test_a_body_that_trickles_ends(tmp_path: Path, first: Authority) -> None:
    bounds = Bounds(next_seconds=SHORT_SECONDS)
    with serving(tmp_path, bounds) as server, secured(server.port, first) as slow:
        trickled(slow, b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert healthy(server, first)
