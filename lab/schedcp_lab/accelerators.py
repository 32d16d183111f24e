"""Which accelerator QEMU can really use here.

`/dev/kvm` may exist and still not run an ordinary guest (nested and restricted hosts), so the only
proof is a guest that ran: the lab's own kernel, with an init that says so and powers off.
"""

from __future__ import annotations

import os
import tempfile
from enum import StrEnum
from pathlib import Path

from schedcp_lab.errors import CommandFailed
from schedcp_lab.processes import run
from schedcp_lab.rootfs import find_busybox, make_initramfs

__all__ = ["Accelerator", "choose_accelerator", "kvm_works"]

KVM_DEVICE = Path("/dev/kvm")
PROBE_TIMEOUT_SECONDS = 20.0
PROBE_MARKER = "schedcp-guest-ran"
PROBE_INIT = f"#!/bin/busybox sh\n/bin/busybox echo {PROBE_MARKER}\n/bin/busybox poweroff -f\n"


class Accelerator(StrEnum):
    """How QEMU runs a guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"


def guest_ran(kernel: Path, accelerator: Accelerator, *, timeout_seconds: float) -> bool:
    """Start a trivial guest with this accelerator; say whether it reached its init."""
    with tempfile.TemporaryDirectory() as folder:
        initramfs = Path(folder) / "initramfs"
        make_initramfs(
            kernel, initramfs, busybox=find_busybox(), init=PROBE_INIT.encode(), modules=()
        )
        cpu = "host" if accelerator is Accelerator.KVM else "max"
        try:
            done = run(
                [
                    *("qemu-system-x86_64", "-accel", accelerator, "-cpu", cpu, "-m", "256"),
                    *("-machine", "q35", "-nodefaults", "-no-user-config", "-no-reboot"),
                    *("-display", "none", "-serial", "stdio", "-net", "none"),
                    *("-kernel", kernel / "vmlinuz", "-initrd", initramfs),
                    *("-append", "console=ttyS0 quiet panic=1"),
                ],
                timeout_seconds=timeout_seconds,
                check=False,
            )
        except CommandFailed:
            return False
    return PROBE_MARKER in done.stdout


def kvm_works(kernel: Path, *, device: Path = KVM_DEVICE) -> bool:
    """Say whether KVM runs an ordinary guest here, by running one."""
    if not os.access(device, os.R_OK | os.W_OK):
        return False
    return guest_ran(kernel, Accelerator.KVM, timeout_seconds=PROBE_TIMEOUT_SECONDS)


def choose_accelerator(kernel: Path) -> Accelerator:
    """KVM where it works, else TCG."""
    return Accelerator.KVM if kvm_works(kernel) else Accelerator.TCG
