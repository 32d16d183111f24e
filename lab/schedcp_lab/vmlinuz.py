"""Reads a compressed x86 kernel image: finds the payload, decompresses it, looks into it.

The layout is the kernel's own (Documentation/arch/x86/boot.rst): the set-up header tells where the
payload lies. Nothing is booted and no tool of the kernel's source tree is needed.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tempfile
from pathlib import Path

from schedcp_lab.errors import KernelUnsuitable
from schedcp_lab.processes import run

__all__ = ["boots_unpacked", "btf_of", "elf_section", "unpacked"]

SETUP_SECTORS_OFFSET = 0x1F1
HEADER_MAGIC_OFFSET = 0x202
PAYLOAD_FIELDS_OFFSET = 0x248
SECTOR_BYTES = 512
SIZE_TRAILER_BYTES = 4
DECOMPRESS_TIMEOUT_SECONDS = 120.0
PVH_ENTRY = (b"Xen\0", 18)
"""Owner and type of the note that says where a hypervisor may enter the unpacked kernel."""


def unpacked(image: bytes) -> bytes:
    """Return the ELF file that a bzImage holds. Raise KernelUnsuitable when it is none."""
    return _decompressed(_payload(image))


def btf_of(elf: bytes) -> bytes:
    """Return the raw BTF of an unpacked kernel. Raise KernelUnsuitable when it has none."""
    return elf_section(elf, ".BTF", of="it was built without CONFIG_DEBUG_INFO_BTF")


def boots_unpacked(elf: bytes) -> bool:
    """Say whether a hypervisor can boot the unpacked kernel (CONFIG_PVH)."""
    try:
        notes = elf_section(elf, ".notes", of="nobody wrote any")
    except KernelUnsuitable:
        return False
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        start = at + 12
        if (notes[start : start + name_size], kind) == PVH_ENTRY:
            return True
        at = start + -(-name_size // 4) * 4 + -(-size // 4) * 4
    return False


def _payload(image: bytes) -> bytes:
    if image[HEADER_MAGIC_OFFSET : HEADER_MAGIC_OFFSET + 4] != b"HdrS":
        raise KernelUnsuitable("the kernel image is no x86 bzImage: its set-up header is missing")
    setup_sectors = image[SETUP_SECTORS_OFFSET] or 4
    offset, length = struct.unpack_from("<II", image, PAYLOAD_FIELDS_OFFSET)
    start = (setup_sectors + 1) * SECTOR_BYTES + offset
    return image[start : start + length]


def _decompressed(payload: bytes) -> bytes:
    """Unpack the payload by its magic; its last four bytes are the unpacked size."""
    body = payload[:-SIZE_TRAILER_BYTES]
    if payload.startswith(b"\x7fELF"):
        return payload
    if body.startswith(b"\x1f\x8b"):
        return gzip.decompress(body)
    if body.startswith(b"BZh"):
        return bz2.decompress(body)
    if body.startswith(b"\xfd7zXZ"):
        return lzma.decompress(body)
    if body.startswith(b"\x28\xb5\x2f\xfd"):
        return _piped(["zstd", "-q", "-d", "-c"], body)
    if body.startswith(b"\x02\x21\x4c\x18"):
        return _piped(["lz4", "-q", "-d", "-c"], body)
    raise KernelUnsuitable(f"unknown packing of the kernel image (it begins {body[:6].hex()})")


def _piped(command: list[str], data: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        packed, plain = Path(folder, "packed"), Path(folder, "plain")
        packed.write_bytes(data)
        with plain.open("wb") as out:
            run([*command, packed], timeout_seconds=DECOMPRESS_TIMEOUT_SECONDS, stdout=out)
        return plain.read_bytes()


def elf_section(elf: bytes, name: str, *, of: str) -> bytes:
    """Return a section of a 64-bit little-endian ELF file; `of` says why it may lack one."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise KernelUnsuitable("the unpacked kernel is no 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + index * size) for index in range(count)]
    names_start = headers[names_index][4]
    for name_offset, _type, _flags, _address, offset, length in headers:
        start = names_start + name_offset
        if elf[start : elf.index(b"\0", start)] == name.encode():
            return elf[offset : offset + length]
    raise KernelUnsuitable(f"the kernel has no {name} section: {of}")
