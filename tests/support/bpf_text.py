"""BPF instructions as text, in the notation of llvm-objdump."""

from __future__ import annotations

from schedcp_verifier.instructions import Instruction, Kind, Operation

_NAMES = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}
_ATOMICS = {
    Operation.ADD: "add",
    Operation.OR: "or",
    Operation.AND: "and",
    Operation.XOR: "xor",
}


def _hex(number: int) -> str:
    return f"{'-' if number < 0 else ''}{abs(number):#x}"


def _place(register: int, offset: int) -> str:
    return f"(r{register} {'-' if offset < 0 else '+'} {abs(offset):#x})"


def _jump(offset: int) -> str:
    return f"{'-' if offset < 0 else '+'}{abs(offset):#x}"


def _alu(i: Instruction) -> str:
    name = "w" if i.narrow else "r"
    dst = f"{name}{i.dst}"
    if i.operation is Operation.NEG:
        return f"{dst} = -{dst}"
    value = _hex(i.imm) if i.immediate else f"{name}{i.src}"
    if i.signed_bits:
        return f"{dst} = (s{i.signed_bits}){value}"
    if i.operation is Operation.MOV:
        return f"{dst} = {value}"
    return f"{dst} {i.operation}= {value}"


def _atomic(i: Instruction) -> str:
    name = "r" if i.size == 8 else "w"
    place, src = _place(i.dst, i.offset), f"{name}{i.src}"
    if i.operation is Operation.LOAD_ACQUIRE:
        return f"w{i.dst}" if i.size < 8 else f"r{i.dst}"
    if i.operation is Operation.CMPXCHG:
        suffix = "_64" if i.size == 8 else "32_32"
        return f"{name}0 = cmpxchg{suffix}{place[:-1]}, {name}0, {src})"
    if i.operation is Operation.XCHG:
        suffix = "_64" if i.size == 8 else "32_32"
        return f"{src} = xchg{suffix}{place[:-1]}, {src})"
    if i.fetch:
        operation = _ATOMICS[i.operation or Operation.ADD]
        return f"{src} = atomic_fetch_{operation}(({_NAMES[i.size]} *){place}, {src})"
    return f"lock *({_NAMES[i.size]} *){place} {i.operation}= {src}"


def _branch(i: Instruction) -> str:
    name = "w" if i.narrow else "r"
    value = _hex(i.imm) if i.immediate else f"{name}{i.src}"
    operation = "&" if i.operation is Operation.SET else i.operation
    return f"if {name}{i.dst} {operation} {value} goto {_jump(i.offset)}"


def text_of_instruction(i: Instruction) -> str:
    """Return an instruction as llvm-objdump writes it, without the symbol that a jump is for."""
    kind = f"{'s' if i.signed_bits else 'u'}{i.size * 8}"
    match i.kind:
        case Kind.ALU:
            return _alu(i)
        case Kind.SWAP:
            name = f"{'le' if i.immediate else 'be'}" if i.narrow else "bswap"
            return f"r{i.dst} = {name}{i.imm} r{i.dst}"
        case Kind.CAST:
            return f"r{i.dst} = addr_space_cast(r{i.src}, {i.imm >> 16:#x}, {i.imm & 0xFFFF:#x})"
        case Kind.WIDE:
            signed = i.imm - (1 << 64) if i.imm >> 63 else i.imm
            return f"r{i.dst} = {_hex(signed)} ll"
        case Kind.LOAD:
            name = "w" if i.size < 8 and not i.signed_bits else "r"
            return f"{name}{i.dst} = *({kind} *){_place(i.src, i.offset)}"
        case Kind.STORE:
            value = _hex(i.imm) if i.immediate else f"{'r' if i.size == 8 else 'w'}{i.src}"
            return f"*({kind} *){_place(i.dst, i.offset)} = {value}"
        case Kind.ATOMIC:
            return _atomic(i)
        case Kind.JUMP:
            return f"gotol {_jump(i.imm)}" if i.narrow else f"goto {_jump(i.offset)}"
        case Kind.BRANCH:
            return _branch(i)
        case Kind.MAY_GOTO:
            return f"may_goto {_jump(i.offset)}"
        case Kind.CALL:
            return f"call {_hex(i.imm)}"
        case Kind.CALL_REGISTER:
            return f"callx r{i.dst}"
        case Kind.EXIT:
            return "exit"
        case Kind.PACKET:
            place = f"[r{i.src}]" if i.code & 0xE0 == 0x40 else f"[{_hex(i.imm)}]"
            return f"r0 = *({kind} *)skb{place}"
