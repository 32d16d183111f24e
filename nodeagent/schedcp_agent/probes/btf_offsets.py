"""Where a structure's members lie in the running kernel, from its raw BTF. Bytes in, numbers out.

The probes read three members of `struct task_struct`. Asking BTF spares them the kernel's own
headers for it, whose compilation takes a minute under emulation.
"""

import struct
from collections.abc import Iterable, Iterator

_HEADER = struct.Struct("=HBBIIIII")
_TYPE = struct.Struct("=III")
_MEMBER = struct.Struct("=III")
_MAGIC = 0xEB9F
_KIND_STRUCT = 4
_BIT_OFFSET_MASK = 0x00FF_FFFF


def member_offsets(btf: bytes, structure: str, members: Iterable[str]) -> dict[str, int]:
    """Return the byte offset of each member; raise ValueError when there is no such structure."""
    wanted = tuple(members)
    types, strings = _sections(btf)
    for offset, count in _candidates(types, strings, structure):
        found = dict(_members(types, strings, offset, count))
        if all(name in found for name in wanted):
            return {name: found[name] for name in wanted}
    raise ValueError(f"BTF has no struct {structure} with members {', '.join(wanted)}")


def _sections(btf: bytes) -> tuple[bytes, bytes]:
    if len(btf) < _HEADER.size:
        raise ValueError(f"{len(btf)} bytes are too few to be BTF")
    magic, _, _, header, type_offset, type_length, text_offset, text_length = _HEADER.unpack_from(
        btf
    )
    types = btf[header + type_offset : header + type_offset + type_length]
    strings = btf[header + text_offset : header + text_offset + text_length]
    if magic != _MAGIC or len(types) != type_length or len(strings) != text_length:
        raise ValueError("not raw BTF: the header does not fit the bytes")
    return types, strings


def _candidates(types: bytes, strings: bytes, name: str) -> Iterator[tuple[int, int]]:
    """Yield where the members of each struct of that name begin, and how many there are.

    Looks for the name's offset instead of walking all types, of which a kernel has a hundred
    thousand; the caller checks the members, so a chance match does no harm.
    """
    key = b"\0" + name.encode() + b"\0"
    at = strings.find(key)
    while at != -1:
        needle = struct.pack("=I", at + 1)
        place = types.find(needle)
        while place != -1:
            if place % 4 == 0 and place + _TYPE.size <= len(types):
                _, info, _ = _TYPE.unpack_from(types, place)
                if (info >> 24) & 0x1F == _KIND_STRUCT:
                    yield place + _TYPE.size, info & 0xFFFF
            place = types.find(needle, place + 1)
        at = strings.find(key, at + 1)


def _members(types: bytes, strings: bytes, offset: int, count: int) -> Iterator[tuple[str, int]]:
    for number in range(count):
        place = offset + number * _MEMBER.size
        if place + _MEMBER.size > len(types):
            return
        name, _, bits = _MEMBER.unpack_from(types, place)
        end = strings.find(b"\0", name)
        if name < len(strings) and end != -1:
            yield strings[name:end].decode(errors="replace"), (bits & _BIT_OFFSET_MASK) // 8
