"""A program's statistics over its socket: asked without waiting, and doubted."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from schedcp_agent.programs import Statistics
from support.agent import ImmediateExecutor

ANSWER = b'{"errno":0,"args":{"resp":{"nr_running":%d}}}\n'
DEADLINE_SECONDS = 30.0
Serve = Callable[[socket.socket], None]


@contextmanager
def server(path: Path, serve: Serve) -> Iterator[None]:
    """Serve connections one after another until the end of the block."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def work() -> None:
            while True:
                try:
                    link, _ = listening.accept()
                except OSError:
                    return
                with link:
                    serve(link)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE_SECONDS)


def counting(link: socket.socket) -> None:
    """Answer each request of a connection with the number of those before it."""
    count = 0
    while link.recv(4096):
        link.sendall(ANSWER % count)
        count += 1


def statistics_of(path: Path) -> Statistics:
    """Statistics that are asked for at once: a tick returns what the one before asked for."""
    return Statistics(path, ImmediateExecutor())


def told(statistics: Statistics, ticks: int) -> list[Mapping[str, float]]:
    """Return what each of some ticks beside a program says."""
    return [statistics.tick(attached=True) for _ in range(ticks)]


def close(statistics: Statistics) -> None:
    """Let the scheduler be gone for as long as it takes to hang up."""
    for _ in range(2):
        assert statistics.tick(attached=False) == {}
    assert not statistics.asking


def test_one_connection_is_asked_again_and_again(tmp_path: Path) -> None:
    statistics = statistics_of(tmp_path / "stats")
    with server(tmp_path / "stats", counting):
        for _connection in range(2):
            counts = [{}, *({"nr_running": count} for count in range(3))]
            assert told(statistics, 4) == counts
            close(statistics)


def flood(link: socket.socket) -> None:
    link.recv(4096)
    try:
        for _ in range(64):
            link.sendall(b"x" * 65_536)
    except OSError:
        return


def rubbish(link: socket.socket) -> None:
    if link.recv(4096):
        link.sendall(b"[" * 100_000 + b"\n")


def nothing(link: socket.socket) -> None:
    link.recv(4096)


@pytest.mark.parametrize("bad", [flood, rubbish, nothing])
def test_a_bad_answer_is_none_and_the_next_may_be_good(tmp_path: Path, bad: Serve) -> None:
    served: list[Serve] = [counting, bad]
    statistics = statistics_of(tmp_path / "stats")
    with server(tmp_path / "stats", lambda link: served.pop()(link)):
        assert told(statistics, 3) == [{}, {}, {"nr_running": 0}]
        close(statistics)


def test_nobody_there_is_no_error(tmp_path: Path) -> None:
    assert told(statistics_of(tmp_path / "stats"), 3) == [{}, {}, {}]
