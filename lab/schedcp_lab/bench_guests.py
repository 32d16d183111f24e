"""One guest in which many schedulers do the same work in turn, and what it says of each.

Each turn has a seed of its own; within it the kernel's scheduler comes first, then the subjects. A
turn before the first one warms the machine up and is not counted.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from schedcp_lab.bench_scenarios import FLOOR, KNOWN, Scenario
from schedcp_lab.errors import LabError
from schedcp_verifier.attaching import same_enablement
from schedcp_verifier.guests import GuestFactory, GuestPlan
from schedcp_verifier.initramfs import Entry, file
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.microvm import Topology
from schedcp_verifier.payloads import Payload
from schedcp_verifier.records import GroupData, GuestReport

__all__ = ["DEFAULT", "Measurement", "Side", "Sides", "measure", "measurements_of", "plan_of"]

DEFAULT = "default"
_SHIFT = 1
_WATCHDOG_MS = 30_000
_ROOM = "guest"


@dataclass(frozen=True)
class Side:
    """A scheduler that is measured beside the kernel's own."""

    name: str
    payload: Payload


@dataclass(frozen=True)
class Measurement:
    """What one scheduler came to in one scenario with one seed."""

    scheduler: str
    scenario: str
    seed: int
    groups: dict[str, GroupData]
    floor: bool = False
    trouble: str = ""
    """Why there are no figures, where there are none."""


@dataclass(frozen=True)
class Sides:
    """All subjects of a guest, as one payload: each has a folder of its own."""

    sides: tuple[Side, ...]

    def settings(self) -> dict[str, str]:
        """Return nothing: each subject's settings are in its folder."""
        return {"KNOBS": "", "PROGRAM": "", "DIGEST": ""}

    def entries(self, kernel: KernelBundle) -> list[Entry]:
        """Return the files of all subjects; what several bring, like a library, comes once."""
        found: dict[str, Entry] = {}
        for number, side in enumerate(self.sides):
            room = _room(number)
            settings = {"KNOBS": "", "DIGEST": "", **side.payload.settings()}
            text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
            own = [file(f"{_ROOM}/{room}/settings", text.encode())]
            own += [_moved(entry, room) for entry in side.payload.entries(kernel)]
            for entry in own:
                if found.setdefault(entry.path, entry) != entry:
                    raise LabError(
                        f"{side.name} brings another {entry.path} than a scheduler beside it: "
                        "measure them one at a time"
                    )
        return list(found.values())


def _room(number: int) -> str:
    return f"subject{number}"


def _moved(entry: Entry, room: str) -> Entry:
    """Return a file of the guest's own folder in that of a subject."""
    path = PurePosixPath(entry.path)
    if path.parent != PurePosixPath(_ROOM):
        return entry
    return replace(entry, path=f"{_ROOM}/{room}/{path.name}")


def plan_of(
    scenarios: Sequence[Scenario], sides: Sides, *, cpus: int, seeds: int, script: Path
) -> GuestPlan:
    """Return what a guest is to do: the scenarios under each scheduler, for each seed."""
    files = {
        "bench": script.read_text(encoding="utf-8"),
        "expected": "".join(f"{cgroup} {ns}\n" for cgroup, ns in KNOWN.items()),
    }
    turns = range(1, seeds + 1)
    for seed in (0, *turns):
        for scenario in scenarios:
            files[f"{scenario.name}-{seed}"] = scenario.text(cpus, seed)
            if scenario.floor is not None:
                files[f"{scenario.name}-{FLOOR}-{seed}"] = scenario.floor(cpus, seed)
    files["turn-warm"] = "".join(f"warm {scenario.name}-0\n" for scenario in scenarios)
    rooms = [_room(number) for number in range(len(sides.sides))]
    for who in (DEFAULT, *rooms):
        for seed in turns:
            lines = [
                f"{who}.{spec}-{seed} {spec}-{seed}\n"
                for scenario in scenarios
                for spec in _specs(scenario)
            ]
            files[f"turn-{who}-{seed}"] = "".join(lines)
    settings = {
        "TIMEOUT_MS": str(_WATCHDOG_MS),
        "TURNS": " ".join(map(str, turns)),
        "SUBJECTS": " ".join(rooms),
    }
    return GuestPlan("bench", settings, files, _SHIFT, Topology(cpus))


def _specs(scenario: Scenario) -> tuple[str, ...]:
    if scenario.floor is None:
        return (scenario.name,)
    return (f"{scenario.name}-{FLOOR}", scenario.name)


def measure(
    guests: GuestFactory,
    kernel: KernelBundle,
    scenarios: Sequence[Scenario],
    sides: Sides,
    *,
    cpus: int,
    seeds: int,
    script: Path,
) -> tuple[Measurement, ...]:
    """Boot one guest and return what it measured; raise VmError when it did not finish."""
    plan = plan_of(scenarios, sides, cpus=cpus, seeds=seeds, script=script)
    report = guests.run(plan, kernel, sides).report
    return measurements_of(report, scenarios, sides, seeds=seeds)


def measurements_of(
    report: GuestReport, scenarios: Sequence[Scenario], sides: Sides, *, seeds: int
) -> tuple[Measurement, ...]:
    """Return the figures by scheduler, scenario and seed, or what was in their way."""
    named = [(DEFAULT, DEFAULT)]
    named += [(_room(number), side.name) for number, side in enumerate(sides.sides)]
    found = []
    for who, name in named:
        for seed in range(1, seeds + 1):
            trouble = "" if who == DEFAULT else _gone(report, f"{who}-{seed}")
            for scenario in scenarios:
                for spec in _specs(scenario):
                    step = f"{who}.{spec}-{seed}"
                    groups = {} if trouble else report.groups.get(step, {})
                    found.append(
                        Measurement(
                            name,
                            scenario.name,
                            seed,
                            groups,
                            floor=spec != scenario.name,
                            trouble=trouble or _failed(report, step),
                        )
                    )
    return tuple(found)


def _gone(report: GuestReport, turn: str) -> str:
    """Return why a scheduler was not in charge all through its turn, empty when it was."""
    begin, end = report.states.get(f"{turn}-begin"), report.states.get(f"{turn}-end")
    if begin is not None and same_enablement(begin, end):
        return ""
    exit_ = report.loader_event(turn, "exit") or report.loader_event(turn, "error")
    said = f"{exit_.reason} {exit_.message}".strip() if exit_ else ""
    said = said or report.texts.get(("program", turn), "").strip()[-400:]
    return f"it did not stay attached: {said or 'no reason was given'}"


def _failed(report: GuestReport, step: str) -> str:
    status = report.statuses.get(("workload", step))
    if status == 0 and report.groups.get(step):
        return ""
    said = report.texts.get(("workload", step), "").strip()
    return f"the workload ended with {status}: {said}"
