"""Put a guest together, boot it, and return what it reported.

Two kinds of guest: the proof (attach, trials, contract) and the replay. Both get everything they
need in their initramfs: programs, plan, workloads and the candidate.
"""

from __future__ import annotations

import os
import queue
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from schedcp_api.base import digest_of
from schedcp_api.verdicts import EvaluationContract

from .errors import ToolMissing, VmError, VmLostError
from .initramfs import Entry, archive, file, program, symlink
from .kernellog import LOG_DENIED
from .kernels import KernelBundle
from .microvm import MAIN, VCPUS, MicroVm, Topology, VmSpec
from .payloads import Payload
from .records import Charge, GuestReport, parse_report
from .replaying import arm_names
from .soaking import SOAK_SECONDS
from .troubles import MAIN_COURSE, Course
from .workloads import HOG_BURST_NS, WorkloadSpec

__all__ = [
    "CpuPool",
    "GuestFactory",
    "GuestPlan",
    "GuestRun",
    "course_plan",
    "proof_plan",
    "replay_plan",
]

_SCRIPTS = Path(__file__).parent / "guest"
_APPLETS = (
    *("base64", "cat", "dmesg", "echo", "grep", "kill", "mkdir", "mount", "poweroff", "sed"),
    *("ln", "sh", "sha256sum", "sleep", "stat", "tail", "tr", "usleep"),
)
_PROGRAMS = ("schedcp-loader", "workload", "metronome", "heartbeat", "trials")
_PROOF_SHIFT = 2
_REPLAY_SHIFT = 1
"""The replay's figures are finer than the proof's; the proof has more to do."""
PROOF_WATCHDOG_MS = 4200
"""The kernel's watchdog while a candidate is proven: short, so that a stall shows in little time,
but above the 4096 ms below which newer kernels warn that their rescue of bypassed tasks comes too
late. On a node it is the contract's."""


@dataclass(frozen=True)
class GuestPlan:
    """What a guest is to do: which steps, with which settings and files."""

    steps: str
    settings: Mapping[str, str]
    files: Mapping[str, str]
    shift: int
    topology: Topology = MAIN

    def without_candidate(self) -> GuestPlan:
        """Return the same plan under the kernel's own scheduler alone."""
        return replace(self, settings={**self.settings, "CONTROL": "yes"})


@dataclass(frozen=True)
class GuestRun:
    """What came of one guest."""

    report: GuestReport
    console: str
    seconds: float
    cpu_seconds: float


def course_plan(contract: EvaluationContract, course: Course) -> GuestPlan:
    """Return the plan of a proof's trials alone."""
    settings = {
        "TIMEOUT_MS": str(min(PROOF_WATCHDOG_MS, contract.watchdog_ms)),
        "CONTROL": "",
        "CONTRACT": "",
        "SOAK_SECONDS": "",
        "TRIALS": " ".join(course.trials),
        "COMPARED": " ".join(course.compared),
    }
    return GuestPlan("proof", settings, {}, _PROOF_SHIFT, course.topology)


def proof_plan(contract: EvaluationContract) -> GuestPlan:
    """Return the plan of a proof: the trials, and what becomes of the CPU contract."""
    plan = course_plan(contract, MAIN_COURSE)
    return replace(
        plan,
        settings={**plan.settings, "CONTRACT": "yes", "SOAK_SECONDS": str(SOAK_SECONDS)},
        files=_contract_workloads(),
    )


def _contract_workloads() -> dict[str, str]:
    """Return the workloads that show the CPU contract; groups start in the order of their lines."""
    hog = f"burst_ns=fixed:{HOG_BURST_NS}"
    weight = [
        f"group {name} threads={VCPUS} {hog} cgroup={name}\n" for name in ("heavy", "light", "idle")
    ]
    nice = [
        f"group ordinary threads={VCPUS} {hog} cgroup=nice\n",
        f"group nice10 threads={VCPUS} nice=10 {hog} cgroup=nice\n",
    ]
    limits = f"group capped {hog} cgroup=capped\ngroup fenced threads=2 {hog} cgroup=fenced\n"
    shared = "warmup_ns 200000000\nduration_ns 600000000\n"
    return {
        "contract-weight-first": shared + "".join(weight),
        "contract-weight-last": shared + "".join(reversed(weight)),
        "contract-nice-first": shared + "".join(nice),
        "contract-nice-last": shared + "".join(reversed(nice)),
        "contract-limits": "warmup_ns 300000000\nduration_ns 1000000000\n" + limits,
    }


def replay_plan(contract: EvaluationContract, spec: WorkloadSpec) -> GuestPlan:
    """Return the plan of a replay."""
    files = {f"arm-{seed}": spec.text(seed) for seed in range(1, contract.seeds + 1)}
    files |= {"arm-warm": spec.text(0), "arm-floor": spec.text(0, neighbours=False)}
    return GuestPlan(
        "replay",
        {"TIMEOUT_MS": str(contract.watchdog_ms), "ARMS": " ".join(arm_names(contract.seeds))},
        files,
        _REPLAY_SHIFT,
    )


@dataclass(frozen=True)
class CpuPool:
    """The host's CPUs that guests may use, one each; whoever finds none waits."""

    free: queue.SimpleQueue[int]
    size: int

    @classmethod
    def of_process(cls) -> Self:
        """Return the CPUs of this process, beginning somewhere else in each process."""
        cpus = sorted(os.sched_getaffinity(0))
        first = os.getpid() % len(cpus)
        free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for cpu in (*cpus[first:], *cpus[:first]):
            free.put(cpu)
        return cls(free, len(cpus))

    @contextmanager
    def lease(self) -> Iterator[int]:
        """Have a CPU until the end of the block; who has one gives it back by its deadline."""
        cpu = self.free.get()
        try:
            yield cpu
        finally:
            self.free.put(cpu)


@dataclass(frozen=True)
class GuestFactory:
    """Boots guests with the programs of one place."""

    programs: Path
    """The folder of the loader and the guest's programs, all static."""
    busybox: Path
    qemu: str
    deadline_seconds: float
    stopping: threading.Event = field(default_factory=threading.Event, compare=False)
    """Set it to give up every guest that runs."""
    cpus: CpuPool = field(default_factory=CpuPool.of_process, compare=False)
    """Each guest has one of the host's CPUs to itself."""

    def run(self, plan: GuestPlan, kernel: KernelBundle, payload: Payload) -> GuestRun:
        """Boot a guest and return its report; raise VmLostError when it did not finish."""
        try:
            return self._run(plan, kernel, self._entries(plan, kernel, payload))
        except OSError as trouble:
            raise VmError(f"cannot prepare a guest: {trouble}") from trouble

    def _run(self, plan: GuestPlan, kernel: KernelBundle, entries: list[Entry]) -> GuestRun:
        image = archive(entries)
        with (
            tempfile.TemporaryDirectory(prefix="schedcp-guest-") as folder,
            self.cpus.lease() as cpu,
        ):
            started = time.monotonic()
            initramfs = Path(folder) / "initramfs"
            initramfs.write_bytes(image)
            spec = VmSpec(
                kernel.image,
                initramfs,
                self.deadline_seconds,
                qemu=self.qemu,
                topology=plan.topology,
                shift=plan.shift,
                cpu=cpu,
            )
            with MicroVm(spec, self.stopping) as vm:
                report = self._report(vm)
                console = vm.console.text()
        if report.btf_digest != kernel.profile.btf_digest:
            raise VmError(
                f"the guest's kernel has types {report.btf_digest or 'unknown'}, but the bundle "
                f"says {kernel.profile.btf_digest}: make the bundle anew"
            )
        return GuestRun(report, console, time.monotonic() - started, vm.cpu_seconds)

    def _report(self, vm: MicroVm) -> GuestReport:
        """Return what a guest says until its end, or raise VmLostError saying who was in charge."""
        charge = Charge()
        try:
            report = parse_report(vm.lines(), charge)
        except VmLostError as lost:
            guilty = charge.candidate and not self.stopping.is_set()
            raise VmLostError(
                str(lost), under_candidate=guilty, late_after=lost.late_after
            ) from lost
        if not report.complete:
            console = vm.console.text()[-2000:]
            raise VmLostError(
                f"the guest stopped before its plan was done; its console ends:\n{console}",
                under_candidate=charge.candidate,
            )
        return report

    def digest(self) -> str:
        """Return the digest of everything that every guest runs."""
        return digest_of(archive(self._programs))

    def _entries(self, plan: GuestPlan, kernel: KernelBundle, payload: Payload) -> list[Entry]:
        settings = {
            "STEPS": plan.steps,
            **payload.settings(),
            "LOG_DENIED": LOG_DENIED,
            **plan.settings,
        }
        # Names and values are restricted by the models to what needs no quoting inside quotes.
        text = "".join(f"{name}='{value}'\n" for name, value in settings.items())
        return [
            *self._programs,
            file("guest/plan", text.encode()),
            *payload.entries(kernel),
            *(file(f"guest/{name}", body.encode()) for name, body in plan.files.items()),
        ]

    @cached_property
    def _programs(self) -> tuple[Entry, ...]:
        """Read once, so that every guest runs what `digest` says, whatever is rebuilt meanwhile."""
        return (
            program("init", (_SCRIPTS / "init").read_bytes()),
            program("bin/busybox", _read(self.busybox, "install busybox-static")),
            *(symlink(f"bin/{applet}", "busybox") for applet in _APPLETS),
            *(
                program(f"bin/{name}", _read(self.programs / name, "run `make -C schedulers`"))
                for name in _PROGRAMS
            ),
            *(
                file(f"guest/{name}", (_SCRIPTS / name).read_bytes())
                for name in ("steps", "launch", "proof", "replay")
            ),
        )


def _read(path: Path, remedy: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ToolMissing(f"the guest needs {path}: {error.strerror}; {remedy}") from error
