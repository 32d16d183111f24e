"""What the bytecode analysis asks of a kernel: the values of its constants, and what it offers.

Pure: raw BTF in, facts out. A kernel has more than a hundred thousand types, of which a handful is
wanted, so that they are walked over and not kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from .btf import BtfKind

__all__ = ["KernelFacts", "kernel_facts"]

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_ENUMERATOR = struct.Struct("<Ii")
_ENUMERATOR64 = struct.Struct("<III")
_HEAD_WORDS = 3
_FIXED_WORDS = {BtfKind.INT: 1, BtfKind.ARRAY: 3, BtfKind.VAR: 1, BtfKind.DECL_TAG: 1}
_ELEMENT_WORDS = {
    BtfKind.STRUCT: 3,
    BtfKind.UNION: 3,
    BtfKind.ENUM: 2,
    BtfKind.FUNC_PROTO: 2,
    BtfKind.DATASEC: 3,
    BtfKind.ENUM64: 3,
}
_ENUMS = ("scx_enq_flags", "scx_dsq_id_flags", "scx_public_consts", "scx_kick_flags")


@dataclass(frozen=True)
class KernelFacts:
    """The constants of sched_ext by enum, and all names that the kernel's BTF has."""

    enums: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    names: bytes = b""

    def has(self, name: str) -> bool:
        """Say whether the kernel's BTF knows a name, as it does of every kfunc."""
        return b"\0" + name.encode() + b"\0" in self.names

    @property
    def enqueue_flags(self) -> Mapping[str, int]:
        """SCX_ENQ_*; empty when the kernel does not say."""
        return self.enums.get("scx_enq_flags", {})

    def flag(self, name: str) -> int:
        """Return an enqueue flag; 0 when the kernel has none of that name."""
        return self.enqueue_flags.get(name, 0)


@lru_cache(maxsize=4)
def kernel_facts(btf: bytes) -> KernelFacts:
    """Return the facts of a kernel from its raw BTF, or raise ValueError."""
    if len(btf) < _HEADER.size:
        raise ValueError("the kernel's BTF is cut off")
    magic, _, _, header, type_at, type_len, string_at, string_len = _HEADER.unpack_from(btf)
    types = btf[header + type_at : header + type_at + type_len]
    names = btf[header + string_at : header + string_at + string_len]
    if magic != _MAGIC or len(types) != type_len or len(names) != string_len or type_len % 4:
        raise ValueError("the kernel's BTF does not fit its header")
    wanted = {names.find(b"\0" + name.encode() + b"\0") + 1: name for name in _ENUMS}
    enums = {}
    for name_at, kind, trailer in _enums(types):
        if name_at in wanted and name_at:
            enums[wanted[name_at]] = dict(_enumerators(kind, trailer, names))
    return KernelFacts(enums, names)


def _enums(types: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the enums among all types: where the name is, the kind, and the enumerators."""
    words = struct.unpack(f"<{len(types) // 4}I", types)
    fixed = [_FIXED_WORDS.get(kind, 0) for kind in range(32)]
    each = [_ELEMENT_WORDS.get(kind, 0) for kind in range(32)]
    at, end = 0, len(words)
    while at + _HEAD_WORDS <= end:
        info = words[at + 1]
        kind = info >> 24 & 0x1F
        following = at + _HEAD_WORDS + fixed[kind] + each[kind] * (info & 0xFFFF)
        if kind in (BtfKind.ENUM, BtfKind.ENUM64):
            yield words[at], kind, types[(at + _HEAD_WORDS) * 4 : following * 4]
        at = following


def _enumerators(kind: int, trailer: bytes, names: bytes) -> Iterator[tuple[str, int]]:
    layout = _ENUMERATOR64 if kind == BtfKind.ENUM64 else _ENUMERATOR
    for at in range(0, len(trailer) - layout.size + 1, layout.size):
        name_at, *parts = layout.unpack_from(trailer, at)
        name = names[name_at : names.find(b"\0", name_at)].decode(errors="replace")
        value = parts[0] | parts[1] << 32 if kind == BtfKind.ENUM64 else parts[0] & 0xFFFFFFFF
        yield name, value
