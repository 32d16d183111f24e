"""Runs the verifier on the examination set: one process for each core, each case by itself.

A worker verifies one scheduler at a time, so that the CPU time of the worker and of the children
that it has waited for is that scheduler's.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing.queues import Queue
from pathlib import Path
from typing import TypeVar

from schedcp_api.verdicts import Check, Stage
from schedcp_lab.bench_cases import Case
from schedcp_lab.bench_results import Judgement, judgement_of
from schedcp_lab.stock import STOCK
from schedcp_lab.workshop import cache_of
from schedcp_verifier.checks import error
from schedcp_verifier.errors import VerifierError
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier

__all__ = [
    "Order",
    "checked",
    "crew",
    "judge",
    "kernel_at",
    "served",
    "settings_of",
    "start_seconds",
    "verifier_of",
]

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Order:
    """What a worker is to verify, and how far it is to go."""

    case: Case
    settings: Settings
    kernel: Path
    static: bool


def settings_of(root: Path) -> Settings:
    """Return the verifier's settings, with the checkout's own folders where none are named."""
    given = Settings()
    named = given.model_fields_set
    own = {
        "schedulers_dir": root / "schedulers",
        "kernels_dir": cache_of(root).root / "kernels",
        "stock_dir": cache_of(root).root / STOCK,
    }
    return given.model_copy(update={k: path for k, path in own.items() if k not in named})


@cache
def verifier_of(settings: Settings) -> Verifier:
    """Return the verifier of this process."""
    return Verifier.from_settings(settings)


@cache
def kernel_at(folder: Path) -> KernelBundle:
    """Return a kernel whose types have been read, which takes a second, once."""
    kernel = KernelBundle.open(folder)
    _ = kernel.facts
    return kernel


def judge(order: Order) -> Judgement:
    """Verify one scheduler, and measure what that takes."""
    kernel = kernel_at(order.kernel)
    verifier = verifier_of(order.settings)
    request = order.case.request(kernel)

    def verified() -> tuple[Check, ...]:
        if order.static:
            return verifier.analyse(verifier.subject(request), request, kernel).checks
        return verifier.verify(request, kernel).verdict.checks

    return checked(verified, whole=not order.static)


def checked(verified: Callable[[], tuple[Check, ...]], *, whole: bool) -> Judgement:
    """Return what the checks that `verified` makes amount to, and what making them takes.

    What is wrong with the machine is no word on the scheduler: a check that could not be made.
    """
    cpu, wall = _cpu_seconds(), time.monotonic()
    try:
        checks = verified()
    except VerifierError as broken:
        last = Stage.DYNAMIC if whole else Stage.BYTECODE
        checks = (error(type(broken).__name__, last, str(broken)),)
    return judgement_of(
        checks,
        cpu_seconds=round(_cpu_seconds() - cpu, 3),
        wall_seconds=round(time.monotonic() - wall, 3),
        whole=whole,
    )


def start_seconds(settings: Settings, kernel: Path) -> float:
    """Return the CPU time that a worker needs before its first candidate; ask a fresh one."""
    verifier_of(settings)
    kernel_at(kernel)
    return _cpu_seconds()


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of the children that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


@contextmanager
def crew(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of workers with a core each; what they still have to do is dropped at the end.

    A guest runs on the core of the worker that boots it, so that two never share one.
    """
    context = multiprocessing.get_context("spawn")
    cores: Queue[int] = context.Queue()
    own = sorted(os.sched_getaffinity(0))
    for worker in range(workers):
        cores.put(own[worker % len(own)])
    pool = ProcessPoolExecutor(workers, context, _settle, (cores,))
    try:
        yield pool
    except BaseException:
        # A guest would be waited for; it goes with the worker that booted it.
        for child in multiprocessing.active_children():
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _settle(cores: Queue[int]) -> None:
    os.sched_setaffinity(0, {cores.get()})


def served(
    pool: Executor,
    work: Callable[[Item], Found],
    items: Iterable[Item],
    *,
    ahead: int,
    goes_on: Callable[[], bool],
) -> Iterator[tuple[Item, Found]]:
    """Yield each item with what `work` makes of it, as they are done.

    No more than `ahead` are begun at a time, and none once `goes_on` says no.
    """
    left = iter(items)
    running: dict[Future[Found], Item] = {}
    while True:
        while len(running) < ahead and goes_on():
            item = next(left, None)
            if item is None:
                break
            running[pool.submit(work, item)] = item
        if not running:
            return
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield running.pop(future), future.result()
