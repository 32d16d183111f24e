"""Work is begun one after the other, and no more of it than is asked for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from schedcp_lab.bench_runs import served


def test_everything_is_done_once() -> None:
    with ThreadPoolExecutor(2) as pool:
        found = dict(served(pool, lambda n: n * n, range(20), ahead=2, goes_on=lambda: True))
    assert found == {number: number * number for number in range(20)}


def test_no_more_is_begun_than_there_are_workers() -> None:
    running, most, guard = 0, 0, threading.Lock()

    def work(_: int) -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        with guard:
            running -= 1

    with ThreadPoolExecutor(8) as pool:
        assert len(list(served(pool, work, range(50), ahead=3, goes_on=lambda: True))) == 50
    assert 1 <= most <= 3


@pytest.mark.parametrize("allowed", [0, 1, 5])
def test_nothing_is_begun_when_time_is_up_and_what_was_begun_is_told(allowed: int) -> None:
    turns = count()
    begun: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        found = dict(
            served(pool, begun.append, range(9), ahead=1, goes_on=lambda: next(turns) < allowed)
        )
    assert begun == list(range(allowed))
    assert set(found) == set(begun)


def test_trouble_in_a_worker_is_no_finding() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        list(served(pool, lambda n: 1 // n, [1, 0], ahead=1, goes_on=lambda: True))
