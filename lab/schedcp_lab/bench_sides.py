"""The schedulers that a bench compares, from what is asked for to what a guest can run.

A name may carry knobs: `latency_class:slice_ns=4000000:ageing_ns=500000000`. A path is that of a
program that loads its scheduler by itself, with the words of its command line after it; it counts
as one to compare with. Whatever else a guest can be given becomes a `Side` here.
"""

from __future__ import annotations

from pathlib import Path, PurePath

from schedcp_api.candidates import Argument
from schedcp_lab.bench_guests import DEFAULT, Side
from schedcp_lab.errors import LabError
from schedcp_verifier.building import BuildRoom
from schedcp_verifier.executables import executable_at
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.payloads import LoadedObject, StartedProgram
from schedcp_verifier.verifying import Verifier

__all__ = ["sides_of"]


def sides_of(named: str, verifier: Verifier, kernel: KernelBundle) -> tuple[Side, ...]:
    """Return the schedulers of a list with commas, without names those of the library.

    Raise LabError for what does not build or has no such knob.
    """
    names = named.split(",") if named else verifier.library.names()
    return tuple(_side(name, verifier, kernel) for name in names if name and name != DEFAULT)


def _side(named: str, verifier: Verifier, kernel: KernelBundle) -> Side:
    name, *settings = named.split(":")
    if "/" in name:
        program = StartedProgram(executable_at(Path(name)), tuple(settings))
        return Side(PurePath(name).name, program, own=False)
    found = verifier.library.scheduler(name)
    arguments = tuple(_argument(setting) for setting in sorted(settings))
    problems = found.manifest.problems(arguments)
    if problems:
        raise LabError(f"{named}: {'; '.join(problems)}")
    with BuildRoom.prepared(f"{name}.bpf.c", kernel=kernel, tools=verifier.tools) as room:
        built = room.compile(found.source)
    if built.object is None:
        raise LabError(f"{name} does not build: {built.checks[0].message}")
    return Side(named, LoadedObject(built.object, arguments))


def _argument(setting: str) -> Argument:
    name, equals, value = setting.partition("=")
    if not equals:
        raise LabError(f"{setting!r} is no knob: write NAME=VALUE")
    return Argument(name=name, value=value)
