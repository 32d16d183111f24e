"""BPF instructions: bytes in, instructions out.

Pure, and knows nothing of what a program means. The encoding is that of the BPF standard (RFC 9669)
with the instructions of -mcpu=v4 and the kernel's own additions: may_goto, address space casts,
load-acquire and store-release. What does not fit raises ValueError.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Instruction", "Kind", "Operation", "Reference", "Target", "decode"]

_SLOT = struct.Struct("<BBhi")
_SLOTS_MAX = 200_000
_REGISTERS = 11
_WIDE = 0x18
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}


class Kind(StrEnum):
    """What an instruction is, as far as an interpreter must tell it apart."""

    ALU = "alu"
    """Arithmetic on `dst`; the second operand is a register or the immediate."""
    SWAP = "swap"
    """A change of byte order; `imm` is the number of bits."""
    CAST = "cast"
    """A pointer goes from one address space to another."""
    WIDE = "wide"
    """A 64-bit immediate, or the address that `reference` names."""
    LOAD = "load"
    STORE = "store"
    ATOMIC = "atomic"
    JUMP = "jump"
    BRANCH = "branch"
    MAY_GOTO = "may_goto"
    """A jump that the kernel takes when a loop has used its budget up."""
    CALL = "call"
    CALL_REGISTER = "callx"
    EXIT = "exit"
    PACKET = "packet"
    """The loads from packets that the classic machine had."""


class Operation(StrEnum):
    """What ALU, branch and atomic instructions compute, in C's notation."""

    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"
    OR = "|"
    AND = "&"
    LSH = "<<"
    RSH = ">>"
    NEG = "neg"
    MOD = "%"
    XOR = "^"
    MOV = "="
    ARSH = "s>>"
    SDIV = "s/"
    SMOD = "s%"
    EQ = "=="
    GT = ">"
    GE = ">="
    SET = "set"
    NE = "!="
    SGT = "s>"
    SGE = "s>="
    LT = "<"
    LE = "<="
    SLT = "s<"
    SLE = "s<="
    XCHG = "xchg"
    CMPXCHG = "cmpxchg"
    LOAD_ACQUIRE = "load_acquire"
    STORE_RELEASE = "store_release"


class Target(StrEnum):
    """What a reference points to."""

    MAP = "map"
    DATA = "data"
    """A variable: `name` is its section, `offset` where in it."""
    FUNCTION = "function"
    """A function of the object: `name` is its section, `offset` its first slot."""
    KERNEL = "kernel"
    """A function or variable of the kernel, by name."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What the loader is to put into an instruction."""

    target: Target
    name: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; `at` and jump targets count slots of 8 bytes within the section."""

    at: int
    kind: Kind
    code: int
    dst: int = 0
    src: int = 0
    offset: int = 0
    imm: int = 0
    """Sign-extended, but for WIDE, where it has 64 bits and no sign."""
    operation: Operation | None = None
    narrow: bool = False
    """Computes or compares 32 bits."""
    immediate: bool = False
    """The second operand is `imm`, not `src`."""
    signed_bits: int = 0
    """A move or load that extends the sign of that many bits; 0 for none."""
    size: int = 0
    """Bytes that are loaded or stored."""
    fetch: bool = False
    """An atomic operation that returns the old value."""
    reference: Reference | None = None

    @property
    def slots(self) -> int:
        """How many slots it takes."""
        return 2 if self.kind is Kind.WIDE else 1

    @property
    def following(self) -> int:
        """The slot after it."""
        return self.at + self.slots

    @property
    def target(self) -> int:
        """The slot that a jump or branch goes to."""
        far = self.kind is Kind.JUMP and self.narrow
        return self.following + (self.imm if far else self.offset)


def decode(data: bytes) -> tuple[Instruction, ...]:
    """Return the instructions of a section, or raise ValueError."""
    if len(data) % _SLOT.size or len(data) // _SLOT.size > _SLOTS_MAX:
        raise ValueError(f"a section of {len(data)} bytes holds no whole instructions")
    found: list[Instruction] = []
    at, count = 0, len(data) // _SLOT.size
    while at < count:
        code, registers, offset, imm = _SLOT.unpack_from(data, at * _SLOT.size)
        dst, src = registers & 0xF, registers >> 4
        if code == _WIDE:
            if at + 1 == count:
                raise ValueError(f"the instruction at {at} is cut off")
            rest, none, nothing, high = _SLOT.unpack_from(data, (at + 1) * _SLOT.size)
            if rest or none or nothing:
                raise ValueError(f"the instruction at {at} lacks its second half")
            imm = (imm & 0xFFFFFFFF) | (high & 0xFFFFFFFF) << 32
        if dst >= _REGISTERS or (src >= _REGISTERS and code != _WIDE):
            raise ValueError(f"the instruction at {at} names a register that there is not")
        instruction = _instruction(at, code, dst, src, offset=offset, imm=imm)
        found.append(instruction)
        at = instruction.following
    return tuple(found)


_ALU = {
    0x00: Operation.ADD, 0x10: Operation.SUB, 0x20: Operation.MUL, 0x30: Operation.DIV,
    0x40: Operation.OR, 0x50: Operation.AND, 0x60: Operation.LSH, 0x70: Operation.RSH,
    0x80: Operation.NEG, 0x90: Operation.MOD, 0xA0: Operation.XOR, 0xB0: Operation.MOV,
    0xC0: Operation.ARSH,
}  # fmt: skip
_SIGNED = {Operation.DIV: Operation.SDIV, Operation.MOD: Operation.SMOD}
_BRANCHES = {
    0x10: Operation.EQ, 0x20: Operation.GT, 0x30: Operation.GE, 0x40: Operation.SET,
    0x50: Operation.NE, 0x60: Operation.SGT, 0x70: Operation.SGE, 0xA0: Operation.LT,
    0xB0: Operation.LE, 0xC0: Operation.SLT, 0xD0: Operation.SLE,
}  # fmt: skip
_ATOMICS = {
    0x00: Operation.ADD, 0x40: Operation.OR, 0x50: Operation.AND, 0xA0: Operation.XOR,
    0xE0: Operation.XCHG, 0xF0: Operation.CMPXCHG,
}  # fmt: skip
_LOAD_ACQUIRE, _STORE_RELEASE = 0x100, 0x110


def _instruction(at: int, code: int, dst: int, src: int, *, offset: int, imm: int) -> Instruction:
    group = code & 0x07
    if group in (0x04, 0x07):
        return _arithmetic(at, code, dst, src, offset=offset, imm=imm)
    if group in (0x05, 0x06):
        return _flow(at, code, dst, src, offset=offset, imm=imm)
    return _access(at, code, dst, src, offset=offset, imm=imm)


def _unknown(at: int, code: int) -> ValueError:
    return ValueError(f"the instruction at {at} has the unknown code {code:#04x}")


def _arithmetic(at: int, code: int, dst: int, src: int, *, offset: int, imm: int) -> Instruction:
    narrow, register = code & 0x07 == 0x04, bool(code & 0x08)
    if code & 0xF0 == 0xD0:
        if imm not in (16, 32, 64) or (not narrow and register):
            raise _unknown(at, code)
        return Instruction(at, Kind.SWAP, code, dst, imm=imm, narrow=narrow, immediate=not register)
    operation = _ALU.get(code & 0xF0)
    if operation is None:
        raise _unknown(at, code)
    if operation is Operation.MOV and code == 0xBF and offset == 1:
        return Instruction(at, Kind.CAST, code, dst, src, offset, imm)
    signed_bits = 0
    if operation is Operation.MOV and register and offset:
        signed_bits = offset
        if signed_bits not in ((8, 16) if narrow else (8, 16, 32)):
            raise _unknown(at, code)
    elif operation in _SIGNED and offset == 1:
        operation = _SIGNED[operation]
    elif offset:
        raise _unknown(at, code)
    return Instruction(
        at,
        Kind.ALU,
        code,
        dst,
        src,
        offset,
        imm,
        operation,
        narrow=narrow,
        immediate=not register,
        signed_bits=signed_bits,
    )


def _flow(at: int, code: int, dst: int, src: int, *, offset: int, imm: int) -> Instruction:
    narrow, register = code & 0x07 == 0x06, bool(code & 0x08)
    plain = {
        0x05: Kind.JUMP,
        0x06: Kind.JUMP,
        0x85: Kind.CALL,
        0x8D: Kind.CALL_REGISTER,
        0x95: Kind.EXIT,
        0xE5: Kind.MAY_GOTO,
    }.get(code)
    if plain is not None:
        return Instruction(at, plain, code, dst, src, offset, imm, narrow=narrow)
    operation = _BRANCHES.get(code & 0xF0)
    if operation is None:
        raise _unknown(at, code)
    return Instruction(
        at,
        Kind.BRANCH,
        code,
        dst,
        src,
        offset,
        imm,
        operation,
        narrow=narrow,
        immediate=not register,
    )


def _access(at: int, code: int, dst: int, src: int, *, offset: int, imm: int) -> Instruction:
    group, mode, size = code & 0x07, code & 0xE0, _SIZES[code & 0x18]
    if code == _WIDE:
        return Instruction(at, Kind.WIDE, code, dst, src, imm=imm)
    if group == 0x00 and mode in (0x20, 0x40) and size != 8:
        return Instruction(at, Kind.PACKET, code, dst, src, offset, imm, size=size)
    if group == 0x01 and mode == 0x60:
        return Instruction(at, Kind.LOAD, code, dst, src, offset, size=size)
    if group == 0x01 and mode == 0x80 and size != 8:
        return Instruction(at, Kind.LOAD, code, dst, src, offset, size=size, signed_bits=size * 8)
    if group in (0x02, 0x03) and mode == 0x60:
        return Instruction(
            at, Kind.STORE, code, dst, src, offset, imm, size=size, immediate=group == 0x02
        )
    if group == 0x03 and mode == 0xC0:
        return _atomic(at, code, dst, src, offset=offset, imm=imm)
    raise _unknown(at, code)


def _atomic(at: int, code: int, dst: int, src: int, *, offset: int, imm: int) -> Instruction:
    size = _SIZES[code & 0x18]
    ordered = {_LOAD_ACQUIRE: Operation.LOAD_ACQUIRE, _STORE_RELEASE: Operation.STORE_RELEASE}
    operation = ordered.get(imm) or _ATOMICS.get(imm & ~1)
    fetch = imm == _LOAD_ACQUIRE or (imm not in ordered and bool(imm & 1))
    exchange = operation in (Operation.XCHG, Operation.CMPXCHG)
    if operation is None or (imm not in ordered and (size < 4 or (exchange and not fetch))):
        raise _unknown(at, code)
    return Instruction(
        at, Kind.ATOMIC, code, dst, src, offset, imm, operation, size=size, fetch=fetch
    )
