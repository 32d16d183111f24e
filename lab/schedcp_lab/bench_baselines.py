"""The two verifiers to compare with: search for "error", and look whether it is still enabled.

Both load the object that the plain compiler makes, let a few hogs run beside it for ten seconds of
virtual time, and ask one question each. Neither has a loader of ours in the way: what refuses an
object here is the compiler, libbpf or the kernel. docs/verifier.md says how they are made.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from schedcp_api.base import digest_of
from schedcp_lab.bench_cases import Case
from schedcp_lab.bench_results import Trial
from schedcp_lab.errors import CommandFailed
from schedcp_lab.processes import Completed, run
from schedcp_verifier.errors import VmError, VmLostError
from schedcp_verifier.initramfs import archive, file, program, symlink
from schedcp_verifier.microvm import MicroVm, VmSpec

__all__ = [
    "BATCH",
    "BaselineTools",
    "Batch",
    "Loaded",
    "built",
    "programs_of",
    "read_trials",
    "trials_of",
]

BATCH = 12
"""Objects in one guest, at most."""
SECONDS_EACH = 10
HOGS = 6
"""More than the guest has CPUs."""

_SHIFT = 4
"""An instruction takes 16 ns of virtual time: on a slow machine ten seconds are soon over."""
_COMPILE_SECONDS = 60.0
_GUEST_SECONDS = 1800.0
_SILENCE_SECONDS = 240.0
"""How long a guest may say nothing before it counts as hung: it says something every 5 s of its
time, which a quiet machine goes through in 2 s, and for 10 s nothing under a scheduler that starves
whoever says it."""
_APPLETS = ("base64", "cat", "dmesg", "echo", "grep", "mkdir", "mount", "poweroff", "rm", "sh",
            "sleep", "tail", "tr")  # fmt: skip
_FLAGS = (
    *("-g", "-O2", "-target", "bpf", "-mcpu=v4", "-Wall"),
    *("-fms-extensions", "-Wno-microsoft-anon-tag"),
)
_SAID_CHARS = 600


@dataclass(frozen=True)
class BaselineTools:
    """What the baselines take from the machine."""

    clang: str
    strip: str
    headers: tuple[Path, ...]
    """Include folders beside the kernel's."""
    sources: Path
    """`lab/baselines`."""
    libelf: Path
    """What completes a static libelf."""
    busybox: Path
    qemu: str

    def identity(self) -> str:
        """Return the digest of what a guest is made of, but its machine, kernel and candidates."""
        settings = f"{SECONDS_EACH} {HOGS} {_SHIFT} {_FLAGS}".encode()
        files = (self.sources / "baseline.c", self.sources / "init", self.busybox)
        return digest_of(b"".join([settings, *(path.read_bytes() for path in files)]))


@dataclass(frozen=True)
class Loaded:
    """An object to be loaded, by the name of its case."""

    case: str
    object: bytes


@dataclass(frozen=True)
class Batch:
    """What one guest is to load."""

    tools: BaselineTools
    kernel: Path
    """The folder of a kernel bundle."""
    programs: Path
    cases: tuple[Case, ...]


def programs_of(tools: BaselineTools, folder: Path) -> None:
    """Build the guest's program into a folder."""
    flags = _words(("pkg-config", "--static", "--cflags", "--libs", "libbpf", "libelf"))
    sources = (tools.sources / "baseline.c", tools.libelf)
    run(
        ["gcc", "-O2", "-static", "-D_GNU_SOURCE", "-o", folder / "baseline", *sources, *flags],
        timeout_seconds=_COMPILE_SECONDS,
    )


def _words(command: Sequence[str]) -> list[str]:
    return run(command, timeout_seconds=_COMPILE_SECONDS).stdout.split()


def built(case: Case, tools: BaselineTools, kernel: Path) -> Loaded | Trial:
    """Return a case's object, or the end of its trial where there is none."""
    with tempfile.TemporaryDirectory(prefix="schedcp-bench-") as folder:
        object_ = Path(folder) / "object.o"
        include = [f"-I{path}" for path in (kernel, *tools.headers)]
        commands: tuple[list[str | Path], ...] = (
            [tools.clang, *_FLAGS, *include, "-c", case.path, "-o", object_],
            [tools.strip, "--strip-debug", object_],
        )
        for command in commands:
            done = _tolerant(command)
            if done.returncode != 0:
                # A build that fails needs no search for words to be noticed.
                return Trial(built=False, said_error=True, enabled=False, said=_end(done.stderr))
        return Loaded(case.name, object_.read_bytes())


def _tolerant(command: list[str | Path]) -> Completed:
    """Run a compiler; one that does not come to an end has failed."""
    try:
        return run(command, timeout_seconds=_COMPILE_SECONDS, check=False)
    except CommandFailed as trouble:
        return Completed(tuple(map(str, command)), 1, "", str(trouble))


def trials_of(batch: Batch) -> list[tuple[str, Trial]]:
    """Return how each case of a batch fared; a guest that dies is followed by another one."""
    left: list[Loaded] = []
    found: list[tuple[str, Trial]] = []
    for case in batch.cases:
        made = built(case, batch.tools, batch.kernel)
        if isinstance(made, Loaded):
            left.append(made)
        else:
            found.append((case.name, made))
    while left:
        done = list(_trials(batch, left))
        if not done:
            # Not even the first was come to: the machine is to blame, and will be again.
            raise VmLostError("the baselines' guest ended before it loaded anything")
        found += done
        known = {name for name, _ in done}
        left = [loaded for loaded in left if loaded.case not in known]
    return found


def _trials(batch: Batch, objects: Sequence[Loaded]) -> Iterator[tuple[str, Trial]]:
    """Boot one guest and yield what it tells, the object that it died with as the last."""
    names = {f"{number:03}": loaded.case for number, loaded in enumerate(objects)}
    with tempfile.TemporaryDirectory(prefix="schedcp-bench-") as folder:
        initramfs = Path(folder) / "initramfs"
        initramfs.write_bytes(_image(batch, objects))
        spec = VmSpec(
            batch.kernel / "vmlinuz",
            initramfs,
            _GUEST_SECONDS,
            qemu=batch.tools.qemu,
            shift=_SHIFT,
            cpu=min(os.sched_getaffinity(0)),
        )
        yield from read_trials(_lines(spec), names)


def read_trials(
    lines: Iterable[bytes | None], names: dict[str, str]
) -> Iterator[tuple[str, Trial]]:
    """Yield the trial of each object from a guest's lines; None among them is the guest's death."""
    current: str | None = None
    for line in lines:
        words = line.decode(errors="replace").split(" ") if line is not None else []
        if words[:1] == ["begin"] and len(words) == 2:
            current = words[1]
        elif words[:1] == ["end"] and len(words) == 6 and words[1] == current:
            yield names[current], _trial(*words[2:])
            current = None
        elif line is None and current is not None:
            yield names[current], Trial(True, False, False, crashed=True, said="the guest died")


def _lines(spec: VmSpec) -> Iterator[bytes | None]:
    """Yield what a guest says, and None when it dies or falls silent for too long."""
    stopping = threading.Event()
    timer = _alarm(stopping)
    try:
        with MicroVm(spec, stopping) as vm:
            for line in vm.lines():
                timer.cancel()
                timer = _alarm(stopping)
                yield line
        yield None  # a kernel that panics ends QEMU as orderly as one that powers off
    except VmError:
        yield None
    finally:
        timer.cancel()


def _alarm(stopping: threading.Event) -> threading.Timer:
    timer = threading.Timer(_SILENCE_SECONDS, stopping.set)
    timer.daemon = True
    timer.start()
    return timer


def _trial(state: str, ops: str, name: str, encoded: str) -> Trial:
    try:
        said = base64.b64decode(encoded, validate=True).decode(errors="replace")
    except binascii.Error:
        said = ""
    return Trial(
        built=True,
        said_error="error" in said.lower(),
        enabled=state == "enabled" and ops == name,
        said=_end(said),
    )


def _end(text: str) -> str:
    return text.strip()[-_SAID_CHARS:]


def _image(batch: Batch, objects: Sequence[Loaded]) -> bytes:
    plan = f"SECONDS_EACH={SECONDS_EACH}\nHOGS={HOGS}\n"
    return archive(
        [
            program("init", (batch.tools.sources / "init").read_bytes()),
            program("bin/busybox", batch.tools.busybox.read_bytes()),
            *(symlink(f"bin/{applet}", "busybox") for applet in _APPLETS),
            program("bin/baseline", (batch.programs / "baseline").read_bytes()),
            file("guest/plan", plan.encode()),
            *(
                file(f"guest/objects/{number:03}", loaded.object)
                for number, loaded in enumerate(objects)
            ),
        ]
    )
