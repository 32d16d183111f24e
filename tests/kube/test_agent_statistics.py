"""A program's statistics over its socket: asked without waiting, and doubted."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from schedcp_agent.programs import Statistics
from schedcp_lab.processes import wait_until

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


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool


def until(statistics: Statistics, holds: Callable[[Mapping[str, float]], bool]) -> None:
    wait_until(
        lambda: holds(statistics.tick(attached=True)),
        what="the figures are as they should be",
        timeout_seconds=DEADLINE_SECONDS,
        interval_seconds=0.01,
    )


def until_closed(statistics: Statistics) -> None:
    wait_until(
        lambda: not statistics.tick(attached=False) and not statistics.asking,
        what="the connection is closed",
        timeout_seconds=DEADLINE_SECONDS,
        interval_seconds=0.01,
    )


def test_one_connection_is_asked_again_and_again(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    statistics = Statistics(tmp_path / "stats", executor)
    with server(tmp_path / "stats", counting):
        until(statistics, lambda figures: figures.get("nr_running", 0) >= 3)
        until_closed(statistics)
        until(statistics, lambda figures: figures.get("nr_running") == 0)
        until_closed(statistics)


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
def test_a_bad_answer_is_none_and_the_next_may_be_good(
    tmp_path: Path, executor: ThreadPoolExecutor, bad: Serve
) -> None:
    served: list[Serve] = [counting, bad]
    statistics = Statistics(tmp_path / "stats", executor)
    with server(tmp_path / "stats", lambda link: (served.pop() if served else counting)(link)):
        until(statistics, lambda figures: "nr_running" in figures)
        until_closed(statistics)
    assert served == [], "the bad answer came first"


def test_nobody_there_is_no_error(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    statistics = Statistics(tmp_path / "stats", executor)
    for _ in range(3):
        assert statistics.tick(attached=True) == {}
