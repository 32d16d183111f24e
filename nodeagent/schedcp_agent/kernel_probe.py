"""Ask the kernel what it is and what it runs: BTF, and `/sys/kernel/sched_ext`."""

import os
from dataclasses import dataclass
from pathlib import Path

from schedcp_api.kernels import KernelProfile, profile_of

from .errors import NodeUnsuitable

DISABLED = "disabled"
ENABLED = "enabled"
ENABLING = "enabling"


@dataclass(frozen=True)
class SchedExt:
    """The kernel's own account of sched_ext at one moment."""

    supported: bool = False
    state: str = ""
    """`disabled`, `enabling`, `enabled` or `disabling`; empty where it is not supported."""
    ops: str = ""
    enable_seq: int = 0
    nr_rejected: int = 0
    problem: str = ""
    """Why the kernel's account could not be read; then nobody knows what runs."""

    @property
    def idle(self) -> bool:
        """Whether the kernel's own scheduler runs everything, as far as anybody can tell."""
        if self.problem:
            return False
        return not self.supported or (self.state == DISABLED and not self.ops)


def read_kernel_profile(sys_root: Path) -> KernelProfile:
    """Return this kernel's identity; the digest is that of the raw BTF."""
    path = sys_root / "kernel" / "btf" / "vmlinux"
    try:
        return profile_of(os.uname().release, path.read_bytes())
    except (OSError, ValueError) as err:
        raise NodeUnsuitable(
            f"{path} cannot be read as BTF: {err}; the kernel needs CONFIG_DEBUG_INFO_BTF"
        ) from err


def read_boot_id(proc_root: Path = Path("/proc")) -> str:
    """Return the id that changes with every boot; empty when it is not readable."""
    return _text(proc_root / "sys" / "kernel" / "random" / "boot_id")


def read_sched_ext(sys_root: Path) -> SchedExt:
    """Return the state of sched_ext; only without `/sys/kernel/sched_ext` is it not supported."""
    folder = sys_root / "kernel" / "sched_ext"
    try:
        state = (folder / "state").read_text().strip()
    except OSError as err:
        if isinstance(err, FileNotFoundError) and sys_root.is_dir() and not folder.exists():
            return SchedExt()
        return SchedExt(supported=True, problem=f"{folder / 'state'} cannot be read: {err}")
    return SchedExt(
        supported=True,
        state=state,
        ops=_text(folder / "root" / "ops"),
        enable_seq=_number(folder / "enable_seq"),
        nr_rejected=_number(folder / "nr_rejected"),
    )


def _text(path: Path) -> str:
    # A file may vanish between two reads: `root/ops` exists only while something is attached.
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdigit() else 0
