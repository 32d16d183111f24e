"""The schedulers that a bench compares, from what is asked for to what a guest can run.

A name may carry knobs: `latency_class:slice_ns=4000000:ageing_ns=500000000`. A path, or the name of
a program of the library, is that of a program that loads its scheduler by itself, with the words of
its command line after it; it counts as one to compare with.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath

from schedcp_api.candidates import Argument
from schedcp_lab.bench_guests import DEFAULT, Side
from schedcp_lab.errors import LabError
from schedcp_verifier.building import BuildRoom
from schedcp_verifier.errors import ToolMissing
from schedcp_verifier.executables import executable_at
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library, LibraryProgram
from schedcp_verifier.payloads import LoadedObject, StartedProgram
from schedcp_verifier.verifying import Verifier

__all__ = ["names_by_default", "sides_of"]


def names_by_default(library: Library) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return whom a bench compares unless it is told: ours, and the programs that are built.

    Beside them, why each of the others is left out.
    """
    ours = library.own_names()
    built, left_out = [], []
    for name in library.names():
        if name in ours:
            continue
        try:
            library.program(name)
        except ToolMissing as missing:
            left_out.append(str(missing))
        else:
            built.append(name)
    return (*ours, *built), tuple(left_out)


def sides_of(named: Iterable[str], verifier: Verifier, kernel: KernelBundle) -> tuple[Side, ...]:
    """Return the schedulers of a list, without the kernel's own, which is always measured.

    Raise LabError for what does not build or has no such knob.
    """
    return tuple(_side(name, verifier, kernel) for name in named if name and name != DEFAULT)


def _side(named: str, verifier: Verifier, kernel: KernelBundle) -> Side:
    name, *settings = named.split(":")
    if "/" in name:
        program = StartedProgram(executable_at(Path(name)), tuple(settings))
        return Side(PurePath(name).name, program, own=False)
    stock = verifier.library.program(name)
    if stock is not None:
        return _started(named, stock, tuple(settings))
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


def _started(named: str, found: LibraryProgram, words: tuple[str, ...]) -> Side:
    program = found.manifest.program
    command_line = (*(program.always if program else ()), *words)
    problems = program.problems(command_line) if program else ()
    if problems:
        raise LabError(f"{named}: {'; '.join(problems)}")
    return Side(named, StartedProgram(found.executable, command_line), own=False)


def _argument(setting: str) -> Argument:
    name, equals, value = setting.partition("=")
    if not equals:
        raise LabError(f"{setting!r} is no knob: write NAME=VALUE")
    return Argument(name=name, value=value)
