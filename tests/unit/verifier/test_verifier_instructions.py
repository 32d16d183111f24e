"""BPF instructions are read as the standard has them; everything else is a ValueError."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_verifier.instructions import Kind, Operation, decode
from support.bpf_assembly import assembled
from support.bpf_text import text_of_instruction


def slot(code: int, dst: int = 0, src: int = 0, offset: int = 0, imm: int = 0) -> bytes:
    """Return one slot."""
    return struct.pack("<BBhi", code, dst | src << 4, offset, imm)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (slot(0xB7, 1, imm=-1), "r1 = -0x1"),
        (slot(0xBC, 2, 6), "w2 = w6"),
        (slot(0xBF, 1, 2, offset=32), "r1 = (s32)r2"),
        (slot(0x34, 3, imm=7), "w3 /= 0x7"),
        (slot(0x3C, 3, 4, offset=1), "w3 s/= w4"),
        (slot(0x9F, 3, 4, offset=1), "r3 s%= r4"),
        (slot(0xC7, 3, imm=4), "r3 s>>= 0x4"),
        (slot(0x87, 3), "r3 = -r3"),
        (slot(0xD7, 3, imm=16), "r3 = bswap16 r3"),
        (slot(0xDC, 3, imm=32), "r3 = be32 r3"),
        (slot(0xBF, 1, 2, offset=1, imm=1), "r1 = addr_space_cast(r2, 0x0, 0x1)"),
        (slot(0x18, 2, imm=2) + slot(0x00, imm=-(1 << 31)), "r2 = -0x7ffffffffffffffe ll"),
        (slot(0x71, 1, 10, offset=-41), "w1 = *(u8 *)(r10 - 0x29)"),
        (slot(0x81, 1, 7, offset=8), "r1 = *(s32 *)(r7 + 0x8)"),
        (slot(0x7A, 10, offset=-8, imm=5), "*(u64 *)(r10 - 0x8) = 0x5"),
        (slot(0x63, 10, 1, offset=-4), "*(u32 *)(r10 - 0x4) = w1"),
        (slot(0xDB, 1, 2, imm=0), "lock *(u64 *)(r1 + 0x0) += r2"),
        (slot(0xDB, 1, 2, imm=1), "r2 = atomic_fetch_add((u64 *)(r1 + 0x0), r2)"),
        (slot(0xC3, 1, 2, imm=0xF1), "w0 = cmpxchg32_32(r1 + 0x0, w0, w2)"),
        (slot(0xDB, 1, 2, imm=0xE1), "r2 = xchg_64(r1 + 0x0, r2)"),
        (slot(0x05, offset=-3), "goto -0x3"),
        (slot(0x06, imm=70_000), "gotol +0x11170"),
        (slot(0xE5, offset=2), "may_goto +0x2"),
        (slot(0x56, 1, offset=3, imm=1), "if w1 != 0x1 goto +0x3"),
        (slot(0x4D, 1, 2, offset=1), "if r1 & r2 goto +0x1"),
        (slot(0x85, imm=5), "call 0x5"),
        (slot(0x95), "exit"),
    ],
)
def test_each_form_has_its_text(data: bytes, text: str) -> None:
    (instruction,) = decode(data)
    assert text_of_instruction(instruction) == text


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 7,
        slot(0x18, 1),
        slot(0x18, 1) + slot(0x00, 1),
        slot(0xB7, 11),
        slot(0xBF, 1, 12),
        slot(0xBF, 1, 2, offset=7),
        slot(0x07, 1, offset=1),
        slot(0xE7, 1),
        slot(0xD7, 1, imm=8),
        slot(0xDB, 1, 2, imm=0x20),
        slot(0xD3, 1, 2, imm=0),
        slot(0x99, 1, 2),
        slot(0x00),
    ],
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"instruction|section"):
        decode(data)


def test_jumps_count_from_the_slot_after_them() -> None:
    wide = slot(0x18, 1) + slot(0x00)
    first, jump, far, _ = decode(wide + slot(0x05, offset=1) + slot(0x06, imm=-3) + slot(0x95))
    assert (first.following, jump.target, far.target) == (2, 4, 1)
    assert (far.kind, jump.narrow) == (Kind.JUMP, False)


def test_the_assembler_writes_what_is_read() -> None:
    text = """
        r1 = 0x21 ll
        r2 = *(u64 *)(r1 + 0x8)
        w2 += 0x3
        if r2 s< 0x5 goto done
        *(u64 *)(r10 - 0x8) = r2
        call 5
    done:
        exit
    """
    data, references, labels = assembled(text)
    found = [text_of_instruction(i) for i in decode(data)]
    assert found == [
        "r1 = 0x21 ll",
        "r2 = *(u64 *)(r1 + 0x8)",
        "w2 += 0x3",
        "if r2 s< 0x5 goto +0x2",
        "*(u64 *)(r10 - 0x8) = r2",
        "call 0x5",
        "exit",
    ]
    assert (references, labels) == ({}, {"done": 7})


@given(st.binary(max_size=160))
def test_bytes_are_instructions_or_a_value_error(data: bytes) -> None:
    try:
        found = decode(data)
    except ValueError:
        return
    assert sum(i.slots for i in found) * 8 == len(data)
    for before, after in itertools.pairwise(found):
        assert before.following == after.at
    for instruction in found:
        assert text_of_instruction(instruction)
        assert instruction.operation is None or instruction.operation in Operation
