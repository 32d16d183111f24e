"""Steps of the set-up: each is timed and told of, and one can be done beside the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from schedcp_lab.processes import end_children

__all__ = ["StepClock", "beside", "in_turn"]

T = TypeVar("T")
_POLL_SECONDS = 0.5


class StepClock:
    """Times steps, and says when one begins, how long it took, and whether it failed."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.seconds: list[tuple[str, float]] = []
        self._report = report

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done in the `with`."""
        start = time.monotonic()
        self._report(f"setup: {name} ...")
        outcome = " failed after"
        try:
            yield
            outcome = ""
        finally:
            seconds = time.monotonic() - start
            self.seconds.append((name, seconds))
            self._report(f"setup: {name}:{outcome} {seconds:.1f} s")


def in_turn(report: Callable[[str], None]) -> Callable[[str], None]:
    """Return a report that several threads may give: one line after the other."""
    turn = threading.Lock()

    def said(line: str) -> None:
        with turn:
            report(line)

    return said


@contextmanager
def beside(work: Callable[[], T]) -> Iterator[Future[T]]:
    """Do work in another thread; what it runs is ended when the `with` fails or is interrupted."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        done = thread.submit(work)
        try:
            yield done
        except BaseException:
            while not done.done():
                end_children()
                wait([done], timeout=_POLL_SECONDS)
            raise
