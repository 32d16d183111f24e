"""Writes BTF, for tests that have no kernel and no compiler."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from schedcp_verifier.btf import BtfKind

_MAGIC = 0xEB9F


class BtfWriter:
    """Types in the order in which they are added; each method returns the new type's id."""

    def __init__(self) -> None:
        self._strings = bytearray(b"\0")
        self._types = bytearray()
        self._count = 0

    def string(self, text: str) -> int:
        """Add a string and return where it is."""
        at = len(self._strings)
        self._strings += text.encode() + b"\0"
        return at

    def _add(self, name: str, kind: int, elements: int, value: int, trailer: bytes = b"") -> int:
        named = self.string(name) if name else 0
        self._types += struct.pack("<III", named, kind << 24 | elements, value) + trailer
        self._count += 1
        return self._count

    def integer(self, name: str, size: int) -> int:
        """Add an integer of so many bytes."""
        return self._add(name, BtfKind.INT, 0, size, struct.pack("<I", size * 8))

    def pointer(self, target: int) -> int:
        """Add a pointer."""
        return self._add("", BtfKind.PTR, 0, target)

    def array(self, element: int, length: int) -> int:
        """Add an array."""
        return self._add("", BtfKind.ARRAY, 0, 0, struct.pack("<III", element, element, length))

    def structure(self, name: str, size: int, members: Sequence[tuple[str, int, int]]) -> int:
        """Add a struct; members are name, type and offset in bytes."""
        trailer = b"".join(
            struct.pack("<III", self.string(member), type_id, offset * 8)
            for member, type_id, offset in members
        )
        return self._add(name, BtfKind.STRUCT, len(members), size, trailer)

    def prototype(self, parameters: Sequence[tuple[str, int]]) -> int:
        """Add a prototype that returns nothing; parameters are name and type."""
        trailer = b"".join(
            struct.pack("<II", self.string(name), type_id) for name, type_id in parameters
        )
        return self._add("", BtfKind.FUNC_PROTO, len(parameters), 0, trailer)

    def function(self, name: str, prototype: int) -> int:
        """Add a function."""
        return self._add(name, BtfKind.FUNC, 0, prototype)

    def enum64(self, name: str, values: dict[str, int]) -> int:
        """Add an enum of 64-bit values."""
        trailer = b"".join(
            struct.pack("<III", self.string(word), value & 0xFFFFFFFF, value >> 32)
            for word, value in values.items()
        )
        return self._add(name, BtfKind.ENUM64, len(values), 8, trailer)

    def enum(self, name: str, values: dict[str, int]) -> int:
        """Add an enum of 32-bit values."""
        trailer = b"".join(
            struct.pack("<Ii", self.string(word), value) for word, value in values.items()
        )
        return self._add(name, BtfKind.ENUM, len(values), 4, trailer)

    def kernel_types(self) -> dict[str, int]:
        """Add a small task_struct, and return the types that signatures need.

        Offsets: flags 0, nr_cpus_allowed 4, cpus_ptr 8, comm 16, pid 32, static_prio 36, and from
        64 on scx: weight 64, flags 68, slice 72, dsq_vtime 80.
        """
        u32, u64, char = self.integer("u32", 4), self.integer("u64", 8), self.integer("char", 1)
        mask = self.structure("cpumask", 8, [("bits", u64, 0)])
        entity = self.structure(
            "sched_ext_entity",
            24,
            [("weight", u32, 0), ("flags", u32, 4), ("slice", u64, 8), ("dsq_vtime", u64, 16)],
        )
        task = self.structure(
            "task_struct",
            88,
            [
                ("flags", u32, 0),
                ("nr_cpus_allowed", u32, 4),
                ("cpus_ptr", self.pointer(mask), 8),
                ("comm", self.array(char, 16), 16),
                ("pid", u32, 32),
                ("static_prio", u32, 36),
                ("scx", entity, 64),
            ],
        )
        return {"pointer": self.pointer(task), "number": u64}

    def data(self) -> bytes:
        """Return the raw BTF."""
        types, strings = bytes(self._types), bytes(self._strings)
        header = struct.pack("<HBBIIIII", _MAGIC, 1, 0, 24, 0, len(types), len(types), len(strings))
        return header + types + strings
