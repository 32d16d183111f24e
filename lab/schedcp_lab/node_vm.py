"""One Kubernetes node as a QEMU guest: start it, reach it, kill it, stop it.

A guest has QEMU's user network: it reaches the API server of the host at `API_HOST`, and the host
reaches its kubelet and its agent's metrics through forwards on a loopback address, and nothing else
of it. It needs no privileges. A node's disk is an overlay on the shared node image; what is its own
(names, keys) comes on a second disk, a plain tar.
"""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import math
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from schedcp_lab.accelerators import Accelerator
from schedcp_lab.errors import NotReady, ProcessLost
from schedcp_lab.logs import tail
from schedcp_lab.node_config import (
    AGENT_METRICS_PORT,
    KUBELET_PORT,
    NodeCredentials,
    NodeSettings,
    config_disk,
    config_files,
)
from schedcp_lab.node_image import NodeImage
from schedcp_lab.processes import ProcessSpec, Supervisor, run

__all__ = ["BOOTS_AT_MOST", "ClockDrift", "Forwards", "Hardware", "NodeFiles", "NodeLost", "NodeVm"]

TOOL_TIMEOUT_SECONDS = 60.0
BOOT_TIMEOUT_SECONDS = 180.0
DRIFT_TIMEOUT_SECONDS = 30.0
DRIFT_POLL_SECONDS = 0.02
DRIFT_WANTED_SECONDS = 0.1
BOOTS_AT_MOST = 3
NODE_NICENESS = 10
"""A node full of batch work would take the CPUs that the verifier and the API server need."""
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet panic=1 tsc=reliable mitigations=off random.trust_cpu=on"
    " cgroup_no_v1=all psi=1 transparent_hugepage=never"
)
"""Without huge pages: on a full emulated node, khugepaged (nice 19) is preempted inside an RCU
read-side section for so long that the kernel reports an RCU stall, and ejects whatever sched_ext
scheduler happens to be attached."""


class NodeLost(ProcessLost):
    """A node's guest ended although it should run."""


@dataclass(frozen=True)
class Forwards:
    """Where the host reaches a node: a loopback address, and a port for each service."""

    address: str
    kubelet_port: int
    metrics_port: int

    def __post_init__(self) -> None:
        if not ipaddress.ip_address(self.address).is_loopback:
            raise ValueError(
                f"a node would be reachable at {self.address}, which is not a loopback address;"
                " use one of 127.0.0.0/8"
            )


@dataclass(frozen=True)
class Hardware:
    """The machine that a node gets."""

    accelerator: Accelerator
    cpus: int = 2
    memory_mebibytes: int = 2048


@dataclass(frozen=True)
class ClockDrift:
    """A guest's clock against the host's: it is ahead by at least `low` and at most `high`."""

    low: float
    high: float

    @property
    def seconds(self) -> float:
        """The best estimate; positive when the guest is ahead."""
        return (self.low + self.high) / 2

    @property
    def error_seconds(self) -> float:
        """How far the truth may lie from the estimate, to either side."""
        return (self.high - self.low) / 2

    def narrowed(self, second: int, *, asked: float, answered: float) -> ClockDrift:
        """Add that the guest's time was within `second` at some moment of a host interval.

        When the clocks moved against each other meanwhile and the bounds contradict, the new
        ones count alone.
        """
        fresh = ClockDrift(second - answered, second + 1 - asked)
        low, high = max(self.low, fresh.low), min(self.high, fresh.high)
        return ClockDrift(low, high) if low < high else fresh


UNKNOWN_DRIFT = ClockDrift(-math.inf, math.inf)


@dataclass(frozen=True)
class NodeFiles:
    """A node's own files."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def config(self) -> Path:
        return self.folder / "config.tar"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    @property
    def qemu_log(self) -> Path:
        return self.folder / "qemu.log"


class NodeVm:
    """A node's guest. As a context manager it stops the guest when the block ends."""

    def __init__(
        self,
        supervisor: Supervisor,
        spec: ProcessSpec,
        files: NodeFiles,
        *,
        image: NodeImage,
        settings: NodeSettings,
        forwards: Forwards,
    ) -> None:
        self.settings = settings
        self.forwards = forwards
        self._supervisor = supervisor
        self._files = files
        self._image = image
        _make_overlay(image.disk, files.disk)
        self._process = supervisor.start(spec)
        self._boots = 1

    @classmethod
    def start(
        cls,
        supervisor: Supervisor,
        folder: Path,
        *,
        image: NodeImage,
        settings: NodeSettings,
        credentials: NodeCredentials,
        forwards: Forwards,
        hardware: Hardware,
    ) -> Self:
        """Start the guest with a fresh disk in `folder`; return without waiting for it to boot."""
        folder.mkdir(parents=True, exist_ok=True)
        files = NodeFiles(folder)
        files.console.unlink(missing_ok=True)
        files.qemu_log.unlink(missing_ok=True)
        _write_private(files.config, config_disk(config_files(settings, credentials)))
        argv = qemu_command(image, files, forwards=forwards, hardware=hardware)
        spec = ProcessSpec(f"node {settings.name}", argv, files.qemu_log, niceness=NODE_NICENESS)
        return cls(supervisor, spec, files, image=image, settings=settings, forwards=forwards)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def console(self) -> Path:
        """The log of the guest's console."""
        return self._files.console

    @property
    def pid(self) -> int:
        """The process id of the guest's QEMU."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Say whether the guest runs."""
        return self._process.alive

    def require_alive(self) -> None:
        """Raise NodeLost, with what the console said last, when the guest has ended."""
        if not self.alive:
            raise NodeLost(
                f"node {self.settings.name} ended although it should run; QEMU said:"
                f" {tail(self._files.qemu_log) or 'nothing'}\n"
                f"the end of {self.console}:\n{tail(self.console)}"
            )

    def wait_kubelet(self, *, timeout_seconds: float = BOOT_TIMEOUT_SECONDS) -> float:
        """Wait until the node's kubelet answers; return the seconds that took."""
        started = time.monotonic()
        while time.monotonic() - started < timeout_seconds:
            self.keep_booting()
            if self._guest_second() is not None:
                return time.monotonic() - started
            time.sleep(0.2)
        raise NotReady(
            f"the kubelet of node {self.settings.name} did not answer on"
            f" {self.forwards.address}:{self.forwards.kubelet_port} within {timeout_seconds:g} s;"
            f" the end of {self.console}:\n{tail(self.console)}"
        )

    def clock_drift(self) -> ClockDrift:
        """Measure how far the guest's clock is ahead of the host's, with the measuring error.

        QEMU's clock chip starts at a whole second, so a guest is up to a second behind for good.
        The kubelet's answers carry the guest's time in whole seconds, so each one bounds the
        drift to a second and its own round trip; many of them narrow it down.
        """
        drift = UNKNOWN_DRIFT
        deadline = time.monotonic() + DRIFT_TIMEOUT_SECONDS
        while drift.error_seconds > DRIFT_WANTED_SECONDS and time.monotonic() < deadline:
            self.require_alive()
            asked = time.time()
            second = self._guest_second()
            if second is not None:
                drift = drift.narrowed(second, asked=asked, answered=time.time())
            time.sleep(DRIFT_POLL_SECONDS)
        if drift is UNKNOWN_DRIFT:
            raise NotReady(
                f"the kubelet of node {self.settings.name} did not tell the guest's time within"
                f" {DRIFT_TIMEOUT_SECONDS:g} s; the end of {self.console}:\n{tail(self.console)}"
            )
        return drift

    def kill(self) -> None:
        """Kill the guest at once, as a power cut would."""
        self._process.kill()

    def restart(self) -> None:
        """Start the guest again under its name, on a fresh disk, stopping it first if it runs."""
        self._boots = 0
        self._boot_anew()

    def keep_booting(self) -> None:
        """Boot once more when QEMU broke down; raise NodeLost when the guest ended otherwise.

        For a node that has not been Ready yet. While a guest with several emulated CPUs places its
        devices in memory, QEMU's own bookkeeping can fail an assertion (`iotlb_to_section`); it
        says nothing of the guest, and the next boot nearly always passes.
        """
        if self.alive:
            return
        if self._process.aborted and self._boots < BOOTS_AT_MOST:
            self._boot_anew()
        else:
            self.require_alive()

    def _boot_anew(self) -> None:
        self._process.stop()
        _make_overlay(self._image.disk, self._files.disk)
        self._process = self._supervisor.restart(self._process)
        self._boots += 1

    def stop(self) -> None:
        """End the guest and remove its disks; the console log stays. May be called again."""
        self._process.stop()
        self._files.disk.unlink(missing_ok=True)
        self._files.config.unlink(missing_ok=True)

    def _guest_second(self) -> int | None:
        """The guest's time in seconds, from the kubelet's answer to an unauthenticated request."""
        # Only the Date header is read and nothing secret is sent; the API server verifies.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            self.forwards.address, self.forwards.kubelet_port, timeout=5, context=context
        )
        try:
            connection.request("GET", "/healthz")
            date = connection.getresponse().getheader("Date")
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return None if date is None else int(email.utils.parsedate_to_datetime(date).timestamp())


def qemu_command(
    image: NodeImage, files: NodeFiles, *, forwards: Forwards, hardware: Hardware
) -> tuple[str, ...]:
    """The command line of a node's QEMU."""
    if hardware.accelerator is Accelerator.KVM:
        machine = ("-accel", "kvm", "-cpu", "host")
        timer_argument = ""
    else:
        machine = ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max")
        timer_argument = " no_timer_check"
    network = "user,id=net,ipv6=off" + "".join(
        f",hostfwd=tcp:{forwards.address}:{host_port}-:{guest_port}"
        for host_port, guest_port in (
            (forwards.kubelet_port, KUBELET_PORT),
            (forwards.metrics_port, AGENT_METRICS_PORT),
        )
    )
    disks = (
        f"file={_escape(files.disk)},if=virtio,format=qcow2,cache=unsafe,discard=unmap",
        f"file={_escape(files.config)},if=virtio,format=raw,readonly=on",
    )
    return (
        *("qemu-system-x86_64", *machine, "-smp", str(hardware.cpus)),
        *("-m", str(hardware.memory_mebibytes), "-machine", "q35,usb=off,vmport=off"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-rtc", "base=utc,clock=host", "-device", "virtio-rng-pci"),
        *("-kernel", str(image.vmlinuz), "-initrd", str(image.initramfs)),
        *("-append", KERNEL_ARGUMENTS + timer_argument),
        *(argument for disk in disks for argument in ("-drive", disk)),
        *("-netdev", network, "-device", "virtio-net-pci,netdev=net"),
        *("-chardev", f"file,id=console,path={_escape(files.console)},append=on"),
        *("-serial", "chardev:console"),
    )


def _escape(path: Path) -> str:
    """A path as QEMU's option parser takes it: a comma is written twice."""
    return str(path).replace(",", ",,")


def _make_overlay(backing: Path, disk: Path) -> None:
    disk.unlink(missing_ok=True)
    run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing.resolve(), disk],
        timeout_seconds=TOOL_TIMEOUT_SECONDS,
    )


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content + bytes(-len(content) % 512))
