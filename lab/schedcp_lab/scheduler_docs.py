"""docs/schedulers.md: what there is to choose from, as the manifests say it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from schedcp_api.manifests import Knob, Measured, Parameter, Program, SchedulerManifest

__all__ = ["PAGE", "manifests_in", "schedulers_page"]

PAGE = "docs/schedulers.md"
_HEAD = (
    "<!-- Made from schedulers/manifests by `make generate`. Do not edit. -->\n"
    "# Schedulers\n\n"
    "What a plan may choose from. Knobs are set before a scheduler is loaded, in the unit that "
    "their names end in: `schedcp-verifier verify NAME -- KNOB=VALUE`. Programs of the scx project "
    "have parameters on their command line: `schedcp-verifier verify NAME -- --FLAG VALUE`. "
    "`schedcp-agent probe-kernel` says what a node's kernel lacks of the needs, "
    "`make bench-kernels` what runs on which kernel. What becomes of the CPU contract (weights, "
    "`cpu.max`, cpusets, nice values) is measured for every candidate by the Contract stage, and "
    "is in its verdict and its token; what a scheduler does not aim at is under *Bad for*.\n"
)
_UNITS = {"ns": (("s", 10**9), ("ms", 10**6), ("us", 10**3))}
"""Larger units that a number may be told in when it is a whole number of them."""


def manifests_in(folder: Path) -> tuple[SchedulerManifest, ...]:
    """Return all manifests of a folder by name; raise ValueError for one that is none."""
    return tuple(
        SchedulerManifest.model_validate(yaml.safe_load(path.read_text()))
        for path in sorted(folder.glob("*.yaml"))
    )


def schedulers_page(manifests: Sequence[SchedulerManifest]) -> str:
    """Return the page: a table of all, then a section for each."""
    rows = [
        [f"[{manifest.name}](#{manifest.name})", _line(manifest.summary)] for manifest in manifests
    ]
    sections = ("\n".join(_section(manifest)) for manifest in manifests)
    return "\n".join([_HEAD, _table(("scheduler", "policy"), rows), *sections])


def _section(manifest: SchedulerManifest) -> Iterator[str]:
    """Yield the paragraphs of one scheduler; what is not there has none."""
    yield f"## {manifest.name}\n"
    yield f"{_line(manifest.summary)}\n"
    yield f"- Good for: {_line(manifest.good_for)}."
    yield f"- Bad for: {_line(manifest.bad_for)}."
    yield f"- In the kernel it is called `{manifest.ops_name}`; licence {manifest.license}."
    if manifest.source:
        yield f"- Source: [{manifest.source}](../schedulers/{manifest.source})."
    if manifest.program:
        yield from _program(manifest.program)
    if manifest.needs:
        yield f"- Needs of the kernel: {_names(manifest.needs)}."
    if manifest.statistics:
        yield f"- Statistics: {_names(manifest.statistics)}."
    for measured in manifest.measured:
        yield f"- On {measured.kernels}: {_measured(measured)}."
    yield ""
    if manifest.knobs:
        heads = ("knob", "type", "default", "range", "meaning")
        yield _table(heads, [_knob(knob) for knob in manifest.knobs])
    if manifest.program and manifest.program.parameters:
        heads = ("parameter", "type", "default", "range", "meaning")
        yield _table(heads, [_parameter(found) for found in manifest.program.parameters])


def _program(program: Program) -> Iterator[str]:
    """Yield what sets a program apart: where it comes from, and what it needs of a machine."""
    yield f"- A program: crate {program.crate} {program.version}, `{program.crate_digest}`."
    if program.always:
        yield f"- Must be given: {_names(program.always)}."
    for group in program.exclusive:
        yield f"- At most one of: {_names(group)}."
    if program.prerequisites:
        yield f"- Prerequisites: {'; '.join(program.prerequisites)}."
    if program.statistics_socket:
        yield f"- Tells its statistics at `{program.statistics_socket}`."


def _measured(measured: Measured) -> str:
    """Return what the verifier said of it."""
    losses = ", ".join(measured.contract_losses) or "nothing"
    if measured.accepted:
        return f"accepted; of the CPU contract it loses {losses}"
    return f"refused for {'; '.join(measured.refused_for)}"


def _parameter(parameter: Parameter) -> list[str]:
    name = f"`{parameter.flag}`" + (f", `{parameter.letter}`" if parameter.letter else "")
    span = ", ".join(parameter.choices)
    if parameter.minimum is not None:
        span = f"{parameter.minimum} to {parameter.maximum} {parameter.unit}".rstrip()
    return [name, parameter.type, parameter.default, span, parameter.summary]


def _knob(knob: Knob) -> list[str]:
    if knob.type == "bool":
        return [f"`{knob.name}`", knob.type, "true" if knob.default else "false", "", knob.summary]
    span = f"{_amount(knob.minimum, knob.unit)} to {_amount(knob.maximum, knob.unit)}"
    default = _amount(knob.default, knob.unit)
    return [f"`{knob.name}`", knob.type, default, span, knob.summary]


def _amount(number: int, unit: str) -> str:
    """Return a number with its unit, in the largest one that it is a whole number of."""
    for larger, size in _UNITS.get(unit, ()):
        if number and number % size == 0:
            return f"{number // size} {larger}"
    return f"{number} {unit}".rstrip()


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _line(text: str) -> str:
    """Return a text of a manifest on one line."""
    return " ".join(text.split())


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in lines)
