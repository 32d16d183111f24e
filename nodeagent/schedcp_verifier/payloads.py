"""What a guest is given to be put in charge: an object for the loader, or a program that loads.

Pure but for the kernel bundle's configuration, which programs want to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument

from .executables import Executable
from .initramfs import Entry, file
from .kernels import KernelBundle

__all__ = ["LoadedObject", "Payload", "StartedProgram"]


class Payload(Protocol):
    """A scheduler as a guest gets it."""

    def settings(self) -> dict[str, str]:
        """Return variables of the guest's plan; values need no quoting inside quotes."""
        ...

    def entries(self, kernel: KernelBundle) -> list[Entry]:
        """Return the files that the guest needs for it."""
        ...


@dataclass(frozen=True)
class LoadedObject:
    """A BPF object that `schedcp-loader` loads, with its knobs."""

    object: bytes
    arguments: tuple[Argument, ...]

    @property
    def digest(self) -> str:
        """The digest of the object."""
        return digest_of(self.object)

    def settings(self) -> dict[str, str]:
        """Return what the loader is told."""
        knobs = " ".join(f"--knob {a.name}={a.value}" for a in self.arguments)
        return {"DIGEST": self.digest, "KNOBS": knobs, "PROGRAM": ""}

    def entries(self, kernel: KernelBundle) -> list[Entry]:  # noqa: ARG002 -- the loader asks nothing
        """Return the object."""
        return [file("guest/candidate.o", self.object)]


@dataclass(frozen=True)
class StartedProgram:
    """A program that loads its scheduler by itself, with its command line."""

    executable: Executable
    command_line: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The digest of the program's file."""
        return self.executable.digest

    def settings(self) -> dict[str, str]:
        """Say that a program is started; its words are no part of any script."""
        return {"PROGRAM": "yes"}

    def entries(self, kernel: KernelBundle) -> list[Entry]:
        """Return the program with what it is linked with, its words, the kernel's configuration."""
        words = (self.executable.path, *self.command_line)
        return [
            *self.executable.entries(),
            file("guest/command", "".join(f"{word}\n" for word in words).encode()),
            file(f"boot/config-{kernel.profile.release}", kernel.config),
        ]
