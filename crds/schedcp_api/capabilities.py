"""What a kernel offers to schedulers, read from its BTF, and what a scheduler lacks there.

A manifest's `needs` are names of three kinds: a kfunc (`scx_bpf_kick_cpu`), a member of a struct
(`sched_ext_ops.cgroup_set_bandwidth`), and an enumerator of sched_ext (`SCX_ENQ_IMMED`). Pure:
bytes in, names out, never a version. The bytes may be of any origin: what does not fit raises
ValueError.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

__all__ = ["KernelCapabilities", "capabilities_of_btf"]

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_HEAD_WORDS = 3
_KFUNC_TAG = "bpf_kfunc"
_KFUNC_PREFIXES = ("scx_bpf_", "bpf_")
_CONSTANT_PREFIX = "SCX_"
_STRUCTS = ("sched_ext_ops", "sched_ext_ops_cid", "scx_exit_info", "scx_init_task_args")
"""The structs whose members a scheduler may name as needs."""
_IMPLICIT = "aux"
"""The parameter that the kernel adds to a call by itself."""
_SPLIT_SUFFIX = "_impl"


class _Kind(IntEnum):
    INT = 1
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    DECL_TAG = 17
    ENUM64 = 19


_FIXED_WORDS: Mapping[int, int] = {_Kind.INT: 1, _Kind.ARRAY: 3, _Kind.VAR: 1, _Kind.DECL_TAG: 1}
_ELEMENT_WORDS: Mapping[int, int] = {
    _Kind.STRUCT: 3,
    _Kind.UNION: 3,
    _Kind.ENUM: 2,
    _Kind.FUNC_PROTO: 2,
    _Kind.DATASEC: 3,
    _Kind.ENUM64: 3,
}


@dataclass(frozen=True)
class KernelCapabilities:
    """Names that a kernel has."""

    kfuncs: frozenset[str]
    unusable: frozenset[str]
    """Kfuncs that are there and cannot be called. What the kernel adds to a call stands in the
    prototype of NAME_impl and not in that of NAME; some builds have left that undone.
    """
    members: frozenset[str]
    """As `struct.member`, of sched_ext's structs."""
    constants: frozenset[str]

    def missing(self, needs: Iterable[str]) -> tuple[str, ...]:
        """Return what this kernel lacks of `needs`, a few words each; empty when it has all."""
        return tuple(words for need in needs if (words := self._lack(need)))

    def _lack(self, need: str) -> str:
        if "." in need:
            return "" if need in self.members else f"the member {need}"
        if need.startswith(_CONSTANT_PREFIX):
            return "" if need in self.constants else f"the constant {need}"
        if need in self.unusable:
            # The kernel looks for NAME_impl when a program calls NAME, and refuses the program.
            return f"{need}{_SPLIT_SUFFIX} in its BTF, without which no program can call {need}"
        return "" if need in self.kfuncs else f"the kfunc {need}"


@dataclass
class _Found:
    """What one walk over the types collects; functions wait for their prototypes."""

    functions: dict[str, int] = field(default_factory=dict)
    """Ids of prototypes by name."""
    implicit: set[int] = field(default_factory=set)
    """Ids of prototypes whose last parameter the kernel adds."""
    members: set[str] = field(default_factory=set)
    constants: set[str] = field(default_factory=set)


class _Strings:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def at(self, offset: int) -> str:
        end = self._data.find(b"\0", offset)
        if not 0 <= offset < len(self._data) or end < 0:
            raise ValueError(f"BTF names a string at {offset}, which it does not have")
        return self._data[offset:end].decode(errors="replace")


def capabilities_of_btf(data: bytes) -> KernelCapabilities:
    """Return what the kernel with this raw BTF offers, or raise ValueError for other bytes."""
    words, strings = _sections(data)
    found = _Found()
    for type_id, (name_at, kind, elements, value, at) in enumerate(_types(words), 1):
        if kind == _Kind.FUNC:
            name = strings.at(name_at)
            if name.startswith(_KFUNC_PREFIXES):
                found.functions[name] = value
        elif kind == _Kind.FUNC_PROTO:
            if elements and strings.at(words[at + 2 * (elements - 1)]) == _IMPLICIT:
                found.implicit.add(type_id)
        elif kind == _Kind.STRUCT:
            name = strings.at(name_at)
            if name in _STRUCTS:
                names = (strings.at(words[at + 3 * index]) for index in range(elements))
                found.members.update(f"{name}.{member}" for member in names)
        elif kind in (_Kind.ENUM, _Kind.ENUM64):
            each = _ELEMENT_WORDS[kind]
            names = (strings.at(words[at + each * index]) for index in range(elements))
            found.constants.update(name for name in names if name.startswith(_CONSTANT_PREFIX))
    return _judged(found)


def _judged(found: _Found) -> KernelCapabilities:
    unusable = frozenset(
        name
        for name, prototype in found.functions.items()
        if prototype in found.implicit
        and not name.endswith(_SPLIT_SUFFIX)
        and f"{name}{_SPLIT_SUFFIX}" not in found.functions
    )
    return KernelCapabilities(
        frozenset(found.functions) - unusable,
        unusable,
        frozenset(found.members),
        frozenset(found.constants),
    )


def _sections(data: bytes) -> tuple[tuple[int, ...], _Strings]:
    if len(data) < _HEADER.size:
        raise ValueError(f"{len(data)} bytes are too few to be BTF")
    magic, _, _, header, type_at, type_len, string_at, string_len = _HEADER.unpack_from(data)
    types = data[header + type_at : header + type_at + type_len]
    strings = data[header + string_at : header + string_at + string_len]
    if magic != _MAGIC or len(types) != type_len or len(strings) != string_len or type_len % 4:
        raise ValueError("not raw BTF: the header does not fit the data")
    return struct.unpack(f"<{type_len // 4}I", types), _Strings(strings)


def _types(words: tuple[int, ...]) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield each type: where its name is, kind, elements, size or type, where its elements are."""
    at, end = 0, len(words)
    while at + _HEAD_WORDS <= end:
        name_at, info, value = words[at : at + _HEAD_WORDS]
        kind, elements = info >> 24 & 0x1F, info & 0xFFFF
        at += _HEAD_WORDS
        following = at + _FIXED_WORDS.get(kind, 0) + _ELEMENT_WORDS.get(kind, 0) * elements
        if following > end:
            break
        yield name_at, kind, elements, value, at
        at = following
    if at != end:
        raise ValueError("BTF is cut off in the middle of a type")
