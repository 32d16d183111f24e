"""Fields of structs by offset, and what CO-RE records name: so that a load has a field's name.

Pure: BTF in, names out. Types come from an object, which may be hostile: whatever does not fit
raises ValueError or has no name.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .btf import Btf, BtfKind, BtfType, Member

__all__ = ["Field", "Fields"]

_POINTER_BYTES = 8
_DEPTH_MAX = 16
_STRUCTS = (BtfKind.STRUCT, BtfKind.UNION)
_SIZED = (BtfKind.INT, BtfKind.STRUCT, BtfKind.UNION, BtfKind.ENUM, BtfKind.ENUM64)
_ARRAY = struct.Struct("<III")
_PARAMETER = struct.Struct("<II")


@dataclass(frozen=True)
class Field:
    """A place within a struct: `path` is empty for the struct itself."""

    struct: str
    path: str
    type_id: int

    def __str__(self) -> str:
        return f"{self.struct}.{self.path}" if self.path else self.struct


class Fields:
    """The fields of one object's types. Answers are remembered, for they are asked for often."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._places: dict[tuple[int, int], Field | None] = {}
        self._members: dict[int, tuple[Member, ...]] = {}
        self._structs: dict[str, int] = {}
        for type_id, found in enumerate(btf.types):
            if found.kind == BtfKind.STRUCT:
                self._structs.setdefault(found.name, type_id)

    def struct(self, name: str) -> int | None:
        """Return the id of the struct of that name."""
        return self._structs.get(name)

    def plain(self, type_id: int) -> int:
        """Return the id of the type behind typedefs and qualifiers."""
        for _ in range(_DEPTH_MAX):
            found = self._btf.type(type_id)
            if found.kind not in (
                BtfKind.TYPEDEF,
                BtfKind.VOLATILE,
                BtfKind.CONST,
                BtfKind.RESTRICT,
                BtfKind.TYPE_TAG,
            ):
                return type_id
            type_id = found.value
        raise ValueError("BTF has qualifiers that lead nowhere")

    def pointed(self, type_id: int) -> int | None:
        """Return the struct that a type points to, if it is a pointer to one."""
        pointer = self._btf.type(self.plain(type_id))
        if pointer.kind != BtfKind.PTR:
            return None
        target = self.plain(pointer.value)
        found = self._btf.type(target)
        if found.kind == BtfKind.FWD:
            return self.struct(found.name)
        return target if found.kind in _STRUCTS else None

    def parameters(self, type_id: int) -> tuple[int, ...]:
        """Return the types of the parameters of a pointer to a function, none if it is no such."""
        pointer = self._btf.type(self.plain(type_id))
        if pointer.kind != BtfKind.PTR:
            return ()
        prototype = self._btf.type(self.plain(pointer.value))
        if prototype.kind != BtfKind.FUNC_PROTO:
            return ()
        return tuple(
            _PARAMETER.unpack_from(prototype.trailer, index * _PARAMETER.size)[1]
            for index in range(len(prototype.trailer) // _PARAMETER.size)
        )

    def size(self, type_id: int) -> int:
        """Return a type's size in bytes; 0 when it has none."""
        factor = 1
        for _ in range(_DEPTH_MAX):
            found = self._btf.type(self.plain(type_id))
            if found.kind in _SIZED:
                return factor * found.value
            if found.kind == BtfKind.PTR:
                return factor * _POINTER_BYTES
            if found.kind != BtfKind.ARRAY:
                return 0
            type_id, _, length = _ARRAY.unpack(found.trailer)
            factor *= length
        raise ValueError("BTF has arrays that lead nowhere")

    def members(self, type_id: int) -> tuple[Member, ...]:
        """Return the members of a struct or union."""
        if type_id not in self._members:
            self._members[type_id] = self._btf.members(self._btf.type(type_id))
        return self._members[type_id]

    def name(self, type_id: int) -> str:
        """Return a struct's name without its flavour."""
        return self._btf.type(type_id).name.partition("___")[0]

    def at(self, type_id: int, offset: int) -> Field | None:
        """Return the innermost field at an offset; elements of an array have the array's name."""
        key = (type_id, offset)
        if key not in self._places:
            self._places[key] = self._at(type_id, offset)
        return self._places[key]

    def _at(self, type_id: int, offset: int) -> Field | None:
        root, path = self.plain(type_id), ""
        current, names = root, []
        for _ in range(_DEPTH_MAX):
            found = self._btf.type(current)
            if found.kind == BtfKind.ARRAY:
                element, _, _ = _ARRAY.unpack(found.trailer)
                size = self.size(element)
                current, offset = self.plain(element), offset % size if size else 0
                continue
            if found.kind not in _STRUCTS:
                break
            member = self._member_at(current, offset)
            if member is None:
                return None
            names.append(member.name)
            current, offset = self.plain(member.type_id), offset - member.offset
        path = ".".join(name for name in names if name)
        return Field(self.name(root), path, current)

    def _member_at(self, type_id: int, offset: int) -> Member | None:
        for member in self.members(type_id):
            if member.offset <= offset < member.offset + self.size(member.type_id):
                return member
        return None

    def accessed(self, type_id: int, access: str) -> Field | None:
        """Return the field that a CO-RE record names, such as `0:36:7` from a struct."""
        try:
            steps = [int(step) for step in access.split(":")]
        except ValueError:
            return None
        root = current = self.plain(type_id)
        names = []
        for step in steps[1:_DEPTH_MAX]:
            found = self._btf.type(current)
            if found.kind == BtfKind.ARRAY:
                current = self.plain(_ARRAY.unpack(found.trailer)[0])
                continue
            if found.kind not in _STRUCTS or not 0 <= step < len(self.members(current)):
                return None
            member = self.members(current)[step]
            names.append(member.name)
            current = self.plain(member.type_id)
        return Field(self.name(root), ".".join(name for name in names if name), current)

    def type(self, type_id: int) -> BtfType:
        """Return the type of that id."""
        return self._btf.type(type_id)
