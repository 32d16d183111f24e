"""A guest whose first process loads schedulers, one case after another, and tells of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schedcp_agent.loader import LoaderEvent, parse_event
from schedcp_verifier.initramfs import archive, file, program, symlink
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.microvm import MicroVm, VmSpec
from schedcp_verifier.settings import Settings

DATA = Path(__file__).parent.parent / "data"
APPLETS = (
    *("cat", "cmp", "cp", "cut", "dd", "echo", "grep", "kill", "mkdir", "mkfifo", "mount"),
    *("poweroff", "printf", "sed", "sh", "sha256sum", "sort", "tr", "usleep"),
)
SECONDS = 600.0
NOTHING: Mapping[str, bytes] = {}


@dataclass(frozen=True)
class Case:
    """How one case went: a status, the kernel's state after it, and the loader's events."""

    status: int
    state: str
    events: tuple[LoaderEvent, ...]

    def said(self, event: str) -> LoaderEvent:
        """Return the loader's event of that name; there must be one."""
        return next(found for found in self.events if found.event == event)


def run_cases(
    script: str,
    objects: Mapping[str, bytes],
    programs: Mapping[str, bytes] = NOTHING,
    *,
    kernel: KernelBundle,
    settings: Settings,
    folder: Path,
) -> dict[str, Case]:
    """Boot a guest that runs `script` of the tests' data, with these; return its cases."""
    lines = [DATA / "loader-guest.sh", DATA / script]
    image = archive(
        [
            program("init", b"#!/bin/sh\n" + b"".join(path.read_bytes() for path in lines)),
            program("bin/busybox", settings.busybox.read_bytes()),
            *(symlink(f"bin/{applet}", "busybox") for applet in APPLETS),
            program("bin/schedcp-loader", (settings.programs / "schedcp-loader").read_bytes()),
            *(file(f"objects/{name}.o", data) for name, data in objects.items()),
            *(program(f"programs/{name}", data) for name, data in programs.items()),
        ]
    )
    initramfs = folder / "initramfs"
    initramfs.write_bytes(image)
    with MicroVm(VmSpec(kernel.image, initramfs, SECONDS, qemu=settings.qemu)) as vm:
        said = [line.decode() for line in vm.lines()]
        assert said, vm.console.text()[-2000:]
    return parsed(said)


def parsed(lines: list[str]) -> dict[str, Case]:
    """Put the script's lines together by case; the last word on a case counts."""
    heads: dict[str, tuple[int, str]] = {}
    events: dict[str, list[LoaderEvent]] = {}
    for line in lines:
        name, tab, said = line.partition("\t")
        if tab:
            event = parse_event(said.encode())
            if event is not None:
                events.setdefault(name, []).append(event)
        else:
            name, status, state = line.split(" ")
            heads[name] = (int(status), state)
    return {name: Case(*head, tuple(events.get(name, []))) for name, head in heads.items()}
