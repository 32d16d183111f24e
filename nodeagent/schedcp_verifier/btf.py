"""Read BTF, the type information that a BPF object and a kernel carry.

Pure: bytes in, types out. Only what the verifier asks for: names, structs with their members,
variables by section, and which functions a kernel offers. The bytes may come from a hostile object:
whatever does not fit raises ValueError.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Btf", "BtfKind", "BtfType", "Member", "SectionVariable"]

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MEMBER = struct.Struct("<III")
_TYPES_MAX = 400_000


class BtfKind:
    """The kinds of types that are looked at here."""

    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_MODIFIERS = (
    BtfKind.TYPEDEF,
    BtfKind.VOLATILE,
    BtfKind.CONST,
    BtfKind.RESTRICT,
    BtfKind.TYPE_TAG,
)
_TRAILER = {
    BtfKind.INT: (4, 0),
    BtfKind.ARRAY: (12, 0),
    BtfKind.STRUCT: (0, 12),
    BtfKind.UNION: (0, 12),
    BtfKind.ENUM: (0, 8),
    BtfKind.FUNC_PROTO: (0, 8),
    BtfKind.VAR: (4, 0),
    BtfKind.DATASEC: (0, 12),
    BtfKind.DECL_TAG: (4, 0),
    BtfKind.ENUM64: (0, 12),
}
"""Bytes after a type's header, by kind: fixed, and for each element."""


@dataclass(frozen=True)
class BtfType:
    """One type; `value` is a size or another type's id, as its kind has it."""

    name: str
    kind: int
    elements: int
    flag: bool
    value: int
    trailer: bytes


@dataclass(frozen=True)
class Member:
    """One member of a struct; the offset is in bytes and counts whole bytes only."""

    name: str
    type_id: int
    offset: int


@dataclass(frozen=True)
class SectionVariable:
    """One variable of a data section."""

    name: str
    type_id: int
    offset: int
    size: int


class Btf:
    """The types of one object or kernel; ids start at 1, 0 is void."""

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEADER.size:
            raise ValueError(f"{len(data)} bytes are too few to be BTF")
        magic, _, _, header, type_at, type_len, string_at, string_len = _HEADER.unpack_from(data)
        if magic != _MAGIC or header + max(type_at + type_len, string_at + string_len) > len(data):
            raise ValueError("not BTF: the header does not fit the data")
        self._strings = data[header + string_at : header + string_at + string_len]
        self.types = self._read(data[header + type_at : header + type_at + type_len])

    def _read(self, data: bytes) -> tuple[BtfType, ...]:
        types = [BtfType("void", 0, 0, False, 0, b"")]
        at = 0
        while at < len(data):
            if at + _TYPE.size > len(data) or len(types) > _TYPES_MAX:
                raise ValueError("BTF is cut off, or has too many types")
            name_at, info, value = _TYPE.unpack_from(data, at)
            kind, elements = info >> 24 & 0x1F, info & 0xFFFF
            fixed, each = _TRAILER.get(kind, (0, 0))
            at += _TYPE.size
            trailer = data[at : at + fixed + each * elements]
            at += len(trailer)
            name = self._string(name_at)
            types.append(BtfType(name, kind, elements, bool(info >> 31), value, trailer))
        return tuple(types)

    def _string(self, offset: int) -> str:
        end = self._strings.find(b"\0", offset)
        if offset >= len(self._strings) or end < 0:
            raise ValueError(f"BTF names a string at {offset}, which it does not have")
        return self._strings[offset:end].decode(errors="replace")

    def string(self, offset: int) -> str:
        """Return the string at an offset, which `.BTF.ext` uses too."""
        return self._string(offset)

    def type(self, type_id: int) -> BtfType:
        """Return the type of that id."""
        if not 0 <= type_id < len(self.types):
            raise ValueError(f"BTF has no type {type_id}")
        return self.types[type_id]

    def resolved(self, type_id: int) -> BtfType:
        """Return the type behind typedefs and qualifiers."""
        for _ in range(32):
            found = self.type(type_id)
            if found.kind not in _MODIFIERS:
                return found
            type_id = found.value
        raise ValueError("BTF has qualifiers that lead nowhere")

    def members(self, of: BtfType) -> tuple[Member, ...]:
        """Return the members of a struct or union."""
        if of.kind not in (BtfKind.STRUCT, BtfKind.UNION):
            raise ValueError(f"{of.name!r} is no struct")
        found = []
        for index in range(of.elements):
            name, type_id, bits = _MEMBER.unpack_from(of.trailer, index * _MEMBER.size)
            offset = (bits & 0xFFFFFF if of.flag else bits) // 8
            found.append(Member(self._string(name), type_id, offset))
        return tuple(found)

    def section(self, name: str) -> tuple[SectionVariable, ...]:
        """Return the variables of a data section, none when there is no such section."""
        for found in self.types:
            if found.kind == BtfKind.DATASEC and found.name == name:
                return tuple(self._section_variables(found))
        return ()

    def _section_variables(self, section: BtfType) -> list[SectionVariable]:
        variables = []
        for index in range(section.elements):
            type_id, offset, size = struct.unpack_from("<III", section.trailer, index * 12)
            variable = self.type(type_id)
            variables.append(SectionVariable(variable.name, variable.value, offset, size))
        return variables

    def pointed_array_length(self, type_id: int) -> int | None:
        """Return N of `int (*)[N]`, the way in which `__uint(name, N)` writes a number."""
        pointer = self.resolved(type_id)
        if pointer.kind != BtfKind.PTR:
            return None
        array = self.resolved(pointer.value)
        if array.kind != BtfKind.ARRAY:
            return None
        return int(struct.unpack("<III", array.trailer)[2])

    def pointed_elements(self, type_id: int) -> int | None:
        """Return T's id of `T *[]`, the way in which `__array(values, T)` says what a map holds."""
        array = self.resolved(type_id)
        if array.kind != BtfKind.ARRAY:
            return None
        pointer = self.resolved(struct.unpack("<III", array.trailer)[0])
        return pointer.value if pointer.kind == BtfKind.PTR else None

    def size(self, type_id: int) -> int:
        """Return the size of a plain variable's type in bytes; 0 when it is not a number."""
        found = self.resolved(type_id)
        return found.value if found.kind in (BtfKind.INT, BtfKind.ENUM, BtfKind.ENUM64) else 0

    @cached_property
    def functions(self) -> frozenset[str]:
        """The names of all functions."""
        return frozenset(found.name for found in self.types if found.kind == BtfKind.FUNC)
