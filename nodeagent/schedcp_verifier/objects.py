"""The Bytecode stage: what is in a built object, judged without loading it.

Only what can be decided from the bytes is a failure here; what cannot is left to the kernel and
the micro-VM.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import Section, SymbolTableSection

from schedcp_api.candidates import Argument
from schedcp_api.manifests import Knob
from schedcp_api.verdicts import Check, EvaluationContract, Stage

from .btf import Btf, BtfType, SectionVariable
from .checks import failed, passed, warning
from .rules import (
    ALLOWED_HELPERS,
    ALLOWED_KFUNCS,
    ALLOWED_MAP_TYPES,
    LICENSES,
    MAPS_OF_MAPS,
    PRINTING_HELPERS,
    SWITCH_PARTIAL,
    imitated,
    watchdog_put_off,
)

__all__ = ["ObjectFacts", "inspect", "judge_object"]

_PROGRAM_SECTION = re.compile(r"^\??struct_ops(\.s)?(/[A-Za-z0-9_]+)?$")
_TABLE_SECTIONS = (".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link")
_TABLE_TYPES = ("sched_ext_ops", "sched_ext_ops_cid")
_CALL = 0x85
_INSTRUCTION = struct.Struct("<BBhi")


@dataclass(frozen=True)
class Table:
    """One struct_ops table."""

    variable: str
    type_name: str
    section: str
    name: str = ""
    timeout_ms: int = 0
    flags: int = 0


@dataclass(frozen=True)
class MapFacts:
    """One map as the object declares it."""

    name: str
    type: int | None
    pinned: bool


@dataclass(frozen=True)
class ObjectFacts:
    """What an object consists of."""

    license: str
    programs: tuple[str, ...]
    """Names of the sections that hold programs; `.text` holds their subroutines."""
    tables: tuple[Table, ...]
    maps: tuple[MapFacts, ...]
    kfuncs: tuple[tuple[str, bool], ...]
    """Kernel functions called, and whether weakly."""
    helpers: frozenset[int]
    knobs: dict[str, int] = field(default_factory=dict)
    """Sizes of the read-only globals, which may be set before loading."""
    operations: tuple[str, ...] = ()
    """Members of the table that point to a program."""

    @property
    def ops_name(self) -> str:
        """What the scheduler calls itself, empty without a table."""
        return self.tables[0].name if self.tables else ""


def inspect(data: bytes) -> ObjectFacts:
    """Return what the object consists of, or raise ValueError for bytes that are none."""
    try:
        elf = ELFFile(io.BytesIO(data))
        if elf["e_machine"] != "EM_BPF" or not elf.little_endian:
            raise ValueError("the object is not little-endian BPF")
        sections = {section.name: section for section in elf.iter_sections()}
        types = sections.get(".BTF")
        if types is None:
            raise ValueError("the object has no BTF: compile with -g")
        btf = Btf(types.data())
        return ObjectFacts(
            license=_text(sections["license"].data()) if "license" in sections else "",
            programs=_programs(elf),
            tables=_tables(btf, sections),
            maps=_maps(btf),
            kfuncs=_kfuncs(elf, btf),
            helpers=_helpers(elf),
            knobs={v.name: btf.size(v.type_id) for v in btf.section(".rodata")},
            operations=_operations(elf, btf),
        )
    # pyelftools trusts what it reads: sizes and places may be beyond any file.
    except (
        ELFError,
        struct.error,
        LookupError,
        AttributeError,
        TypeError,
        UnicodeDecodeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise ValueError(f"the object is malformed: {error!r}") from error


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode(errors="replace")


def _programs(elf: ELFFile) -> tuple[str, ...]:
    return tuple(
        section.name
        for section in elf.iter_sections()
        if section["sh_flags"] & 0x4 and section["sh_size"]
    )


def _tables(btf: Btf, sections: Mapping[str, Section]) -> tuple[Table, ...]:
    found = []
    for section in _TABLE_SECTIONS:
        for variable in btf.section(section):
            data = sections[section].data()
            found.append(_table(btf, section, variable, data))
    return tuple(found)


def _table(btf: Btf, section: str, variable: SectionVariable, data: bytes) -> Table:
    kind = btf.resolved(variable.type_id)
    table = Table(variable.name, kind.name.partition("___")[0], section)
    if table.type_name not in _TABLE_TYPES:
        return table
    offsets = {member.name: member.offset + variable.offset for member in btf.members(kind)}
    return Table(
        table.variable,
        table.type_name,
        section,
        name=_text(data[offsets["name"] :][:128]),
        timeout_ms=struct.unpack_from("<I", data, offsets["timeout_ms"])[0],
        flags=struct.unpack_from("<Q", data, offsets["flags"])[0],
    )


def _operations(elf: ELFFile, btf: Btf) -> tuple[str, ...]:
    found: list[str] = []
    for section in elf.iter_sections():
        if not isinstance(section, RelocationSection):
            continue
        target = elf.get_section(section["sh_info"]).name
        for variable in btf.section(target) if target in _TABLE_SECTIONS else ():
            kind: BtfType = btf.resolved(variable.type_id)
            names = {m.offset + variable.offset: m.name for m in btf.members(kind)}
            found += [names.get(r["r_offset"], "?") for r in section.iter_relocations()]
    return tuple(sorted(found))


def _maps(btf: Btf) -> tuple[MapFacts, ...]:
    found = []
    for variable in btf.section(".maps"):
        found += _map_and_held(btf, variable.name, variable.type_id)
    return tuple(found)


def _map_and_held(btf: Btf, name: str, type_id: int, *, held: bool = False) -> list[MapFacts]:
    """Return a map, and the one of whose kind those are that it holds."""
    members = {m.name: m for m in btf.members(btf.resolved(type_id))}
    kind = btf.pointed_array_length(members["type"].type_id) if "type" in members else None
    found = [MapFacts(name, kind, "pinning" in members)]
    inner = btf.pointed_elements(members["values"].type_id) if "values" in members else None
    if kind in MAPS_OF_MAPS and inner is not None and not held:
        found += _map_and_held(btf, f"{name}[]", inner, held=True)
    return found


def _kfuncs(elf: ELFFile, btf: Btf) -> tuple[tuple[str, bool], ...]:
    found = []
    for section in elf.iter_sections():
        if not isinstance(section, SymbolTableSection):
            continue
        for symbol in section.iter_symbols():
            if symbol["st_shndx"] == "SHN_UNDEF" and symbol.name in btf.functions:
                found.append((symbol.name, symbol["st_info"]["bind"] == "STB_WEAK"))
    return tuple(sorted(found))


def _helpers(elf: ELFFile) -> frozenset[int]:
    """Return the numbers of the helpers that are called, in any section that holds code."""
    found = set()
    for section in elf.iter_sections():
        if not section["sh_flags"] & 0x4:
            continue
        data = section.data()
        for at in range(0, len(data) - 7, 8):
            code, registers, _, immediate = _INSTRUCTION.unpack_from(data, at)
            if code == _CALL and registers >> 4 == 0:
                found.add(immediate)
    return frozenset(found)


def judge_object(
    facts: ObjectFacts,
    contract: EvaluationContract,
    *,
    trusted: bool,
    kernel_has: Callable[[str], bool],
    knobs: tuple[Knob, ...],
    arguments: tuple[Argument, ...],
) -> tuple[Check, ...]:
    """Return the checks of the Bytecode stage.

    `trusted` objects come from the library and may carry its names; `knobs` are the manifest's.
    """
    checks = (
        _judge_license(facts),
        _judge_programs(facts),
        _judge_tables(facts, trusted=trusted),
        _judge_timeout(facts, contract),
        _judge_maps(facts),
        _judge_kfuncs(facts, kernel_has),
        _judge_helpers(facts),
        _judge_knobs(facts, knobs, arguments),
    )
    return tuple(check for check in checks if check is not None)


def _judge_license(facts: ObjectFacts) -> Check:
    if facts.license in LICENSES:
        return passed("license", Stage.BYTECODE, f"licence {facts.license}")
    return failed(
        "license",
        Stage.BYTECODE,
        f"licence {facts.license!r} is not one the kernel counts as GPL-compatible: "
        f"use one of {', '.join(sorted(LICENSES))}",
    )


def _judge_programs(facts: ObjectFacts) -> Check:
    foreign = [n for n in facts.programs if n != ".text" and not _PROGRAM_SECTION.match(n)]
    if foreign:
        return failed(
            "programs",
            Stage.BYTECODE,
            f"programs in {', '.join(foreign)} are not struct_ops: a scheduler has no other kind",
        )
    return passed("programs", Stage.BYTECODE, "only struct_ops programs", programs=facts.programs)


def _judge_tables(facts: ObjectFacts, *, trusted: bool) -> Check:
    id_, stage = "table", Stage.BYTECODE
    if len(facts.tables) != 1:
        names = ", ".join(table.variable for table in facts.tables) or "none"
        return failed(id_, stage, f"an object needs exactly one struct_ops table; it has: {names}")
    table = facts.tables[0]
    if table.type_name not in _TABLE_TYPES:
        return failed(id_, stage, f"table {table.variable} is a {table.type_name}, no scheduler")
    if not table.section.endswith(".link"):
        return failed(
            id_,
            stage,
            f"table {table.variable} is in {table.section}, which outlives its owner: "
            'use SEC(".struct_ops.link")',
        )
    if not re.fullmatch(r"[A-Za-z0-9_.]{1,127}", table.name):
        return failed(id_, stage, f"the table's name is {table.name!r}: give it one")
    if not trusted and (words := imitated(table.name)):
        return failed(id_, stage, words)
    if table.flags & SWITCH_PARTIAL:
        return failed(
            id_,
            stage,
            "SCX_OPS_SWITCH_PARTIAL leaves tasks behind ordinary ones for ever: remove the flag",
        )
    return passed(
        id_,
        stage,
        f"one table, {table.name}",
        operations=facts.operations,
        flags=table.flags,
    )


def _judge_timeout(facts: ObjectFacts, contract: EvaluationContract) -> Check | None:
    if not facts.tables:
        return None
    timeout = facts.tables[0].timeout_ms
    words = watchdog_put_off(timeout)
    if words:
        return failed("timeout", Stage.BYTECODE, words)
    return passed(
        "timeout",
        Stage.BYTECODE,
        f"timeout_ms {timeout}; {contract.watchdog_ms} is set when it is loaded",
    )


def _judge_maps(facts: ObjectFacts) -> Check:
    bad = [f"{m.name} (type {m.type})" for m in facts.maps if m.type not in ALLOWED_MAP_TYPES]
    pinned = [m.name for m in facts.maps if m.pinned]
    if pinned:
        return failed(
            "maps",
            Stage.BYTECODE,
            f"maps {', '.join(pinned)} ask to be pinned and would outlive the scheduler",
        )
    if bad:
        return failed(
            "maps",
            Stage.BYTECODE,
            f"maps of kinds that no scheduler needs: {', '.join(bad)}; use an array, a hash, a "
            "queue or local storage",
        )
    return passed("maps", Stage.BYTECODE, f"{len(facts.maps)} maps of allowed kinds")


def _judge_kfuncs(facts: ObjectFacts, kernel_has: Callable[[str], bool]) -> Check:
    names = [name.partition("___")[0] for name, _ in facts.kfuncs]
    foreign = [name for name in names if not ALLOWED_KFUNCS.fullmatch(name)]
    absent = [
        name for name, weak in facts.kfuncs if not weak and not kernel_has(name.partition("___")[0])
    ]
    if foreign:
        return failed(
            "kfuncs",
            Stage.BYTECODE,
            f"kernel functions that no scheduler needs: {', '.join(foreign)}",
        )
    if absent:
        return failed(
            "kfuncs",
            Stage.BYTECODE,
            f"this kernel has no {', '.join(absent)}: declare it __weak and check with "
            "bpf_ksym_exists(), or use what the kernel has",
        )
    return passed("kfuncs", Stage.BYTECODE, f"{len(names)} kernel functions", kfuncs=names)


def _judge_helpers(facts: ObjectFacts) -> Check:
    foreign = sorted(facts.helpers - ALLOWED_HELPERS - PRINTING_HELPERS)
    if foreign:
        return failed(
            "helpers",
            Stage.BYTECODE,
            f"BPF helpers that no scheduler needs, by number: {foreign} (they write to or read "
            "from tasks' memory, send data out, or act on other tasks)",
        )
    if facts.helpers & PRINTING_HELPERS:
        return warning(
            "helpers", Stage.BYTECODE, "it prints to the trace pipe: fine for a trial, not to keep"
        )
    return passed("helpers", Stage.BYTECODE, f"{len(facts.helpers)} helpers, all allowed")


def _judge_knobs(
    facts: ObjectFacts, knobs: tuple[Knob, ...], arguments: tuple[Argument, ...]
) -> Check:
    sizes = {"u32": 4, "u64": 8, "bool": 1}
    wrong = [
        f"{knob.name} ({knob.type} in the manifest, {facts.knobs.get(knob.name, 0)} bytes here)"
        for knob in knobs
        if facts.knobs.get(knob.name) != sizes[knob.type]
    ]
    unknown = [a.name for a in arguments if a.name not in facts.knobs]
    if unknown or wrong:
        return failed(
            "knobs",
            Stage.BYTECODE,
            f"knobs that the object does not have as read-only globals: "
            f"{', '.join([*wrong, *unknown])}; it has: {', '.join(sorted(facts.knobs)) or 'none'}",
        )
    return passed("knobs", Stage.BYTECODE, f"{len(facts.knobs)} knobs", knobs=sorted(facts.knobs))
