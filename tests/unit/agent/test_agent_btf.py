"""Finding a structure's members in raw BTF."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_agent.probes.btf_offsets import member_offsets

HEADER = "=HBBIIIII"


class Builder:
    """Writes BTF with structures of integers."""

    def __init__(self) -> None:
        self.types = b""
        self.strings = b"\0"

    def name(self, text: str) -> int:
        offset = len(self.strings)
        self.strings += text.encode() + b"\0"
        return offset

    def struct(self, name: str, members: dict[str, int], *, kind: int = 4) -> "Builder":
        info = kind << 24 | len(members)
        self.types += struct.pack("=III", self.name(name), info, 64)
        for member, offset in members.items():
            self.types += struct.pack("=III", self.name(member), 1, offset * 8)
        return self

    def build(self) -> bytes:
        size = struct.calcsize(HEADER)
        head = (0xEB9F, 1, 0, size, 0, len(self.types), len(self.types), len(self.strings))
        return struct.pack(HEADER, *head) + self.types + self.strings


def test_the_members_of_a_structure() -> None:
    btf = (
        Builder()
        .struct("other", {"pid": 4})
        .struct("task_struct", {"state": 0, "pid": 1264, "comm": 1752})
        .build()
    )
    assert member_offsets(btf, "task_struct", ("pid", "comm")) == {"pid": 1264, "comm": 1752}


def test_a_namesake_without_the_members_is_passed_over() -> None:
    btf = Builder().struct("task_struct", {"x": 1}).struct("task_struct", {"pid": 8}).build()
    assert member_offsets(btf, "task_struct", ("pid",)) == {"pid": 8}


@pytest.mark.parametrize(
    "btf",
    [
        Builder().struct("task_struct", {"tgid": 8}).build(),
        Builder().struct("my_task_struct", {"pid": 8}).build(),
        Builder().struct("task_struct", {"pid": 8}, kind=5).build(),
        Builder().build(),
    ],
)
def test_no_such_structure(btf: bytes) -> None:
    with pytest.raises(ValueError, match="no struct task_struct"):
        member_offsets(btf, "task_struct", ("pid",))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="BTF"):
        member_offsets(raw, "task_struct", ("pid",))


@given(st.integers(0, 300))
def test_a_cut_is_noticed(kept: int) -> None:
    whole = Builder().struct("task_struct", {"pid": 8}).build()
    if kept < len(whole):
        with pytest.raises(ValueError, match="BTF"):
            member_offsets(whole[:kept], "task_struct", ("pid",))
