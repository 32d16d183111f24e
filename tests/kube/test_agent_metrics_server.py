"""The metrics over TLS, with a certificate that is replaced while the server runs."""

import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from schedcp_agent.metrics import Exporter, Snapshot
from schedcp_agent.metrics_server import MetricsServer
from schedcp_lab.certificates import Authority
from support.certificates import issue

NAME = "schedcp-agent"
TIMEOUT_SECONDS = 30.0


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


@pytest.fixture
def server(tmp_path: Path, first: Authority, health: list[bool]) -> Iterator[MetricsServer]:
    """A server on a port of the system's choice."""
    exporter = Exporter()
    exporter.publish(Snapshot(node="node-1", enable_seq=5))
    made = MetricsServer(
        ("127.0.0.1", 0),
        exporter,
        certificate=tmp_path / "tls.crt",
        key=tmp_path / "tls.key",
        healthy=lambda: health[-1],
        ready=lambda: health[0] and health[-1],
    )
    made.start()
    yield made
    made.stop()


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
