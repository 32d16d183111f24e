"""A guest that is lost, or says what it should not, is neither a pass nor a rejection."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schedcp_api.verdicts import Phase
from schedcp_verifier.errors import GuestOutputError, VmError, VmLostError
from schedcp_verifier.guests import GuestFactory
from schedcp_verifier.initramfs import archive, program, symlink
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.microvm import MicroVm, VmSpec
from schedcp_verifier.settings import Settings
from support.laboratory import CONTRACT, Laboratory
from support.verifier import source_request

BOOT_SECONDS = 600
APPLETS = ("sh", "mount", "mkdir", "cat", "echo", "poweroff", "sleep", "usleep", "yes")


@contextmanager
def guest(
    folder: Path, settings: Settings, kernel: KernelBundle, script: str, **limits: float
) -> Iterator[MicroVm]:
    """Boot a guest whose PID 1 is `script`, with results on descriptor 3."""
    head = "#!/bin/sh\nexport PATH=/bin\nmkdir -p /dev\nmount -t devtmpfs dev /dev\n"
    image = archive(
        [
            program("init", f"{head}exec 3>/dev/vport0p1\n{script}\n".encode()),
            program("bin/busybox", settings.busybox.read_bytes()),
            *(symlink(f"bin/{applet}", "busybox") for applet in APPLETS),
        ]
    )
    initramfs = folder / "initramfs"
    initramfs.write_bytes(image)
    values = {"deadline_seconds": float(BOOT_SECONDS), **limits}
    with MicroVm(VmSpec(kernel.image, initramfs, qemu=settings.qemu, **values)) as vm:  # type: ignore[arg-type]
        yield vm


def test_lines_arrive_until_the_guest_powers_off(
    tmp_path: Path, verifier_settings: Settings, kernel: KernelBundle
) -> None:
    script = "echo one >&3; echo two >&3; poweroff -f"
    with guest(tmp_path, verifier_settings, kernel, script) as vm:
        assert list(vm.lines()) == [b"one", b"two"]


def test_a_guest_that_never_ends_is_lost(
    tmp_path: Path, verifier_settings: Settings, kernel: KernelBundle
) -> None:
    script = "while :; do usleep 100000; done"
    with (
        guest(tmp_path, verifier_settings, kernel, script, deadline_seconds=5.0) as vm,
        pytest.raises(VmLostError, match="had not ended after 5 s") as lost,
    ):
        list(vm.lines())
    assert 0 < (lost.value.late_after or 0) < 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_guest_that_somebody_else_ends_is_not_the_guests_doing(
    number: signal.Signals, tmp_path: Path, verifier_settings: Settings, kernel: KernelBundle
) -> None:
    script = "echo up >&3; while :; do usleep 100000; done"
    with guest(tmp_path, verifier_settings, kernel, script) as vm:
        lines = vm.lines()
        assert next(lines) == b"up"
        os.kill(vm._process.pid, number)
        with pytest.raises(VmError, match="QEMU ended with status") as ended:
            list(lines)
    assert not isinstance(ended.value, VmLostError)


def test_a_guest_that_floods_is_cut_off(
    tmp_path: Path, verifier_settings: Settings, kernel: KernelBundle
) -> None:
    with (
        guest(tmp_path, verifier_settings, kernel, "yes >&3", result_bytes=100_000) as vm,
        pytest.raises(GuestOutputError, match="more than 100000 bytes"),
    ):
        list(vm.lines())


def test_a_guest_whose_kernel_panics_says_so_on_its_console(
    tmp_path: Path, verifier_settings: Settings, kernel: KernelBundle
) -> None:
    with guest(tmp_path, verifier_settings, kernel, "exit 3") as vm:
        assert list(vm.lines()) == []
        assert "Attempted to kill init" in vm.console.text()


def test_a_lost_proof_is_neither_a_pass_nor_a_rejection(
    laboratory: Laboratory, kernel: KernelBundle, repository: Path
) -> None:
    factory = laboratory.verifier.guests
    hasty = GuestFactory(factory.programs, factory.busybox, factory.qemu, 2.0, threading.Event())
    verifier = type(laboratory.verifier)(
        laboratory.verifier.library, laboratory.verifier.tools, hasty
    )
    path = repository / "tests/data/schedulers/good/minimal_fifo.bpf.c"
    verdict = verifier.verify(source_request(path, kernel, CONTRACT), kernel).verdict
    assert verdict.undecided
    assert not verdict.accepted
    assert [c.id for c in verdict.checks if c.phase is Phase.ERROR] == ["guest"]
