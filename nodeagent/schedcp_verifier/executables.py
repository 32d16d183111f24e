"""Programs that load a scheduler by themselves: the file, and what it takes to start it elsewhere.

Reads files and judges nothing. A program is taken with its ELF interpreter and its shared libraries
as the dynamic linker would find them here without a cache: in the folders that the file itself
names, then in the standard ones. What it opens while it runs (plug-ins, configuration, character
sets) is not seen here and not there in a guest.
"""

from __future__ import annotations

import io
import os
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from schedcp_api.base import digest_of

from .errors import UsageError
from .initramfs import Entry, program

__all__ = ["Executable", "executable_at", "is_elf"]

PROGRAM_BYTES_MAX = 64 * 1024 * 1024
LIBRARIES_MAX = 64
LIBRARIES_BYTES_MAX = 64 * 1024 * 1024
_MAGIC = b"\x7fELF"
_MULTIARCH = "x86_64-linux-gnu"
STANDARD_FOLDERS = (
    *(Path(f"/{usr}lib/{_MULTIARCH}") for usr in ("", "usr/")),
    *(Path(folder) for folder in ("/lib64", "/usr/lib64", "/lib", "/usr/lib")),
)
"""Where the dynamic linkers of Debian and of Fedora look without a cache."""
_OF_THE_GUEST = ("bin", "dev", "guest", "init", "proc", "run", "sys")
"""First parts of paths that mean something else in a guest."""
_BY_ITSELF = 0x08000000
"""DF_1_PIE: a shared object that is a program."""
_DAMAGE = (
    ELFError,
    AssertionError,
    struct.error,
    LookupError,
    AttributeError,
    TypeError,
    UnicodeDecodeError,
    OverflowError,
    MemoryError,
)
"""What pyelftools raises for damaged files: it trusts sizes and places that are beyond any file."""


@dataclass(frozen=True)
class Companion:
    """A file that the program needs to be started, at its own path."""

    path: str
    data: bytes

    @cached_property
    def digest(self) -> str:
        """The digest of its content."""
        return digest_of(self.data)


@dataclass(frozen=True)
class Executable:
    """A program with the interpreter and the libraries that it is linked with."""

    path: str
    """Absolute, here and in a guest."""
    data: bytes
    companions: tuple[Companion, ...] = ()

    @cached_property
    def digest(self) -> str:
        """The digest of the program's file."""
        return digest_of(self.data)

    def inventory(self) -> list[str]:
        """Return path and digest of the program and of each of its companions."""
        files = (Companion(self.path, self.data), *self.companions)
        return [f"{file.path} {file.digest}" for file in files]

    def entries(self) -> list[Entry]:
        """Return all of it as members of an initramfs."""
        files = (Companion(self.path, self.data), *self.companions)
        return [program(file.path.removeprefix("/"), file.data) for file in files]


@dataclass(frozen=True)
class _Linked:
    """What one file is linked with."""

    interpreter: str
    needed: tuple[str, ...]
    folders: tuple[str, ...]
    """Where it wants them looked for."""


def is_elf(path: Path) -> bool:
    """Say whether a file begins as ELF files do; what cannot be read does not."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def executable_at(path: Path, *, standard: tuple[Path, ...] = STANDARD_FOLDERS) -> Executable:
    """Return the program in a file with all that it needs, or raise UsageError."""
    real = path.resolve()
    if not str(real).isprintable():
        raise UsageError(f"{str(real)!r} is no path that one line can hold")
    _refuse_folders_of_the_guest(real)
    data = _read(real, PROGRAM_BYTES_MAX)
    linked = _linked(real, data, is_program=True)
    return Executable(str(real), data, tuple(_companions(real, linked, standard)))


def _companions(path: Path, linked: _Linked, standard: tuple[Path, ...]) -> Iterator[Companion]:
    """Yield the interpreter and each library once, in the order in which the linker comes to them.

    As the linker does, take a library for found when one of its name was, whoever asked.
    """
    seen: set[str] = set()
    left = LIBRARIES_BYTES_MAX
    names = (*filter(None, (linked.interpreter,)), *linked.needed)
    waiting = deque((name, path, linked) for name in names)
    while waiting:
        name, asker, wants = waiting.popleft()
        if Path(name).name in seen:
            continue
        seen.add(Path(name).name)
        if len(seen) > LIBRARIES_MAX:
            raise UsageError(f"{path} needs more than {LIBRARIES_MAX} libraries")
        found = _library(name, asker, (*_named(asker, wants), *standard))
        _refuse_folders_of_the_guest(found)
        data = _read(found, left)
        left -= len(data)
        yield Companion(str(found), data)
        wants = _linked(found, data, is_program=False)
        waiting.extend((name, found, wants) for name in wants.needed)


def _named(asker: Path, linked: _Linked) -> list[Path]:
    """Return the folders that a file itself names; ORIGIN is the one word that all linkers know."""
    origin = str(asker.resolve().parent)
    texts = [
        text.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for text in linked.folders
    ]
    return [Path(os.path.normpath(t)) for t in texts if t.startswith("/") and "$" not in t]


def _library(name: str, asker: Path, folders: tuple[Path, ...]) -> Path:
    if name.startswith("/"):
        return Path(os.path.normpath(name))
    for folder in folders if "/" not in name else ():
        if _fits(folder / name):
            return folder / name
    raise UsageError(
        f"{asker} needs {name}, which is in none of {', '.join(map(str, folders))}: install it, or "
        "link the program statically"
    )


def _fits(path: Path) -> bool:
    """Say whether a file is for this machine: folders may hold libraries for several."""
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            return bool(elf.elfclass == 64 and elf["e_machine"] == "EM_X86_64")
    except (OSError, *_DAMAGE):
        return False


def _read(path: Path, limit: int) -> bytes:
    try:
        if not path.is_file():
            raise UsageError(f"{path} is no regular file")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    if len(data) > limit:
        raise UsageError(
            f"{path} is too large: a program may have {PROGRAM_BYTES_MAX >> 20} MiB, its libraries "
            f"{LIBRARIES_BYTES_MAX >> 20} MiB together"
        )
    return data


def _linked(path: Path, data: bytes, *, is_program: bool) -> _Linked:
    """Return what a file is linked with; refuse what is no program where one is asked for."""
    try:
        elf = ELFFile(io.BytesIO(data))
        _refuse_other_machines(path, elf)
        interpreter = ""
        tags: list[Any] = []
        for segment in elf.iter_segments():
            if isinstance(segment, InterpSegment):
                interpreter = segment.get_interp_name()
            elif isinstance(segment, DynamicSegment):
                tags = list(segment.iter_tags())
    except _DAMAGE as error:
        raise UsageError(f"{path} is damaged: {error!r}") from error
    by_itself = any(t.entry.d_tag == "DT_FLAGS_1" and t.entry.d_val & _BY_ITSELF for t in tags)
    if is_program and elf["e_type"] != "ET_EXEC" and not interpreter and not by_itself:
        raise UsageError(f"{path} is no program but {elf['e_type']}: link it to one")
    runpath = [tag.runpath for tag in tags if tag.entry.d_tag == "DT_RUNPATH"]
    rpath = [tag.rpath for tag in tags if tag.entry.d_tag == "DT_RPATH"]
    return _Linked(
        interpreter if is_program else "",
        tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"),
        tuple(folder for text in runpath or rpath for folder in text.split(":")),
    )


def _refuse_other_machines(path: Path, elf: ELFFile) -> None:
    if elf["e_machine"] == "EM_BPF":
        raise UsageError(f"{path} is a BPF object: verify its source, or the program that loads it")
    if elf["e_machine"] != "EM_X86_64" or elf.elfclass != 64:
        raise UsageError(f"{path} is for {elf['e_machine']} ({elf.elfclass} bits), not for x86-64")


def _refuse_folders_of_the_guest(path: Path) -> None:
    if path.parts[1:2] == () or path.parts[1] in _OF_THE_GUEST:
        raise UsageError(
            f"{path} would not be there in a guest, which has its own {', '.join(_OF_THE_GUEST)}: "
            "copy it to another folder"
        )
