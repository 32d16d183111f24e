"""`schedcp-lab bench library`: the whole verifier on the library, and what its manifests say of it.

A manifest's `measured` is what came of it on each series of kernels: accepted or why not, and what
of the CPU contract is lost. The planner goes by it; nobody writes it by hand.
"""

from __future__ import annotations

import datetime
import fnmatch
import json
import os
import platform
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.manifests import Measured, SchedulerManifest
from schedcp_api.verdicts import (
    ContractLoss,
    EvaluationContract,
    ReplayMode,
    VerificationRequest,
)
from schedcp_lab.bench_results import Judgement, Shelf
from schedcp_lab.bench_runs import checked, crew, kernel_at, served, settings_of, verifier_of
from schedcp_lab.bench_scoreboard import Row
from schedcp_lab.workshop import cache_of, repository_root
from schedcp_verifier.kernels import KernelBundle, KernelShelf
from schedcp_verifier.library import Library
from schedcp_verifier.settings import Settings
from schedcp_verifier.sharing import WAIVED_WITHOUT_POLICY

__all__ = [
    "Found",
    "as_json",
    "library",
    "losses_of",
    "measured_of",
    "newest_measured",
    "rows_of",
    "with_measured",
]

_KEEPS = "Contract/keeps-"
_CONTRACT = EvaluationContract(
    replay=ReplayMode.ADVISORY, waived_losses=WAIVED_WITHOUT_POLICY, seeds=1
)
"""What is lost is measured, and not held against anybody."""
_REASON_CHARS = 200


@dataclass(frozen=True)
class LibraryOrder:
    """Which scheduler is to be verified for which kernel."""

    name: str
    settings: Settings
    kernel: Path


@dataclass(frozen=True)
class Found:
    """What came of one scheduler on one kernel."""

    scheduler: str
    release: str
    judgement: Judgement


def library(
    only: Annotated[str, typer.Option(help="A scheduler, or a glob such as 'cgroup*'.")] = "*",
    kernel: Annotated[
        list[Path] | None, typer.Option(help="A kernel bundle; default: all that nodes may run.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0, help="Begin none after this; 0: no end.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=2, help="One to a core.")] = min(
        2, os.cpu_count() or 1
    ),
    write: Annotated[bool, typer.Option("--write", help="Put it into the manifests.")] = False,
) -> int:
    """Verify the library's own schedulers whole, on each kernel, and say what they lose."""
    started_at, started = datetime.datetime.now(datetime.UTC), time.monotonic()
    root, console = repository_root(), Console()
    settings = settings_of(root)
    bundles = (
        [KernelBundle.open(path) for path in kernel]
        if kernel
        else KernelShelf(settings.kernels_dir).bundles()
    )
    names = fnmatch.filter(verifier_of(settings).library.own_names(), only)
    deadline = started + minutes * 60 if minutes else float("inf")
    found = _verified(root, settings, bundles, names, workers, deadline, console)
    console.print(_table(found))
    seconds = time.monotonic() - started
    console.print(f"{len(found)} of {len(names) * len(bundles)} took {seconds / 60:.1f} minutes")
    path = cache_of(root).directory("bench") / "library.json"
    rows = rows_of(found, len(names))
    path.write_text(as_json(rows, bundles, started_at=started_at, seconds=seconds))
    console.print(f"{path}", style="dim", markup=False, soft_wrap=True)
    if write:
        _write(root / "schedulers/manifests", found, console)
    return 0


def _verified(
    root: Path,
    settings: Settings,
    bundles: Iterable[KernelBundle],
    names: Sequence[str],
    workers: int,
    deadline: float,
    console: Console,
) -> tuple[Found, ...]:
    """Return what there is of earlier runs, and the rest as far as time allows."""
    shelf = Shelf(cache_of(root).directory("bench") / "library", Judgement)
    verifier = verifier_of(settings)
    found: list[Found] = []
    orders: dict[LibraryOrder, dict[str, str]] = {}
    for bundle in bundles:
        for name in names:
            request = _request(verifier.library, name, bundle)
            key = {
                "verifier": verifier.identity(request, bundle),
                "request": request.content_digest(),
            }
            known = shelf.find(key)
            if known is not None:
                found.append(Found(name, bundle.profile.release, known))
            else:
                orders[LibraryOrder(name, settings, bundle.folder)] = key
    with crew(workers) as pool:
        goes_on = lambda: time.monotonic() < deadline  # noqa: E731
        for order, judgement in served(pool, _judge, orders, ahead=workers, goes_on=goes_on):
            release = kernel_at(order.kernel).profile.release
            found.append(Found(order.name, release, judgement))
            if not judgement.undecided:
                shelf.keep(orders[order], judgement)
            words = f"{order.name} on {release}: {_word(judgement)}"
            console.print(words, markup=False, highlight=False, soft_wrap=True)
    return tuple(sorted(found, key=lambda f: (f.scheduler, f.release)))


def _judge(order: LibraryOrder) -> Judgement:
    verifier, kernel = verifier_of(order.settings), kernel_at(order.kernel)
    request = _request(verifier.library, order.name, kernel)
    return checked(lambda: verifier.verify(request, kernel).verdict.checks, whole=True)


def _request(shelves: Library, name: str, kernel: KernelBundle) -> VerificationRequest:
    return VerificationRequest(
        candidate=Candidate(kind=PlanKind.CONFIGURE, scheduler=shelves.manifest(name).name),
        kernel_digest=kernel.profile.content_digest(),
        contract=_CONTRACT,
    )


def losses_of(judgement: Judgement) -> tuple[ContractLoss, ...]:
    """Return what was measured to be lost of the CPU contract, in its own order."""
    lost = {check.removeprefix(_KEEPS) for check in judgement.warnings if check.startswith(_KEEPS)}
    return tuple(loss for loss in ContractLoss if loss.value in lost)


def measured_of(release: str, judgement: Judgement) -> Measured:
    """Return what a manifest says of it; raise ValueError where nothing was decided."""
    if judgement.undecided:
        raise ValueError(f"{', '.join(judgement.undecided)} could not be made: nothing is known")
    series = re.match(r"\d+\.\d+", release)
    if series is None:
        raise ValueError(f"{release} names no series of kernels")
    why = () if judgement.accepted else (f"{judgement.failed[0]}: {judgement.reason}",)
    return Measured(
        kernels=series[0],
        accepted=judgement.accepted,
        refused_for=tuple(words[:_REASON_CHARS] for words in why),
        contract_losses=losses_of(judgement),
    )


def newest_measured(found: Iterable[Found]) -> dict[str, tuple[Measured, ...]]:
    """Return what was decided, by scheduler; of one series of kernels the newest release counts."""
    by_name: dict[str, dict[str, Measured]] = {}
    for each in sorted(found, key=lambda f: (_version(f.release), f.release)):
        if not each.judgement.undecided:
            measured = measured_of(each.release, each.judgement)
            by_name.setdefault(each.scheduler, {})[measured.kernels] = measured
    return {name: tuple(series.values()) for name, series in by_name.items()}


def with_measured(text: str, measured: Sequence[Measured]) -> str:
    """Return a manifest's text with this in its `measured`, the last of its members.

    What it says of a series of kernels gives way to what is said of that series here; what it says
    of the others stays.
    """
    known = SchedulerManifest.model_validate(yaml.safe_load(text)).measured
    by_series = {each.kernels: each for each in (*known, *measured)}
    rest = re.sub(r"^measured:\n(?:[ -].*\n)*", "", text, flags=re.MULTILINE)
    data = [
        by_series[series].model_dump(mode="json", by_alias=True, exclude_defaults=True)
        for series in sorted(by_series, key=_version)
    ]
    added = yaml.safe_dump({"measured": data}, sort_keys=False, width=90, allow_unicode=True)
    return rest.rstrip("\n") + "\n" + added


def _version(release: str) -> tuple[int, ...]:
    """Return the numbers that a release begins with."""
    found = re.match(r"\d+(?:\.\d+)*", release)
    return tuple(map(int, found[0].split("."))) if found else ()


def _write(folder: Path, found: Sequence[Found], console: Console) -> None:
    for each in found:
        if each.judgement.undecided:
            words = f"{each.scheduler} on {each.release}: not written, {_word(each.judgement)}"
            console.print(words, markup=False, highlight=False, soft_wrap=True)
    for name, measured in newest_measured(found).items():
        path = folder / f"{name}.yaml"
        path.write_text(with_measured(path.read_text(), measured))


def rows_of(found: Sequence[Found], schedulers: int) -> tuple[Row, ...]:
    """Return the figures: how many are accepted on each kernel, and how many keep the contract."""
    rows: list[Row] = []
    for release in dict.fromkeys(each.release for each in found):
        here = [each.judgement for each in found if each.release == release]
        accepted = sum(judgement.accepted for judgement in here)
        whole = len(here) == schedulers
        unit = f"of {schedulers}"
        met = accepted == schedulers if whole else None
        rows.append(Row(f"accepted on {release}", accepted, unit, target="all", met=met))
        both = {ContractLoss.CPU_WEIGHT, ContractLoss.CPU_MAX}
        kept = sum(j.accepted and not both & set(losses_of(j)) for j in here)
        met = kept >= 3 if whole else None
        row = f"keep cpu.weight and cpu.max on {release}"
        rows.append(Row(row, kept, unit, target="at least 3", met=met))
    return tuple(rows)


def as_json(
    rows: Sequence[Row],
    bundles: Iterable[KernelBundle],
    *,
    started_at: datetime.datetime,
    seconds: float,
) -> str:
    """Return the bench's JSON: circumstances and rows."""
    found = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "kernel": [bundle.profile.release for bundle in bundles],
        "date": started_at.isoformat(timespec="seconds"),
        "accelerator": "tcg, virtual time",
        "seconds": round(seconds, 1),
        "rows": [asdict(row) for row in rows],
    }
    return json.dumps(found, indent=1) + "\n"


def _word(judgement: Judgement) -> str:
    if judgement.undecided:
        return f"could not tell: {judgement.reason}"
    if not judgement.accepted:
        return f"refused: {judgement.failed[0]}: {judgement.reason}"
    lost = ", ".join(losses_of(judgement))
    return f"loses {lost}" if lost else "loses nothing"


def _table(found: Sequence[Found]) -> Table:
    releases = list(dict.fromkeys(each.release for each in found))
    words: Mapping[tuple[str, str], str] = {
        (each.scheduler, each.release): _word(each.judgement) for each in found
    }
    table = Table("scheduler", *releases, box=None, padding=(0, 1, 0, 0))
    for name in dict.fromkeys(each.scheduler for each in found):
        table.add_row(name, *(words.get((name, release), "not tried") for release in releases))
    return table
