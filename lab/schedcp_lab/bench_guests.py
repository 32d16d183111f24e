"""One guest in which many schedulers do the same work in turn, and what it says of each.

All of them get the work of one seed: the kernel's own scheduler first, then the subjects. A turn
before the first one warms the machine up and is not counted.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from schedcp_lab.bench_scenarios import KNOWN, Scenario
from schedcp_lab.errors import LabError
from schedcp_verifier.attaching import same_enablement
from schedcp_verifier.guests import GuestPlan
from schedcp_verifier.initramfs import Entry, file
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.microvm import Topology
from schedcp_verifier.payloads import Payload
from schedcp_verifier.records import GuestReport

__all__ = ["DEFAULT", "Measurement", "Side", "Sides", "measurements_of", "plan_of"]

DEFAULT = "default"
_SHIFT = 1
_WATCHDOG_MS = 30_000
_ROOM = "guest"
_WARM_UPS = 2
"""Scenarios that warm the machine up: it is other than later in the first only."""


@dataclass(frozen=True)
class Side:
    """A scheduler that is measured beside the kernel's own."""

    name: str
    payload: Payload
    own: bool = True
    """Whether it is one of ours, and not one to be compared with."""


@dataclass(frozen=True)
class Measurement:
    """What one scheduler came to in one scenario with one seed."""

    scheduler: str
    scenario: str
    seed: int
    floor: bool = False
    """Whether its neighbours were left out."""
    groups: dict[str, dict[str, int]] = field(default_factory=dict)
    """The fields of the guest's GroupData by group."""
    trouble: str = ""
    """Why there are no figures, where there are none."""


@dataclass(frozen=True)
class Sides:
    """All subjects of a guest, as one payload: each has a folder of its own."""

    sides: tuple[Side, ...]

    def settings(self) -> dict[str, str]:
        """Say nothing of any subject: each one's settings are in its folder."""
        return {"KNOBS": "", "PROGRAM": "", "DIGEST": ""}

    def entries(self, kernel: KernelBundle) -> list[Entry]:
        """Return the files of all subjects; what several bring, like a library, comes once.

        Raise LabError when two bring different files under one path.
        """
        found: dict[str, Entry] = {}
        for number, side in enumerate(self.sides):
            settings = {**self.settings(), **side.payload.settings()}
            text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
            own = [file(f"{_ROOM}/{_subject(number)}/settings", text.encode())]
            own += [_moved(entry, _subject(number)) for entry in side.payload.entries(kernel)]
            for entry in own:
                if found.setdefault(entry.path, entry) != entry:
                    raise LabError(
                        f"{side.name} brings another {entry.path} than a scheduler beside it: "
                        "measure them one at a time"
                    )
        return list(found.values())


def _subject(number: int) -> str:
    return f"subject{number}"


def _moved(entry: Entry, subject: str) -> Entry:
    """Return a file of the guest's own folder in that of a subject."""
    path = PurePosixPath(entry.path)
    if path.parent != PurePosixPath(_ROOM):
        return entry
    return replace(entry, path=f"{_ROOM}/{subject}/{path.name}")


def _names(sides: Sides) -> dict[str, str]:
    """Return the schedulers by what the guest calls them."""
    subjects = {_subject(number): side.name for number, side in enumerate(sides.sides)}
    return {DEFAULT: DEFAULT, **subjects}


def _specs(scenario: Scenario) -> tuple[tuple[str, bool], ...]:
    """Return the specifications of a scenario, and whether each is the floor."""
    own = ((scenario.name, False),)
    return own if scenario.floor is None else ((f"{scenario.name}.floor", True), *own)


def plan_of(
    scenarios: Sequence[Scenario], sides: Sides, *, cpus: int, seed: int, script: str
) -> GuestPlan:
    """Return what a guest is to do: the scenarios under each scheduler, with one seed."""
    expected = "".join(f"{cgroup} {ns}\n" for cgroup, ns in KNOWN.items())
    files = {"bench": script, "expected": expected}
    for scenario in scenarios:
        files[scenario.name] = scenario.text(cpus, seed)
        if scenario.floor is not None:
            files[f"{scenario.name}.floor"] = scenario.floor(cpus, seed)
    files["turn-warm"] = "".join(f"warm {scenario.name}\n" for scenario in scenarios[:_WARM_UPS])
    for who in _names(sides):
        steps = (spec for scenario in scenarios for spec, _ in _specs(scenario))
        files[f"turn-{who}"] = "".join(f"{who}.{spec} {spec}\n" for spec in steps)
    subjects = " ".join(_subject(number) for number in range(len(sides.sides)))
    settings = {"TIMEOUT_MS": str(_WATCHDOG_MS), "SUBJECTS": subjects}
    return GuestPlan("bench", settings, files, _SHIFT, Topology(cpus))


def measurements_of(
    report: GuestReport, scenarios: Sequence[Scenario], sides: Sides, *, seed: int
) -> tuple[Measurement, ...]:
    """Return the figures by scheduler and scenario, or what was in their way."""
    return tuple(
        _measurement(report, who, spec, Measurement(name, scenario.name, seed, floor))
        for who, name in _names(sides).items()
        for scenario in scenarios
        for spec, floor in _specs(scenario)
    )


def _measurement(report: GuestReport, who: str, spec: str, empty: Measurement) -> Measurement:
    step = f"{who}.{spec}"
    trouble = ("" if who == DEFAULT else _gone(report, who)) or _failed(report, step)
    if trouble:
        return replace(empty, trouble=trouble)
    groups = {
        name: data.model_dump(exclude={"group"}) for name, data in report.groups[step].items()
    }
    return replace(empty, groups=groups)


def _gone(report: GuestReport, subject: str) -> str:
    """Return why a scheduler was not in charge all through its turn, empty when it was."""
    begin, end = report.states.get(f"{subject}-begin"), report.states.get(f"{subject}-end")
    if begin is not None and same_enablement(begin, end):
        return ""
    exit_ = report.loader_event(subject, "exit") or report.loader_event(subject, "error")
    said = f"{exit_.reason} {exit_.message}".strip() if exit_ else ""
    said = said or report.texts.get(("program", subject), "").strip()[-400:]
    return f"it did not stay attached: {said or 'no reason was given'}"


def _failed(report: GuestReport, step: str) -> str:
    status = report.statuses.get(("workload", step))
    if status != 0 or step not in report.groups:
        said = report.texts.get(("workload", step), "").strip()
        return f"the workload ended with {status}: {said}"
    dropped = sum(group.samples_dropped for group in report.groups[step].values())
    return f"{dropped} samples were dropped" if dropped else ""
