"""Ask the kernel what it is and what it runs: BTF, and `/sys/kernel/sched_ext`."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from schedcp_api.capabilities import KernelCapabilities, capabilities_of_btf
from schedcp_api.kernels import KernelProfile, profile_of

from .errors import NodeUnsuitable

DISABLED = "disabled"
ENABLED = "enabled"
DISABLING = "disabling"
ENABLING = "enabling"
_GONE = (errno.ENOENT, errno.ENODEV)
"""What reading a file says that sysfs has just removed."""
_BYPASS_EVENT = "SCX_EV_BYPASS_ACTIVATE"


@dataclass(frozen=True)
class SchedExt:
    """The kernel's own account of sched_ext at one moment."""

    supported: bool = False
    state: str = ""
    """`disabled`, `enabling`, `enabled` or `disabling`; empty where it is not supported."""
    ops: str = ""
    enable_seq: int = 0
    nr_rejected: int = 0
    bypasses: int = 0
    """How often the kernel has set the attached scheduler aside, where it counts that."""
    problem: str = ""
    """Why the kernel's account could not be read; then nothing else here says anything."""

    @property
    def idle(self) -> bool:
        """Whether the kernel's own scheduler runs everything, as far as anybody can tell."""
        if self.problem:
            return False
        return not self.supported or (self.state == DISABLED and not self.ops)


def read_kernel_profile(sys_root: Path) -> KernelProfile:
    """Return this kernel's identity; the digest is that of the raw BTF."""
    path = btf_path(sys_root)
    try:
        return profile_of(os.uname().release, path.read_bytes())
    except (OSError, ValueError) as err:
        raise _no_btf(path, err) from err


def read_capabilities(path: Path) -> KernelCapabilities:
    """Return what the kernel whose raw BTF is in a file offers to schedulers."""
    try:
        return capabilities_of_btf(path.read_bytes())
    except (OSError, ValueError) as err:
        raise _no_btf(path, err) from err


def btf_path(sys_root: Path) -> Path:
    """Return where the running kernel has its BTF."""
    return sys_root / "kernel" / "btf" / "vmlinux"


def _no_btf(path: Path, why: Exception) -> NodeUnsuitable:
    return NodeUnsuitable(
        f"{path} cannot be read as BTF: {why}; the kernel needs CONFIG_DEBUG_INFO_BTF"
    )


def read_boot_id(proc_root: Path = Path("/proc")) -> str:
    """Return the id that changes with every boot; empty when it is not readable."""
    try:
        return (proc_root / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    except OSError:
        return ""


def read_sched_ext(sys_root: Path) -> SchedExt:
    """Return the state of sched_ext.

    A kernel whose `/sys/kernel` has no `sched_ext` does not support it. Whatever else keeps the
    files from being read is a problem, never an answer.
    """
    folder = sys_root / "kernel" / "sched_ext"
    try:
        if not any(entry.name == folder.name for entry in folder.parent.iterdir()):
            return SchedExt()
        return SchedExt(
            supported=True,
            state=_required(folder / "state"),
            ops=_transient(folder / "root" / "ops"),
            enable_seq=int(_required(folder / "enable_seq")),
            nr_rejected=int(_required(folder / "nr_rejected")),
            bypasses=_event(_transient(folder / "root" / "events"), _BYPASS_EVENT),
        )
    except (OSError, ValueError) as err:
        return SchedExt(problem=f"{folder} cannot be read: {err}")


def _required(path: Path) -> str:
    text = path.read_text().strip()
    if not text:
        raise ValueError(f"{path.name} is empty")
    return text


def _transient(path: Path) -> str:
    """Read a file that exists only while something is attached."""
    try:
        return path.read_text().strip()
    except OSError as err:
        if err.errno in _GONE:
            return ""
        raise


def _event(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, count = line.partition(" ")
        if key == name:
            return int(count)
    return 0
