"""A small assembler: schedulers as text, for tests that have no compiler.

The notation is that of llvm-objdump, one instruction on a line or before a semicolon, with labels
(`name:`), calls by name, and `r1 = &NAME` for the address of a map, a variable (`&.bss+8`), a
function of the text, or one of the kernel's functions.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from schedcp_verifier.btf import Btf, SectionVariable
from schedcp_verifier.fields import Fields
from schedcp_verifier.instructions import Instruction, Reference, Target, decode
from schedcp_verifier.programs import Function, MapDeclaration, ProgramObject, Table
from support.bpf_btf import BtfWriter

_SLOT = struct.Struct("<BBhi")
_ALU = {
    "+": 0x00, "-": 0x10, "*": 0x20, "/": 0x30, "|": 0x40, "&": 0x50, "<<": 0x60, ">>": 0x70,
    "%": 0x90, "^": 0xA0, "": 0xB0, "s>>": 0xC0, "s/": 0x30, "s%": 0x90,
}  # fmt: skip
_BRANCHES = {
    "==": 0x10, ">": 0x20, ">=": 0x30, "&": 0x40, "!=": 0x50, "s>": 0x60, "s>=": 0x70,
    "<": 0xA0, "<=": 0xB0, "s<": 0xC0, "s<=": 0xD0,
}  # fmt: skip
_SIZES = {8: 0x10, 16: 0x08, 32: 0x00, 64: 0x18}
_REGISTER = re.compile(r"([rw])(\d+)")
_PLACE = r"\*\((?P<sign>[us])(?P<bits>\d+) \*\)\((?P<base>r\d+) (?P<way>[+-]) (?P<far>\w+)\)"
_LOAD = re.compile(rf"(?P<dst>[rw]\d+) = {_PLACE}")
_STORE = re.compile(rf"{_PLACE} = (?P<value>\S+)")
_ADD_ATOMIC = re.compile(rf"lock {_PLACE} \+= (?P<value>[rw]\d+)")
_BRANCH = re.compile(r"if ([rw]\d+) (\S+) (\S+) goto (\w+)")
_MOVE = re.compile(r"([rw])(\d+) (s>>|s/|s%|<<|>>|[-+*/|&%^])?= (?:\(s(\d+)\))?(\S+)( ll)?")
_ADDRESS = re.compile(r"(r\d+) = &(\S+)")
_HELPERS = {
    "bpf_map_lookup_elem": 1, "bpf_map_update_elem": 2, "bpf_ktime_get_ns": 5,
    "bpf_get_prandom_u32": 7, "bpf_map_push_elem": 87, "bpf_map_pop_elem": 88,
    "bpf_probe_read_kernel": 113, "bpf_task_storage_get": 156, "bpf_timer_set_callback": 170,
    "bpf_loop": 181,
}  # fmt: skip


@dataclass
class _Assembled:
    """Bytes under way: jumps by slot to the label they are for, references by slot."""

    slots: list[bytes] = field(default_factory=list)
    jumps: dict[int, str] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    references: dict[int, str] = field(default_factory=dict)

    def put(self, code: int, dst: int = 0, src: int = 0, offset: int = 0, imm: int = 0) -> None:
        """Append one slot."""
        signed = imm - (1 << 32) if imm >= 1 << 31 else imm
        self.slots.append(_SLOT.pack(code, dst | src << 4, offset, signed))


def _register(text: str) -> int:
    found = _REGISTER.fullmatch(text)
    if found is None:
        raise ValueError(f"no register: {text}")
    return int(found[2])


def _operand(text: str) -> tuple[int, int, int]:
    """Return the source bit, the register and the number of an operand."""
    if _REGISTER.fullmatch(text):
        return 0x08, _register(text), 0
    return 0x00, 0, int(text, 0)


def _line(out: _Assembled, text: str) -> None:
    place = _LOAD.fullmatch(text)
    if place:
        far = int(place["far"], 0) * (1 if place["way"] == "+" else -1)
        mode = 0x81 if place["sign"] == "s" else 0x61
        code = mode | _SIZES[int(place["bits"])]
        out.put(code, _register(place["dst"]), _register(place["base"]), far)
    elif found := _STORE.fullmatch(text):
        far = int(found["far"], 0) * (1 if found["way"] == "+" else -1)
        bit, src, imm = _operand(found["value"])
        code = (0x63 if bit else 0x62) | _SIZES[int(found["bits"])]
        out.put(code, _register(found["base"]), src, far, imm)
    elif found := _ADD_ATOMIC.fullmatch(text):
        far = int(found["far"], 0) * (1 if found["way"] == "+" else -1)
        code = 0xC3 | _SIZES[int(found["bits"])]
        out.put(code, _register(found["base"]), _register(found["value"]), far, 0)
    elif found := _BRANCH.fullmatch(text):
        bit, src, imm = _operand(found[3])
        group = 0x05 if found[1][0] == "r" else 0x06
        out.jumps[len(out.slots)] = found[4]
        out.put(group | bit | _BRANCHES[found[2]], _register(found[1]), src, 0, imm)
    elif text.startswith(("goto ", "may_goto ")):
        word, label = text.split()
        out.jumps[len(out.slots)] = label
        out.put(0x05 if word == "goto" else 0xE5)
    elif text.startswith("call "):
        _call(out, text.removeprefix("call "))
    elif text == "exit":
        out.put(0x95)
    elif found := _ADDRESS.fullmatch(text):
        out.references[len(out.slots)] = found[2]
        out.put(0x18, _register(found[1]))
        out.put(0x00)
    elif found := _MOVE.fullmatch(text):
        _move(out, found)
    else:
        raise ValueError(f"no instruction: {text}")


def _call(out: _Assembled, name: str) -> None:
    if name.isdigit() or name in _HELPERS:
        out.put(0x85, imm=_HELPERS.get(name) or int(name))
        return
    out.references[len(out.slots)] = name
    out.put(0x85, src=1, imm=-1)


def _move(out: _Assembled, found: re.Match[str]) -> None:
    name, dst, operator, bits, value, wide = found.groups()
    if wide:
        number = int(value, 0) & (1 << 64) - 1
        out.put(0x18, int(dst), imm=number & 0xFFFFFFFF)
        out.put(0x00, imm=number >> 32)
        return
    bit, src, imm = _operand(value)
    offset = int(bits or 0) or int((operator or "").startswith("s") and operator != "s>>")
    out.put(
        (0x07 if name == "r" else 0x04) | bit | _ALU[operator or ""], int(dst), src, offset, imm
    )


def assembled(text: str) -> tuple[bytes, dict[int, str], dict[str, int]]:
    """Return the bytes of a program, its references by slot, and its labels by name."""
    out = _Assembled()
    for line in text.replace(";", "\n").splitlines():
        label, colon, words = line.strip().rpartition(":")
        if colon:
            out.labels[label] = len(out.slots)
        if words.strip():
            _line(out, words.strip())
    for slot, label in out.jumps.items():
        code, registers, _, imm = _SLOT.unpack(out.slots[slot])
        distance = out.labels[label] - slot - 1
        out.slots[slot] = _SLOT.pack(code, registers, distance, imm)
    return b"".join(out.slots), out.references, out.labels


KERNEL_TYPES = BtfWriter()
"""A kernel's types, as far as the tests ask for them."""
_TASK = KERNEL_TYPES.kernel_types()
FIELDS = Fields(Btf(KERNEL_TYPES.data()))
_SIGNATURES: dict[str, tuple[str, ...]] = {
    "select_cpu": ("task", "number", "number"),
    "enqueue": ("task", "number"),
    "dispatch": ("number", "task"),
    "running": ("task",),
    "stopping": ("task", "number"),
    "tick": ("task",),
    "quiescent": ("task", "number"),
    "yield": ("task", "task"),
    "init_task": ("task", "number"),
    "cgroup_init": ("number", "number"),
    "cgroup_prep_move": ("task", "number", "number"),
}


def scheduler(
    operations: Mapping[str, str],
    *,
    maps: Sequence[MapDeclaration] = (),
    variables: Mapping[str, Mapping[str, int]] | None = None,
    flags: int = 0,
) -> ProgramObject:
    """Return an object whose operations have that text.

    `variables` gives values of 8-byte variables by section. A label that begins with `fn_` begins a
    function, which `call` and `&` can name.
    """
    code: dict[str, dict[int, Instruction]] = {}
    functions = []
    for operation, text in operations.items():
        data, references, labels = assembled(text)
        section = f"struct_ops/{operation}"
        instructions = {i.at: i for i in decode(data)}
        for slot, name in references.items():
            reference = _reference(name, section, labels, maps)
            instructions[slot] = replace(instructions[slot], reference=reference)
        code[section] = instructions
        starts = [0, *(slot for name, slot in labels.items() if name.startswith("fn_"))]
        ends = [*starts[1:], len(data) // 8]
        functions += [
            Function(operation if not first else f"{operation}.{first}", section, first, end)
            for first, end in zip(starts, ends, strict=True)
        ]
    named = {f.name: f for f in functions if f.first == 0}
    types = {"task": _TASK["pointer"], "number": _TASK["number"]}
    signatures = {name: tuple(types[kind] for kind in _SIGNATURES.get(name, ())) for name in named}
    places, contents = _variables(variables or {})
    return ProgramObject(
        code,
        tuple(functions),
        Table("ops", {"flags": flags}, named, signatures),
        {m.name: m for m in maps},
        places,
        contents,
        FIELDS,
    )


def _reference(
    name: str, section: str, labels: Mapping[str, int], maps: Sequence[MapDeclaration]
) -> Reference:
    if name in labels:
        return Reference(Target.FUNCTION, section, labels[name])
    if any(m.name == name for m in maps):
        return Reference(Target.MAP, name)
    if name.startswith("."):
        where, _, offset = name.partition("+")
        return Reference(Target.DATA, where, int(offset or 0))
    return Reference(Target.KERNEL, name)


def _variables(
    values: Mapping[str, Mapping[str, int]],
) -> tuple[dict[str, tuple[SectionVariable, ...]], dict[str, bytes]]:
    places, contents = {}, {}
    for section, named in values.items():
        places[section] = tuple(
            SectionVariable(name, 1, 8 * index, 8) for index, name in enumerate(named)
        )
        contents[section] = b"".join(value.to_bytes(8, "little") for value in named.values())
    return places, contents
