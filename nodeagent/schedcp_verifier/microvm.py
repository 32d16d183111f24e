"""The micro-VM in which candidates run: QEMU, on virtual time, with two pipes and nothing else.

Virtual time (`-icount`) makes a guest's clock count instructions instead of seconds, so that equal
inputs give equal outputs to the last digit on any machine, busy or idle. That needs QEMU's own
code generator; hardware virtualization would be faster and different every time, so it is not
used. The guest has no network, no disk and no clock of the host. It sees one initramfs and says
what it has to say on a virtio-serial port, which is read as untrusted input: bounded and by lines.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import GuestOutputError, ToolMissing, VmError, VmLostError
from .processes import SAFE_PATH

__all__ = ["MAIN", "PORT_NAME", "VCPUS", "BoundedLog", "MicroVm", "Topology", "VmSpec"]

VCPUS = 4
"""Of the guests whose figures are compared."""
CPU_MODEL = "Nehalem-v1"
"""A plain processor, the same in every version of QEMU. What newer ones have costs an emulator a
third more for the same trials, saving vector registers with each switch above all; and instructions
that draw random numbers would make no two runs alike."""
PORT_NAME = "schedcp.result"
"""The guest finds its port as /dev/virtio-ports/NAME, or as the only vport."""

_CHUNK = 65_536
_STOP_SECONDS = 20.0
_TERMINATED = "terminating on signal"
"""QEMU says so when somebody ends it, and then it ends in order."""
_STOP_POLL_SECONDS = 0.5
_KERNEL_ARGUMENTS = (
    "console=ttyS0 loglevel=5 panic=1 tsc=reliable nokaslr mitigations=off random.trust_cpu=on "
    "cgroup_no_v1=all no_timer_check log_buf_len=1M "
    # A kernel that is beyond help ends the guest at once, instead of at the deadline.
    "oops=panic softlockup_panic=1 sysctl.kernel.panic_on_rcu_stall=1 rdinit=/init "
    # Fresh pages are cleared for secrecy, which costs time and has no secrets to keep here. The
    # crypto library's tests of itself keep CPUs busy for seconds after the boot.
    "init_on_alloc=0 cryptomgr.notests"
)


@dataclass(frozen=True)
class Topology:
    """A guest's CPUs: so many sockets, each with a last-level cache and memory of its own."""

    cpus: int
    sockets: int = 1

    def __str__(self) -> str:
        """Return it as a name: `8-cpus-2-nodes`."""
        nodes = f"-{self.sockets}-nodes" if self.sockets > 1 else ""
        return f"{self.cpus}-cpu{'s' if self.cpus > 1 else ''}{nodes}"

    def arguments(self, memory_mib: int) -> tuple[str, ...]:
        """Return QEMU's options."""
        each, share = self.cpus // self.sockets, memory_mib // self.sockets
        size = f"cpus={self.cpus},sockets={self.sockets},cores={each},threads=1"
        nodes: list[str] = []
        for node in range(self.sockets if self.sockets > 1 else 0):
            cpus = f"{node * each}-{(node + 1) * each - 1}"
            nodes += ("-object", f"memory-backend-ram,id=memory{node},size={share}M")
            nodes += ("-numa", f"node,nodeid={node},memdev=memory{node},cpus={cpus}")
        return ("-smp", size, "-m", f"{memory_mib}M", *nodes)


MAIN = Topology(VCPUS)


@dataclass(frozen=True)
class VmSpec:
    """One guest: what it boots, and how much of our time and memory it may take."""

    image: Path
    initramfs: Path
    deadline_seconds: float
    memory_mib: int = 1024
    topology: Topology = MAIN
    console_bytes: int = 128 * 1024
    """How much of the console is kept from its start, and again from its end."""
    shift: int = 1
    """An instruction takes 2**shift ns of virtual time: more is a slower machine, and sooner over.
    """
    result_bytes: int = 4 * 1024 * 1024
    line_bytes: int = 256 * 1024
    qemu: str = "qemu-system-x86_64"
    cpu: int = 0
    """The host's CPU that all threads of QEMU share. When the guest falls idle, QEMU's main thread
    moves the virtual clock; running beside the thread that executes the guest it now and then does
    so a moment before the last instructions are accounted for, and the clock is off by them."""

    def command(self, result_fd: int) -> list[str]:
        """Return QEMU's argument list; the guest's results go to the inherited `result_fd`."""
        return [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *("prlimit", "--fsize=16777216", "--core=0"),
            *("taskset", "--cpu-list", str(self.cpu)),
            self.qemu,
            *("-nodefaults", "-no-user-config", "-no-reboot"),
            *("-display", "none", "-monitor", "none", "-parallel", "none", "-net", "none"),
            *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny"),
            *("-machine", "q35,usb=off,vmport=off", "-accel", "tcg,thread=single"),
            *("-icount", f"shift={self.shift},sleep=off", "-rtc", "base=2026-01-01,clock=vm"),
            *("-seed", "1"),  # of whatever QEMU itself would draw for the guest
            *("-cpu", CPU_MODEL),
            *self.topology.arguments(self.memory_mib),
            *("-kernel", str(self.image), "-initrd", str(self.initramfs)),
            *("-append", _KERNEL_ARGUMENTS),
            *("-serial", "stdio"),
            # Without an I/O thread's event the device answers at a fixed instruction.
            *("-device", "virtio-serial-pci,ioeventfd=off,max_ports=2"),
            *("-add-fd", f"fd={result_fd},set=1"),
            *("-chardev", "file,id=result,path=/dev/fdset/1,append=on"),
            *("-device", f"virtserialport,chardev=result,name={PORT_NAME}"),
        ]


@dataclass
class BoundedLog:
    """Keeps the start and the end of a stream of any length."""

    limit: int
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def write(self, data: bytes) -> None:
        """Append `data`, forgetting from the middle what is too much."""
        room = self.limit - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        excess = len(self.tail) - self.limit
        if excess > 0:
            del self.tail[:excess]
            self.dropped += excess

    def text(self) -> str:
        """Return what was kept, with a mark where something is missing."""
        gap = f"\n[{self.dropped} bytes left out]\n".encode() if self.dropped else b""
        return (bytes(self.head) + gap + bytes(self.tail)).decode(errors="replace")


class MicroVm:
    """One running guest; leaving the `with` block ends it in any case."""

    def __init__(self, spec: VmSpec, stopping: threading.Event | None = None) -> None:
        """Prepare a guest; when `stopping` is set from elsewhere, it counts as lost at once."""
        self.spec = spec
        self._stopping = stopping or threading.Event()
        self.console = BoundedLog(spec.console_bytes)
        self.cpu_seconds = 0.0
        """What the guest has used of the host's CPU, as far as was looked: at its end."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._results, result_fd = os.pipe()
            stack.callback(os.close, self._results)
            self._console, console_fd = os.pipe()
            stack.callback(os.close, self._console)
            self._process = _spawn(self.spec.command(result_fd), result_fd, console_fd)
            stack.callback(self._stop)
            self._stack = stack.pop_all()
        self._started = time.monotonic()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def lines(self) -> Iterator[bytes]:
        """Yield what the guest says, line by line, until it has powered off.

        Raise VmLostError when the deadline passes, VmError when QEMU fails, GuestOutputError when
        the guest says more than it may.
        """
        pending = bytearray()
        total = 0
        for chunk in self._chunks():
            total += len(chunk)
            pending += chunk
            if total > self.spec.result_bytes:
                raise GuestOutputError(
                    f"the guest sent more than {self.spec.result_bytes} bytes of results"
                )
            *whole, rest = pending.split(b"\n")
            if len(rest) > self.spec.line_bytes or any(
                len(line) > self.spec.line_bytes for line in whole
            ):
                raise GuestOutputError(
                    f"the guest sent a line longer than {self.spec.line_bytes} bytes"
                )
            pending = bytearray(rest)
            yield from map(bytes, whole)
        if pending:
            raise GuestOutputError("the guest's last line has no end: it was cut off")
        self._reap()

    def _chunks(self) -> Iterator[bytes]:
        deadline = self._started + self.spec.deadline_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._results, selectors.EVENT_READ, "results")
            selector.register(self._console, selectors.EVENT_READ, "console")
            while selector.get_map():
                left = deadline - time.monotonic()
                ready = selector.select(min(left, _STOP_POLL_SECONDS)) if left > 0 else []
                if self._stopping.is_set():
                    raise VmLostError("the guest was given up because the verifier is stopping")
                if left <= 0:
                    self._look_at_cpu_time()
                    raise VmLostError(
                        f"the guest had not ended after {self.spec.deadline_seconds:g} s, "
                        f"{self.cpu_seconds:.0f} of them on a CPU; "
                        f"its console ends:\n{self.console.text()[-2000:]}",
                        late_after=self.cpu_seconds,
                    )
                for key, _ in ready:
                    data = os.read(key.fd, _CHUNK)
                    if not data:
                        selector.unregister(key.fd)
                    elif key.data == "console":
                        self.console.write(data)
                    else:
                        yield data

    def _look_at_cpu_time(self) -> None:
        """Note what QEMU has used, which the kernel tells until it is reaped."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        self.cpu_seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _reap(self) -> None:
        self._look_at_cpu_time()
        status = self._ended()
        if status != 0 or _TERMINATED in self.console.text()[-500:]:
            # A guest that panics or faults ends QEMU in order: this is the host's doing. A guest
            # that says so of itself is not judged, either, and that is no acceptance.
            raise VmError(
                f"QEMU ended with status {status}; it said:\n{self.console.text()[-2000:]}"
            )

    def _stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._ended()

    def _ended(self) -> int:
        try:
            return self._process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise VmLostError(f"QEMU did not end within {_STOP_SECONDS:g} s") from error


def _spawn(command: list[str], result_fd: int, console_fd: int) -> subprocess.Popen[bytes]:
    """Start QEMU with the writing ends of both pipes, which are closed here."""
    try:
        return subprocess.Popen(
            command,
            env={"PATH": SAFE_PATH, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=console_fd,
            stderr=subprocess.STDOUT,
            pass_fds=(result_fd,),
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ToolMissing(
            f"cannot start {command[0]}: {error}; install qemu-system-x86 and util-linux"
        ) from error
    except OSError as error:
        raise VmLostError(f"cannot start {command[0]}: {error}") from error
    finally:
        os.close(result_fd)
        os.close(console_fd)
