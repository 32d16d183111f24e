"""A figure is taken again when the guest's machine or its emulator is another one."""

from __future__ import annotations

import pytest

from schedcp_lab.bench_machine import guest_command, machine_digest
from schedcp_verifier.microvm import CPU_MODEL

QEMU = "qemu-system-x86_64"
VERSION = b"QEMU emulator version 10.0.2\n"


def option(name: str) -> str:
    """What follows an option in a guest's command line."""
    command = guest_command(QEMU)
    return command[command.index(name) + 1]


def test_the_command_has_the_processor_and_what_the_kernel_is_told() -> None:
    assert option("-cpu") == CPU_MODEL
    assert "mitigations=off" in option("-append").split()
    assert option("-icount").startswith("shift=")


@pytest.mark.parametrize("name", ["-cpu", "-append", "-icount", "-machine", "-smp", "-m"])
def test_another_option_is_another_machine(name: str) -> None:
    changed = guest_command(QEMU)
    changed[changed.index(name) + 1] += "x"
    assert machine_digest(changed, VERSION) != machine_digest(guest_command(QEMU), VERSION)


def test_another_version_of_the_emulator_is_another_machine() -> None:
    command = guest_command(QEMU)
    assert machine_digest(command, b"QEMU emulator version 10.1.0\n") != machine_digest(
        command, VERSION
    )
