"""The library on every kernel: what each has of the needs, what builds, what loads and holds.

A kernel that lacks what a manifest names is no failure, when BTF says so beforehand and precisely.
A scheduler that does not load where nothing is missing is one, and so is a need that is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text

from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.verdicts import EvaluationContract, Phase, VerificationRequest
from schedcp_lab.bench_scoreboard import Row
from schedcp_lab.kernel_series import SeriesKernel
from schedcp_lab.succession import OBJECTS_MAX, Fate, tried_in_turn
from schedcp_verifier.errors import VmError
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.verifying import Verifier

__all__ = ["Cell", "as_json", "cells_of", "rows_of", "text_report"]


@dataclass(frozen=True)
class Cell:
    """One scheduler on one kernel."""

    scheduler: str
    kernel: str
    missing: tuple[str, ...]
    """What the kernel lacks of the manifest's needs."""
    refused: str = ""
    """Why the static stages refuse it; empty when they do not."""
    fate: Fate | None = None
    """What became of it in a guest; None when it was not tried."""

    @property
    def runs(self) -> bool:
        """Whether it was loaded and held."""
        return self.fate is not None and self.fate.holds

    @property
    def as_foretold(self) -> bool:
        """Whether the needs alone tell what came of it."""
        return self.runs == (not self.missing)

    @property
    def mark(self) -> str:
        """What it came to, in a word."""
        if self.runs:
            return "runs" if not self.missing else "runs, against its needs"
        if self.missing:
            return "needs"
        return "refused" if self.refused else "does not hold" if self.fate else "not tried"

    @property
    def reason(self) -> str:
        """Why it does not run; empty when it does."""
        if self.runs:
            return ""
        if self.missing:
            return f"this kernel lacks {'; '.join(self.missing)}"
        return self.refused or (self.fate.words if self.fate else "")


def cells_of(verifier: Verifier, kernel: KernelBundle, names: Sequence[str]) -> tuple[Cell, ...]:
    """Return what becomes of schedulers on a kernel: analysed one by one, loaded in one guest."""
    release = kernel.profile.release
    cells: dict[str, Cell] = {}
    objects: dict[str, bytes] = {}
    for name in names:
        missing = kernel.capabilities.missing(verifier.library.scheduler(name).manifest.needs)
        refused, object_ = _analysed(verifier, kernel, name)
        cells[name] = Cell(name, release, missing, refused)
        if object_ is not None:
            objects[name] = object_
    found = _fates(verifier, kernel, objects)
    return tuple(
        Cell(cell.scheduler, release, cell.missing, cell.refused, found.get(cell.scheduler))
        for cell in cells.values()
    )


def _fates(
    verifier: Verifier, kernel: KernelBundle, objects: Mapping[str, bytes]
) -> dict[str, Fate]:
    found: dict[str, Fate] = {}
    names = sorted(objects)
    for at in range(0, len(names), OBJECTS_MAX):
        part = {name: objects[name] for name in names[at : at + OBJECTS_MAX]}
        try:
            found |= tried_in_turn(verifier.guests, kernel, part)
        except VmError as lost:
            found |= dict.fromkeys(part, Fate(False, f"their guest was lost: {lost}"))
    return found


def _analysed(verifier: Verifier, kernel: KernelBundle, name: str) -> tuple[str, bytes | None]:
    """Return why the static stages refuse a scheduler, or its object."""
    request = VerificationRequest(
        candidate=Candidate(kind=PlanKind.CONFIGURE, scheduler=name),
        kernel_digest=kernel.profile.content_digest(),
        contract=EvaluationContract(),
    )
    analysed = verifier.analyse(verifier.subject(request), request, kernel)
    refusals = [check for check in analysed.checks if check.phase is Phase.FAILED]
    if refusals or analysed.object is None:
        return "; ".join(f"{check.stage}: {check.message}" for check in refusals), None
    return "", analysed.object


def rows_of(cells: Sequence[Cell], without: Sequence[SeriesKernel]) -> tuple[Row, ...]:
    """Return the figures: of each kernel how many run, and whether the needs foretold it."""
    rows = []
    for kernel in dict.fromkeys(cell.kernel for cell in cells):
        here = [cell for cell in cells if cell.kernel == kernel]
        told = [cell for cell in here if cell.as_foretold]
        rows.append(
            Row(
                row=f"the library on {kernel}",
                figure=sum(cell.runs for cell in here),
                unit=f"of {len(here)} run",
                target="each runs, or BTF says what it lacks",
                met=len(told) == len(here),
            )
        )
    rows += [Row(f"the library on {kernel.release}", 0, "run") for kernel in without]
    return tuple(rows)


def text_report(cells: Sequence[Cell], without: Sequence[SeriesKernel]) -> Group:
    """Return the table for a terminal, and under it why what does not run does not."""
    kernels = list(dict.fromkeys(cell.kernel for cell in cells))
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("scheduler", no_wrap=True)
    for kernel in kernels:
        table.add_column(kernel.partition("+")[0], min_width=7, overflow="fold")
    by_place = {(cell.scheduler, cell.kernel): cell for cell in cells}
    for name in dict.fromkeys(cell.scheduler for cell in cells):
        table.add_row(name, *(_shown(by_place[name, kernel]) for kernel in kernels))
    reasons: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if cell.reason:
            reasons.setdefault((cell.kernel, cell.reason), []).append(cell.scheduler)
    lines = [
        Text(f"{kernel}: {', '.join(names)}: {reason}")
        for (kernel, reason), names in reasons.items()
    ]
    lines += [Text(f"{kernel.release}: {kernel.reason}") for kernel in without]
    lines.append(
        Text(
            "runs: built, passed by the static stages, loaded, attached through some trials, with "
            "every class of task running in time; needs: the kernel lacks what the manifest names",
            style="dim",
        )
    )
    return Group(table, Text(""), *lines)


def _shown(cell: Cell) -> Text:
    style = "green" if cell.runs else "yellow" if cell.as_foretold else "bold red"
    return Text(cell.mark, style=style)


def as_json(
    cells: Sequence[Cell],
    without: Sequence[SeriesKernel],
    *,
    machine: str,
    started_at: datetime,
    seconds: float,
) -> str:
    """Return the bench's JSON: circumstances, rows, and every cell."""
    found = {
        "machine": machine,
        "kernel": sorted({cell.kernel for cell in cells}),
        "date": started_at.isoformat(timespec="seconds"),
        "accelerator": "tcg, virtual time",
        "seconds": round(seconds, 1),
        "rows": [asdict(row) for row in rows_of(cells, without)],
        "cells": [{**asdict(cell), "runs": cell.runs, "reason": cell.reason} for cell in cells],
    }
    return json.dumps(found, indent=1) + "\n"
