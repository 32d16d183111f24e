"""An object's programs, ready to be analysed: instructions whose references have names.

Pure: bytes in, programs out. The object may be hostile: whatever does not fit raises ValueError.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import Section, Symbol, SymbolTableSection

from schedcp_api.candidates import Argument

from .annotations import Annotations, Place, read_annotations
from .btf import Btf, SectionVariable
from .fields import Fields
from .instructions import Instruction, Kind, Reference, Target, decode
from .rules import MAPS_OF_MAPS

__all__ = ["Function", "MapDeclaration", "ProgramObject", "Table", "read_programs"]

_EXECUTABLE = 0x4
_SYMBOLS_MAX = 50_000
_DATA_BYTES_MAX = 4 * 1024**2
_SLOT_BYTES = 8
_PSEUDO_CALL = 1
_TABLES = (".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link")
_TABLE_NUMBERS = ("flags", "timeout_ms", "dispatch_max_batch", "hotplug_seq")


@dataclass(frozen=True)
class Function:
    """A function: its section, its first slot, and the slot after its last."""

    name: str
    section: str
    first: int
    end: int


@dataclass(frozen=True)
class MapDeclaration:
    """A map as the object declares it; what it does not say is 0."""

    name: str
    kind: int = 0
    entries: int = 0
    key_size: int = 0


@dataclass(frozen=True)
class Table:
    """The struct_ops table: numbers by member, and the function of each operation."""

    name: str = ""
    numbers: Mapping[str, int] = field(default_factory=dict)
    operations: Mapping[str, Function] = field(default_factory=dict)
    signatures: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Types of the parameters, by operation."""


@dataclass(frozen=True)
class ProgramObject:
    """All that the analysis needs of an object."""

    code: Mapping[str, Mapping[int, Instruction]]
    """Instructions by section and slot."""
    functions: tuple[Function, ...]
    table: Table = field(default_factory=Table)
    maps: Mapping[str, MapDeclaration] = field(default_factory=dict)
    variables: Mapping[str, tuple[SectionVariable, ...]] = field(default_factory=dict)
    """Variables by data section."""
    data: Mapping[str, bytes] = field(default_factory=dict)
    """What data sections hold before the first instruction runs, the arguments applied."""
    fields: Fields | None = None
    annotations: Annotations = field(default_factory=Annotations)

    def function_at(self, section: str, slot: int) -> Function | None:
        """Return the function that begins at a place."""
        for function in self.functions:
            if function.section == section and function.first == slot:
                return function
        return None

    def variable_at(self, section: str, offset: int) -> SectionVariable | None:
        """Return the variable that holds an offset of a data section."""
        for variable in self.variables.get(section, ()):
            if variable.offset <= offset < variable.offset + max(variable.size, 1):
                return variable
        return None

    def line(self, place: Place) -> str:
        """Return `file:line` for a place, or the section and slot when the object does not say."""
        section, slot = place
        for at in range(slot, max(slot - 64, -1), -1):
            found = self.annotations.lines.get((section, at))
            if found is not None and found.number:
                return str(found)
        return f"{section}+{slot}"


def read_programs(data: bytes, arguments: Iterable[Argument] = ()) -> ProgramObject:
    """Return the programs of an object whose knobs are set to `arguments`, or raise ValueError."""
    try:
        elf = ELFFile(io.BytesIO(data))
        if elf["e_machine"] != "EM_BPF" or not elf.little_endian:
            raise ValueError("the object is not little-endian BPF")
        return _Reader(elf).programs(tuple(arguments))
    # pyelftools trusts what it reads, so that damaged files break it in many ways.
    except (
        ELFError,
        struct.error,
        LookupError,
        AttributeError,
        TypeError,
        UnicodeDecodeError,
        OverflowError,
        AssertionError,
    ) as error:
        raise ValueError(f"the object is malformed: {error!r}") from error


class _Reader:
    """Reads one ELF file; sections and symbols are listed once."""

    def __init__(self, elf: ELFFile) -> None:
        self._sections: list[Section] = list(elf.iter_sections())
        self._by_name = {section.name: section for section in self._sections}
        self._symbols = self._all_symbols()
        types = self._by_name.get(".BTF")
        if types is None:
            raise ValueError("the object has no BTF: compile with -g")
        self._btf = Btf(types.data())
        self._fields = Fields(self._btf)

    def _all_symbols(self) -> list[Symbol]:
        for section in self._sections:
            if isinstance(section, SymbolTableSection):
                if section.num_symbols() > _SYMBOLS_MAX:
                    raise ValueError("the object has too many symbols")
                return list(section.iter_symbols())
        return []

    def programs(self, arguments: tuple[Argument, ...]) -> ProgramObject:
        functions = self._functions()
        extra = self._by_name.get(".BTF.ext")
        variables = {
            name: self._variables(name)
            for name in self._by_name
            if name.startswith((".rodata", ".data", ".bss", ".maps"))
        }
        contents = {
            name: self._contents(name)
            for name in variables
            if not name.startswith(".maps") and self._by_name[name]["sh_size"] <= _DATA_BYTES_MAX
        }
        return ProgramObject(
            self._code(functions),
            functions,
            self._table(functions),
            {m.name: m for variable in variables.get(".maps", ()) for m in self._maps(variable)},
            variables,
            _with_arguments(contents, variables.get(".rodata", ()), arguments),
            self._fields,
            read_annotations(extra.data(), self._btf) if extra is not None else Annotations(),
        )

    def _variables(self, section: str) -> tuple[SectionVariable, ...]:
        """Return a section's variables; BTF leaves it to the symbols where the global ones are."""
        places = {
            symbol.name: symbol["st_value"]
            for symbol in self._symbols
            if isinstance(symbol["st_shndx"], int)
            and self._sections[symbol["st_shndx"]].name == section
        }
        found = (
            replace(v, offset=places.get(v.name, v.offset)) for v in self._btf.section(section)
        )
        return tuple(sorted(found, key=lambda variable: variable.offset))

    def _contents(self, name: str) -> bytes:
        section = self._by_name[name]
        if section["sh_type"] == "SHT_NOBITS":
            return bytes(section["sh_size"])
        return bytes(section.data())

    def _functions(self) -> tuple[Function, ...]:
        found = []
        for symbol in self._symbols:
            index = symbol["st_shndx"]
            if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(index, int):
                first = symbol["st_value"] // _SLOT_BYTES
                end = first + symbol["st_size"] // _SLOT_BYTES
                found.append(Function(symbol.name, self._sections[index].name, first, end))
        return tuple(sorted(found, key=lambda function: (function.section, function.first)))

    def _code(self, functions: tuple[Function, ...]) -> dict[str, dict[int, Instruction]]:
        code: dict[str, dict[int, Instruction]] = {}
        for section in self._sections:
            if section["sh_flags"] & _EXECUTABLE and section["sh_size"]:
                code[section.name] = {i.at: i for i in decode(section.data())}
        for section in self._sections:
            if not isinstance(section, RelocationSection):
                continue
            target = self._sections[section["sh_info"]].name
            for relocation in section.iter_relocations() if target in code else ():
                slot = relocation["r_offset"] // _SLOT_BYTES
                instruction = code[target].get(slot)
                symbol = self._symbols[relocation["r_info_sym"]]
                if instruction is not None:
                    code[target][slot] = self._referring(instruction, symbol)
        return {name: _with_local_calls(name, found, functions) for name, found in code.items()}

    def _referring(self, instruction: Instruction, symbol: Symbol) -> Instruction:
        index = symbol["st_shndx"]
        if not isinstance(index, int):
            reference = Reference(Target.KERNEL, symbol.name)
            return replace(instruction, reference=reference)
        section, value = self._sections[index], symbol["st_value"]
        if section["sh_flags"] & _EXECUTABLE:
            # A call counts slots from the one after it; an address counts bytes.
            calls = instruction.kind is Kind.CALL
            added = instruction.imm + 1 if calls else instruction.imm // _SLOT_BYTES
            slot = value // _SLOT_BYTES + added
            return replace(instruction, reference=Reference(Target.FUNCTION, section.name, slot))
        added = instruction.imm if instruction.kind is Kind.WIDE else 0
        if section.name == ".maps":
            found = self._map_at(value + added)
            return replace(instruction, reference=Reference(Target.MAP, found))
        return replace(instruction, reference=Reference(Target.DATA, section.name, value + added))

    def _map_at(self, offset: int) -> str:
        for variable in self._variables(".maps"):
            if variable.offset <= offset < variable.offset + max(variable.size, 1):
                return variable.name
        raise ValueError(f"no map is at {offset}")

    def _maps(self, variable: SectionVariable) -> list[MapDeclaration]:
        """Return a map, and as `NAME[]` what those are like that a map of maps holds."""
        found = [self._map(variable.name, variable.type_id)]
        members = {m.name: m for m in self._btf.members(self._btf.resolved(variable.type_id))}
        held = None
        if found[0].kind in MAPS_OF_MAPS and "values" in members:
            held = self._btf.pointed_elements(members["values"].type_id)
        return [*found, self._map(f"{variable.name}[]", held)] if held is not None else found

    def _map(self, name: str, type_id: int) -> MapDeclaration:
        members = {m.name: m for m in self._btf.members(self._btf.resolved(type_id))}

        def number(member: str) -> int:
            if member not in members:
                return 0
            return self._btf.pointed_array_length(members[member].type_id) or 0

        key_size = number("key_size")
        if "key" in members:
            key_size = self._fields.size(self._btf.resolved(members["key"].type_id).value)
        return MapDeclaration(name, number("type"), number("max_entries"), key_size)

    def _table(self, functions: tuple[Function, ...]) -> Table:
        for name in _TABLES:
            for variable in self._variables(name):
                kind = self._btf.resolved(variable.type_id)
                if kind.name.partition("___")[0] in ("sched_ext_ops", "sched_ext_ops_cid"):
                    return self._table_of(name, variable, functions)
        return Table()

    def _table_of(
        self, section: str, variable: SectionVariable, functions: tuple[Function, ...]
    ) -> Table:
        members = self._btf.members(self._btf.resolved(variable.type_id))
        by_offset = {m.offset + variable.offset: m for m in members}
        data = self._by_name[section].data()
        numbers = {
            m.name: int.from_bytes(data[at : at + self._fields.size(m.type_id)], "little")
            for at, m in by_offset.items()
            if m.name in _TABLE_NUMBERS
        }
        operations = {}
        for offset, symbol in self._table_references(section):
            place = (symbol["st_shndx"], symbol["st_value"] // _SLOT_BYTES)
            function = next(
                (f for f in functions if (f.section, f.first) == self._named(place)), None
            )
            if offset in by_offset and function is not None:
                operations[by_offset[offset].name] = function
        signatures = {
            m.name: self._fields.parameters(m.type_id) for m in members if m.name in operations
        }
        return Table(variable.name, numbers, operations, signatures)

    def _named(self, place: tuple[int | str, int]) -> tuple[str, int]:
        index, slot = place
        return (self._sections[index].name if isinstance(index, int) else "", slot)

    def _table_references(self, table: str) -> list[tuple[int, Symbol]]:
        found = []
        for section in self._sections:
            if not isinstance(section, RelocationSection):
                continue
            if self._sections[section["sh_info"]].name == table:
                found += [
                    (r["r_offset"], self._symbols[r["r_info_sym"]])
                    for r in section.iter_relocations()
                ]
        return found


def _with_local_calls(
    section: str, code: dict[int, Instruction], functions: tuple[Function, ...]
) -> dict[int, Instruction]:
    """Name the functions that calls within a section reach without a relocation."""
    starts = {function.first for function in functions if function.section == section}
    for at, found in code.items():
        if found.kind is Kind.CALL and found.src == _PSEUDO_CALL and found.reference is None:
            slot = found.following + found.imm
            if slot in starts:
                code[at] = replace(found, reference=Reference(Target.FUNCTION, section, slot))
    return code


def _with_arguments(
    contents: dict[str, bytes],
    knobs: tuple[SectionVariable, ...],
    arguments: tuple[Argument, ...],
) -> dict[str, bytes]:
    """Write the arguments into the read-only data, as the loader does."""
    by_name = {knob.name: knob for knob in knobs}
    data = bytearray(contents.get(".rodata", b""))
    for argument in arguments:
        knob = by_name.get(argument.name)
        if knob is None:
            raise ValueError(f"the object has no knob {argument.name!r}")
        value = {"true": 1, "false": 0}.get(argument.value)
        number = int(argument.value) if value is None else value
        if number >> 8 * min(knob.size, 8) or knob.offset + knob.size > len(data):
            raise ValueError(f"{argument.name}={argument.value} does not fit the knob")
        data[knob.offset : knob.offset + knob.size] = number.to_bytes(knob.size, "little")
    return {**contents, ".rodata": bytes(data)} if data else contents
