"""What `.BTF.ext` says about instructions: the line of source, and the field that CO-RE names.

Pure, and about a hostile object: whatever does not fit raises ValueError. What it says is for
people to read and for the names of fields; nothing is allowed because of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .btf import Btf

__all__ = ["Access", "Annotations", "Line", "Place", "read_annotations"]

Place = tuple[str, int]
"""A section and a slot in it."""

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBI")
_PARTS = struct.Struct("<II")
_BLOCK = struct.Struct("<II")
_LINE = struct.Struct("<IIII")
_ACCESS = struct.Struct("<IIII")
_FIRST_PART = 8
_RECORD_BYTES_MAX = 1024
_SLOT_BYTES = 8


@dataclass(frozen=True)
class Line:
    """A line of the source."""

    file: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.file.removeprefix('./')}:{self.number}"


@dataclass(frozen=True)
class Access:
    """A CO-RE record: a type, the way to a member, and what is asked of it."""

    type_id: int
    path: str
    kind: int

    FIELD_OFFSET = 0
    FIELD_EXISTS = 2
    TYPE_EXISTS = 8
    ENUMERATOR_EXISTS = 10
    TYPE_MATCHES = 12

    @property
    def asks_existence(self) -> bool:
        """Whether the kernel that it is loaded into decides the value."""
        return self.kind in (
            self.FIELD_EXISTS,
            self.TYPE_EXISTS,
            self.ENUMERATOR_EXISTS,
            self.TYPE_MATCHES,
        )


@dataclass(frozen=True)
class Annotations:
    """Lines and accesses by place; empty for an object without `.BTF.ext`."""

    lines: Mapping[Place, Line] = field(default_factory=dict)
    accesses: Mapping[Place, Access] = field(default_factory=dict)


def read_annotations(data: bytes, btf: Btf) -> Annotations:
    """Return what the bytes of `.BTF.ext` say, or raise ValueError."""
    if len(data) < _HEADER.size:
        raise ValueError(".BTF.ext is cut off")
    magic, _, _, header = _HEADER.unpack_from(data)
    if magic != _MAGIC or header > len(data):
        raise ValueError(".BTF.ext has no header")
    lines, accesses = {}, {}
    for place, (_, file, text, number) in _records(data, header, 1, _LINE, btf):
        lines[place] = Line(btf.string(file), number >> 10, btf.string(text).strip())
    for place, (_, type_id, path, kind) in _records(data, header, 2, _ACCESS, btf):
        accesses[place] = Access(type_id, btf.string(path), kind)
    return Annotations(lines, accesses)


def _records(
    data: bytes, header: int, part: int, record: struct.Struct, btf: Btf
) -> Iterator[tuple[Place, tuple[int, ...]]]:
    """Yield the records of one part: functions are the first, lines the second, CO-RE the third."""
    at = _FIRST_PART + part * _PARTS.size
    if at + _PARTS.size > header:
        return
    offset, length = _PARTS.unpack_from(data, at)
    body = data[header + offset : header + offset + length]
    if len(body) != length or (length and length < 4):
        raise ValueError(".BTF.ext has a part that is cut off")
    if not length:
        return
    size = int.from_bytes(body[:4], "little")
    if not record.size <= size <= _RECORD_BYTES_MAX:
        raise ValueError(f".BTF.ext has records of {size} bytes")
    at = 4
    while at < length:
        if at + _BLOCK.size > length:
            raise ValueError(".BTF.ext has a block that is cut off")
        name, count = _BLOCK.unpack_from(body, at)
        at += _BLOCK.size
        if at + count * size > length:
            raise ValueError(".BTF.ext has a block that is cut off")
        section = btf.string(name)
        for index in range(count):
            values = record.unpack_from(body, at + index * size)
            yield (section, values[0] // _SLOT_BYTES), values
        at += count * size
