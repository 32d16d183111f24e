"""`schedcp-lab bench`: figures with targets, made and shown."""

from __future__ import annotations

import datetime
import fnmatch
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from schedcp_api.base import canonical_json, digest_of
from schedcp_api.verdicts import VerificationRequest
from schedcp_lab.bench_baselines import BATCH, BaselineTools, Batch, programs_of, trials_of
from schedcp_lab.bench_cases import Case, examination, mixed, sampled
from schedcp_lab.bench_kernels import Cell, cells_of
from schedcp_lab.bench_kernels import as_json as kernels_json
from schedcp_lab.bench_kernels import text_report as kernels_report
from schedcp_lab.bench_library import library
from schedcp_lab.bench_machine import machine_of
from schedcp_lab.bench_report import Circumstances, as_json, plot, text_report
from schedcp_lab.bench_results import Judgement, Shelf, Trial
from schedcp_lab.bench_runs import (
    Order,
    crew,
    judge,
    served,
    settings_of,
    start_seconds,
    verifier_of,
)
from schedcp_lab.bench_schedulers import schedulers
from schedcp_lab.bench_scoreboard import Entry, Scoreboard
from schedcp_lab.kernel_series import ensure_series
from schedcp_lab.workshop import cache_of, repository_root
from schedcp_verifier.kernels import KernelBundle, KernelShelf
from schedcp_verifier.settings import Settings

__all__ = ["bench"]

bench = typer.Typer(no_args_is_help=True, help="Benchmarks with targets.")
bench.command()(library)
bench.command()(schedulers)

_WORKERS_MAX = 2


@bench.command()
def verifier(
    only: Annotated[str, typer.Option(help="An id, or a glob such as 'bad/T0*'.")] = "*",
    static: Annotated[
        bool, typer.Option("--static", help="Source, Build and Bytecode only; no guest.")
    ] = False,
    baselines: Annotated[
        bool, typer.Option(help="Try the two simpler verifiers on the set, too.")
    ] = True,
    sample: Annotated[int, typer.Option(min=0, help="Take this many; 0 for all.")] = 0,
    minutes: Annotated[
        float, typer.Option(min=0, help="Begin nothing in a guest after this time; 0 for no end.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=1, max=_WORKERS_MAX, help="One to a core.")] = min(
        _WORKERS_MAX, os.cpu_count() or 1
    ),
    kernel: Annotated[
        Path | None, typer.Option(help="A kernel bundle; default: the newest there is.")
    ] = None,
) -> int:
    """Examine the verifier on schedulers that must be stopped and on ones that must not."""
    started_at, started = datetime.datetime.now(datetime.UTC), time.monotonic()
    root = repository_root()
    settings = settings_of(root)
    bundle = KernelBundle.open(kernel) if kernel else KernelShelf(settings.kernels_dir).newest()
    cases = examination(root / "tests/data/schedulers", bundle.profile.release, only)
    if sample:
        cases = sampled(cases, sample)
    console = Console()
    deadline = started + minutes * 60 if minutes else None
    examiner = _Examiner(root, settings, bundle, workers, deadline, console)
    judged = examiner.judge_all(cases, static=static)
    tried = examiner.try_all(cases) if baselines and not static else {}
    board = Scoreboard(
        tuple(Entry(case, judged[case.name], tried.get(case.name)) for case in cases)
    )
    circumstances = Circumstances(
        scope=f"{len(cases)} schedulers ({only}), {'static' if static else 'all'} stages",
        machine=f"{platform.machine()}, {os.cpu_count()} CPUs",
        kernel=bundle.profile.release,
        accelerator="tcg, virtual time",
        workers=workers,
        started_at=started_at,
        seconds=time.monotonic() - started,
        reused=examiner.reused,
        start_cpu_seconds=examiner.start_cpu_seconds,
    )
    console.print(text_report(board, circumstances))
    _write(cache_of(root).directory("bench"), board, circumstances, console)
    return 0


@bench.command()
def kernels(
    kernel: Annotated[
        str, typer.Option(help="One release or series, such as 6.17; default: all there are.")
    ] = "",
    only: Annotated[str, typer.Option(help="A scheduler, or a glob such as 'long*'.")] = "*",
) -> int:
    """Try the library on the newest kernel of each series of the package source."""
    started_at, started = datetime.datetime.now(datetime.UTC), time.monotonic()
    root, console = repository_root(), Console()
    found = ensure_series(cache_of(root), kernel or None, report=console.print)
    checker = verifier_of(settings_of(root))
    names = fnmatch.filter(checker.library.own_names(), only)
    cells: list[Cell] = []
    for each in found:
        if each.bundle is not None:
            console.print(f"{each.release} ...", style="dim")
            cells += cells_of(checker, KernelBundle.open(each.bundle), names)
    without = [each for each in found if each.bundle is None]
    console.print(kernels_report(cells, without))
    seconds = time.monotonic() - started
    console.print(f"took {seconds / 60:.1f} minutes")
    path = cache_of(root).directory("bench") / "kernels.json"
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs"
    path.write_text(
        kernels_json(cells, without, machine=machine, started_at=started_at, seconds=seconds)
    )
    console.print(f"{path}", style="dim", markup=False, soft_wrap=True)
    return 0


def _seen(trial: Trial) -> str:
    if not trial.built:
        return "not built"
    return "the guest died" if trial.crashed else "enabled" if trial.enabled else "gone"


def _write(folder: Path, board: Scoreboard, at: Circumstances, console: Console) -> None:
    for name, text in (("verifier.json", as_json(board, at)), ("verifier.svg", plot(board, at))):
        (folder / name).write_text(text, encoding="utf-8")
        console.print(f"{folder / name}", style="dim", markup=False, soft_wrap=True)


@dataclass
class _Examiner:
    """Takes the set through verifier and baselines, and remembers what it found."""

    root: Path
    settings: Settings
    kernel: KernelBundle
    workers: int
    deadline: float | None
    console: Console
    reused: int = 0
    start_cpu_seconds: float = 0.0

    def judge_all(self, cases: tuple[Case, ...], *, static: bool) -> dict[str, Judgement]:
        """Return what the verifier says of each: first without guests, then with them."""
        found = self._judged(cases, "static stages", static=True)
        if static:
            return found
        # Mixed, so that what a limit of time leaves undone is no kind of its own.
        left = mixed(tuple(case for case in cases if found[case.name].open))
        return found | self._judged(left, "guests", static=False)

    def _judged(self, cases: tuple[Case, ...], title: str, *, static: bool) -> dict[str, Judgement]:
        shelf = Shelf(cache_of(self.root).directory("bench") / "verdicts", Judgement)
        machine = self._verifier_identity()
        keys = {case.name: self._key(case, machine, static=static) for case in cases}
        found = {name: known for name, key in keys.items() if (known := shelf.find(key))}
        self.reused += len(found)
        orders = [
            Order(case, self.settings, self.kernel.folder, static)
            for case in cases
            if case.name not in found
        ]
        with crew(self.workers) as pool, self._progress(title, len(cases), len(found)) as tell:
            self.start_cpu_seconds = pool.submit(
                start_seconds, self.settings, self.kernel.folder
            ).result()
            goes_on = (lambda: True) if static else self._in_time
            for order, judgement in served(
                pool, judge, orders, ahead=self.workers, goes_on=goes_on
            ):
                found[order.case.name] = judgement
                if not judgement.undecided:
                    shelf.keep(keys[order.case.name], judgement)
                tell(f"{order.case.name}: {judgement.stage or 'passed'}")
        return found

    def _in_time(self) -> bool:
        return self.deadline is None or time.monotonic() < self.deadline

    def _verifier_identity(self) -> str:
        """Return the digest of the verifier, its tools, its guests and the kernel."""
        empty = Case(Path("none.bpf.c"))
        request = empty.request_of("", self.kernel)
        return verifier_of(self.settings).identity(request, self.kernel)

    def _key(self, case: Case, machine: str, *, static: bool) -> dict[str, str]:
        request: VerificationRequest = case.request(self.kernel)
        return {
            "verifier": machine,
            "request": request.content_digest(),
            "depth": "static" if static else "whole",
        }

    def try_all(self, cases: tuple[Case, ...]) -> dict[str, Trial]:
        """Return what the baselines see of each."""
        tools = self._tools()
        folder = cache_of(self.root).directory("bench")
        shelf = Shelf(folder / "trials", Trial)
        built = verifier_of(self.settings).tools.fingerprint(self.kernel)
        common = {
            "kernel": digest_of(self.kernel.image.read_bytes()),
            "tools": tools.identity(),
            "build": digest_of(canonical_json(built)),
            "machine": machine_of(self.settings.qemu),
        }
        keys = {c.name: {"source": digest_of(c.path.read_bytes()), **common} for c in cases}
        found = {name: known for name, key in keys.items() if (known := shelf.find(key))}
        self.reused += len(found)
        left = mixed(tuple(case for case in cases if case.name not in found))

        def keep(name: str, trial: Trial) -> None:
            found[name] = trial
            shelf.keep(keys[name], trial)

        if left:
            with self._progress("baselines", len(cases), len(found)) as tell:
                self._try(left, tools, keep, tell)
        return found

    def _try(
        self,
        cases: tuple[Case, ...],
        tools: BaselineTools,
        keep: Callable[[str, Trial], None],
        tell: Callable[[str], None],
    ) -> None:
        programs = cache_of(self.root).directory("bench/programs")
        programs_of(tools, programs)
        batches = [
            Batch(tools, self.kernel.folder, programs, cases[at : at + BATCH])
            for at in range(0, len(cases), BATCH)
        ]
        with crew(self.workers) as pool:
            for _, trials in served(
                pool, trials_of, batches, ahead=self.workers, goes_on=self._in_time
            ):
                for name, trial in trials:
                    keep(name, trial)
                    tell(f"{name}: {_seen(trial)}")

    def _tools(self) -> BaselineTools:
        return BaselineTools(
            clang=self.settings.clang,
            strip=self.settings.llvm_strip,
            headers=(self.root / "schedulers/include", self.settings.libbpf_headers.parent),
            sources=self.root / "lab/baselines",
            libelf=self.root / "schedulers/loader/libelf_static.c",
            busybox=self.settings.busybox,
            qemu=self.settings.qemu,
        )

    def _progress(self, title: str, total: int, done: int) -> _Telling:
        return _Telling(self.console, title, total, done)


class _Telling:
    """A bar on a terminal, lines anywhere else."""

    def __init__(self, console: Console, title: str, total: int, done: int) -> None:
        self._console, self._title, self._total, self._done = console, title, total, done
        self._bar = Progress(
            TextColumn(title),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, completed=done)

    def __enter__(self) -> Callable[[str], None]:
        self._bar.start()
        return self._tell

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _tell(self, words: str) -> None:
        self._done += 1
        self._bar.update(self._task, completed=self._done, description=words)
        if not self._console.is_terminal:
            line = f"{self._title} {self._done}/{self._total}  {words}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
