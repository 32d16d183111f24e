"""ELF files that hold nothing but what they are linked with."""

from __future__ import annotations

import struct

X86_64, BPF, ARM = 62, 247, 183
EXEC, SHARED, RELOCATABLE = 2, 3, 1
_INTERP, _DYNAMIC, _LOAD = 3, 2, 1
_NULL, _NEEDED, _STRTAB, _STRSZ, _RPATH, _RUNPATH, _FLAGS_1 = 0, 1, 5, 10, 15, 29, 0x6FFFFFFB


def elf(
    *needed: str,
    interpreter: str = "",
    runpath: str = "",
    rpath: str = "",
    flags: int = 0,
    kind: int = EXEC,
    machine: int = X86_64,
) -> bytes:
    """Return a file of that kind: a header, a dynamic section and its strings."""
    strings, dynamic = bytearray(b"\0"), bytearray()

    def tag(number: int, text: str) -> None:
        dynamic.extend(struct.pack("<QQ", number, len(strings)))
        strings.extend(text.encode() + b"\0")

    for name in needed:
        tag(_NEEDED, name)
    for number, folder in ((_RUNPATH, runpath), (_RPATH, rpath)):
        if folder:
            tag(number, folder)
    interp = interpreter.encode() + b"\0"
    at = 64 + 3 * 56
    strings_at = at + len(interp)
    dynamic_at = strings_at + len(strings)
    for number, value in ((_STRTAB, strings_at), (_STRSZ, len(strings)), (_FLAGS_1, flags)):
        dynamic.extend(struct.pack("<QQ", number, value))
    dynamic.extend(struct.pack("<QQ", _NULL, 0))
    size = dynamic_at + len(dynamic)

    def segment(type_: int, offset: int, length: int) -> bytes:
        return struct.pack("<IIQQQQQQ", type_, 4, offset, offset, offset, length, length, 8)

    segments = [
        segment(_LOAD, 0, size),
        segment(_DYNAMIC, dynamic_at, len(dynamic)),
        segment(_INTERP, at, len(interp)) if interpreter else segment(0, 0, 0),
    ]
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", kind, machine, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0,
    )  # fmt: skip
    return header + b"".join(segments) + interp + bytes(strings) + bytes(dynamic)
