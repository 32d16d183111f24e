"""What the figures of every guest depend on, whatever it runs: its machine, and the emulator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from schedcp_api.base import canonical_json, digest_of
from schedcp_verifier.microvm import VmSpec
from schedcp_verifier.processes import run

__all__ = ["guest_command", "machine_digest", "machine_of"]

_VERSION_SECONDS = 30.0


def machine_of(qemu: str) -> str:
    """Return the digest of the machine that guests have under this QEMU."""
    version = run([qemu, "--version"], timeout_seconds=_VERSION_SECONDS).stdout
    return machine_digest(guest_command(qemu), version)


def guest_command(qemu: str) -> list[str]:
    """Return the command line of a guest like any other: what it boots has no say in it."""
    return VmSpec(Path("kernel"), Path("initramfs"), 0.0, qemu=qemu).command(0)


def machine_digest(command: Sequence[str], version: bytes) -> str:
    """Return the digest of a guest's command line and of what its QEMU says of its version."""
    return digest_of(canonical_json({"command": list(command), "version": digest_of(version)}))
