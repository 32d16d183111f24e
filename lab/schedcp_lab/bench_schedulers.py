"""`schedcp-lab bench schedulers`: schedulers side by side, against the kernel's own and bounds.

One guest for each family of scenarios, number of CPUs and seed; in it every scheduler does the
same work in turn. What a guest found is kept under the digest of all that it depends on.
"""

from __future__ import annotations

import datetime
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from schedcp_api.base import canonical_json, digest_of
from schedcp_lab.bench_figures import lines_of
from schedcp_lab.bench_guests import Measurement, Sides, measurements_of, plan_of
from schedcp_lab.bench_machine import machine_of
from schedcp_lab.bench_results import Shelf
from schedcp_lab.bench_runs import crew, served, settings_of, verifier_of
from schedcp_lab.bench_scenarios import FAMILIES, SCENARIOS, Family, Scenario
from schedcp_lab.bench_schedulers_report import Circumstances, as_json, plot, text_report
from schedcp_lab.bench_sides import names_by_default, sides_of
from schedcp_lab.errors import LabError
from schedcp_lab.workshop import cache_of, repository_root
from schedcp_verifier.errors import VmError
from schedcp_verifier.guests import GuestPlan
from schedcp_verifier.initramfs import archive
from schedcp_verifier.kernels import KernelBundle, KernelShelf
from schedcp_verifier.settings import Settings

__all__ = ["schedulers"]

_WORKERS_MAX = 2
_GUEST_SECONDS = 7200.0
"""How long one guest may take: many schedulers' turns, on a machine that others use as well."""
_CPUS = (2, 4, 8)
_WIDTH = 180
"""Of the report where there is no terminal."""

NamedOption = Annotated[
    str,
    typer.Option(
        "--schedulers",
        help="NAME[:KNOB=VALUE...] or PROGRAM[:WORD...]; default: all.",
    ),
]


@dataclass(frozen=True)
class Found:
    """What one guest measured, or why it was lost."""

    measurements: tuple[Measurement, ...]
    lost: str = ""


@dataclass(frozen=True)
class Order:
    """One guest: what a worker is to measure."""

    family: Family
    only: str
    cpus: int
    seed: int
    sides: Sides
    settings: Settings
    kernel: Path
    script: str

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.cpus} CPUs, {self.family}, seed {self.seed}"

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """What is measured in it."""
        return chosen(self.only, self.family)

    @property
    def plan(self) -> GuestPlan:
        """What its guest does."""
        return plan_of(
            self.scenarios, self.sides, cpus=self.cpus, seed=self.seed, script=self.script
        )


def chosen(only: str, family: Family | None = None) -> tuple[Scenario, ...]:
    """Return the scenarios whose names match a glob, or one of several with commas."""
    globs = only.split(",")
    return tuple(
        scenario
        for scenario in SCENARIOS
        if family in (None, scenario.family) and any(fnmatchcase(scenario.name, g) for g in globs)
    )


def measured(order: Order) -> Found:
    """Boot one guest and return what it measured; a guest that is lost is no figure."""
    kernel = KernelBundle.open(order.kernel)
    guests = replace(verifier_of(order.settings).guests, deadline_seconds=_GUEST_SECONDS)
    try:
        report = guests.run(order.plan, kernel, order.sides).report
    except VmError as lost:
        return Found((), str(lost)[:2000])
    return Found(measurements_of(report, order.scenarios, order.sides, seed=order.seed))


def schedulers(
    only: Annotated[str, typer.Option(help="Scenarios: names or globs, with commas.")] = "*",
    named: NamedOption = "",
    cpus: Annotated[str, typer.Option(help="Numbers of CPUs.")] = ",".join(map(str, _CPUS)),
    seeds: Annotated[int, typer.Option(min=1, help="How many draws of each scenario.")] = 3,
    minutes: Annotated[
        float, typer.Option(min=0, help="Begin no guest after this time; 0 for no end.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=1, max=_WORKERS_MAX, help="One to a core.")] = min(
        _WORKERS_MAX, os.cpu_count() or 1
    ),
    kernel: Annotated[
        Path | None, typer.Option(help="A kernel bundle; default: the newest there is.")
    ] = None,
) -> int:
    """Measure schedulers beside the kernel's own, on virtual time, with bounds and floors."""
    started_at, started = datetime.datetime.now(datetime.UTC), time.monotonic()
    root = repository_root()
    settings = settings_of(root)
    bundle = KernelBundle.open(kernel) if kernel else KernelShelf(settings.kernels_dir).newest()
    verifier = verifier_of(settings)
    names, left_out = (named.split(","), ()) if named else names_by_default(verifier.library)
    sides = Sides(sides_of(names, verifier, bundle))
    orders = _orders(root, settings, bundle, sides, only=only, cpus=_numbers(cpus), seeds=seeds)
    folder = cache_of(root).directory("bench")
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    deadline = started + minutes * 60 if minutes else None
    found, reused = _measured_all(
        orders,
        Shelf(folder / "figures", Found),
        workers,
        goes_on=lambda: deadline is None or time.monotonic() < deadline,
        tell=lambda words: console.print(words, markup=False, highlight=False, soft_wrap=True),
    )
    at = Circumstances(
        machine=f"{platform.machine()}, {os.cpu_count()} CPUs",
        kernel=bundle.profile.release,
        started_at=started_at,
        seconds=time.monotonic() - started,
        guests=len(found),
        reused=reused,
        missing=len(orders) - len(found),
        stock=tuple(side.name for side in sides.sides if not side.own),
        troubles=(*left_out, *_troubles(found)),
    )
    _show(found, at, folder, console)
    return 0


def _show(
    found: Sequence[tuple[Order, Found]], at: Circumstances, folder: Path, console: Console
) -> None:
    measurements: dict[int, list[Measurement]] = {}
    for order, one in found:
        measurements.setdefault(order.cpus, []).extend(one.measurements)
    lines = lines_of(measurements)
    console.print(text_report(lines, at))
    for name, text in (
        ("schedulers.json", as_json(lines, at)),
        ("schedulers.svg", plot(lines, at)),
    ):
        (folder / name).write_text(text, encoding="utf-8")
        console.print(f"{folder / name}", style="dim", markup=False, soft_wrap=True)


def _numbers(text: str) -> tuple[int, ...]:
    words = text.split(",")
    if not all(word.isdecimal() and 1 <= int(word) <= max(_CPUS) for word in words):
        raise LabError(f"--cpus {text!r}: numbers from 1 to {max(_CPUS)}, with commas")
    return tuple(int(word) for word in words)


def _orders(
    root: Path,
    settings: Settings,
    kernel: KernelBundle,
    sides: Sides,
    *,
    only: str,
    cpus: Sequence[int],
    seeds: int,
) -> list[Order]:
    """Return the guests, all families of one seed before the next seed."""
    if not chosen(only):
        raise LabError(f"no scenario matches {only!r}")
    script = (root / "lab/benches/schedulers").read_text(encoding="utf-8")
    return [
        Order(family, only, count, seed, sides, settings, kernel.folder, script)
        for count in cpus
        for seed in range(1, seeds + 1)
        for family in FAMILIES
        if chosen(only, family)
    ]


def _measured_all(
    orders: Sequence[Order],
    shelf: Shelf[Found],
    workers: int,
    *,
    goes_on: Callable[[], bool],
    tell: Callable[[str], None],
) -> tuple[list[tuple[Order, Found]], int]:
    """Return what was found of each order that there was time for, and how much was known."""
    machines = {qemu: machine_of(qemu) for qemu in {order.settings.qemu for order in orders}}
    keys = {order: _key(order, machines[order.settings.qemu]) for order in orders}
    found = {order: known for order in orders if (known := shelf.find(keys[order]))}
    reused = len(found)
    left = [order for order in orders if order not in found]
    if left:
        with crew(workers) as pool:
            for order, one in served(pool, measured, left, ahead=workers, goes_on=goes_on):
                found[order] = one
                if not one.lost:
                    shelf.keep(keys[order], one)
                tell(f"{len(found)}/{len(orders)}  {order.name}{': LOST' if one.lost else ''}")
    return [(order, found[order]) for order in orders if order in found], reused


def _key(order: Order, machine: str) -> dict[str, str]:
    """Return digests of all that the guest's figures depend on; `machine` is that of its QEMU."""
    kernel = KernelBundle.open(order.kernel)
    plan = order.plan
    described = {"settings": dict(plan.settings), "files": dict(plan.files), "shift": plan.shift}
    return {
        "plan": digest_of(canonical_json(described)),
        "cpus": str(order.cpus),
        "programs": verifier_of(order.settings).guests.digest(),
        "subjects": digest_of(archive(order.sides.entries(kernel))),
        "names": " ".join(side.name for side in order.sides.sides),
        "kernel": digest_of(kernel.image.read_bytes()),
        "machine": machine,
    }


def _troubles(found: Iterable[tuple[Order, Found]]) -> Iterable[str]:
    for order, one in found:
        if one.lost:
            yield f"{order.name}: the guest was lost: {one.lost}"
        for m in one.measurements:
            if m.trouble:
                yield f"{order.name}: {m.scenario} under {m.scheduler}: {m.trouble}"
