"""A manifest is true of its source, as the compiler makes objects of it for the kernels here."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

from schedcp_api.manifests import SchedulerManifest
from schedcp_verifier.btf import Btf, BtfKind
from schedcp_verifier.building import BuildRoom
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library
from schedcp_verifier.objects import ObjectFacts, inspect
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier

FOLDER = Path(__file__).parents[2] / "schedulers"
NAMES = Library(FOLDER).own_names()
_ADDRESS = 1
"""R_BPF_64_64, of a load of an address: `bpf_ksym_exists()` asks whether there is one."""
_SCHED_EXT = ("scx_bpf_", "bpf_iter_scx_dsq_new")
"""What came with sched_ext, or later; the rest of BPF's kfuncs is older."""


@dataclass(frozen=True)
class Compiled:
    """A scheduler with its object."""

    manifest: SchedulerManifest
    object: bytes
    facts: ObjectFacts

    @property
    def elf(self) -> ELFFile:
        """The object's sections."""
        return ELFFile(io.BytesIO(self.object))

    def section(self, name: str) -> bytes:
        """Return the bytes of a section."""
        return bytes(self.elf.get_section_by_name(name).data())

    def number(self, name: str) -> int:
        """Return the number that a variable begins with; BTF does not say where it is yet."""
        (symbol,) = self.elf.get_section_by_name(".symtab").get_symbol_by_name(name)
        at = symbol["st_value"]
        data = self.elf.get_section(symbol["st_shndx"]).data()
        return int.from_bytes(data[at : at + symbol["st_size"]], "little")

    def called(self) -> set[str]:
        """Return the kfuncs that it cannot do without: called, and not asked for first."""
        names = {name for name, _ in self.facts.kfuncs}
        return {name.partition("___")[0] for name in names - self._asked_for()}

    def loaded(self) -> set[str]:
        """Return the variables that its programs read or write; headers may bring others."""
        elf, found = self.elf, set()
        for section in elf.iter_sections():
            if isinstance(section, RelocationSection) and "struct_ops/" in section.name:
                symbols = elf.get_section(section["sh_link"])
                found |= {
                    symbols.get_symbol(entry["r_info_sym"]).name
                    for entry in section.iter_relocations()
                }
        return found

    def _asked_for(self) -> set[str]:
        elf, found = self.elf, set()
        for section in elf.iter_sections():
            if isinstance(section, RelocationSection):
                symbols = elf.get_section(section["sh_link"])
                for entry in section.iter_relocations():
                    if entry["r_info_type"] == _ADDRESS:
                        found.add(symbols.get_symbol(entry["r_info_sym"]).name)
        return found


Compile = Callable[[str, KernelBundle], Compiled | None]


@pytest.fixture(scope="module")
def compiled(verifier_settings: Settings) -> Compile:
    """Compile a scheduler for a kernel; None where that does not work."""
    verifier = Verifier.from_settings(verifier_settings)

    @cache
    def compile_(name: str, kernel: KernelBundle) -> Compiled | None:
        found = verifier.library.scheduler(name)
        with BuildRoom.prepared(f"{name}.bpf.c", kernel=kernel, tools=verifier.tools) as room:
            built = room.compile(found.source).object
        return None if built is None else Compiled(found.manifest, built, inspect(built))

    return compile_


@pytest.fixture(scope="module")
def newest(compiled: Compile, kernel: KernelBundle) -> Callable[[str], Compiled]:
    """Compile a scheduler for the nodes' kernel, where all of them build."""

    def compile_(name: str) -> Compiled:
        found = compiled(name, kernel)
        assert found is not None
        return found

    return compile_


@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_knows_it_by_the_name_of_its_manifest(
    name: str, newest: Callable[[str], Compiled]
) -> None:
    found = newest(name)
    assert found.facts.ops_name == found.manifest.ops_name == f"schedcp_{name}"
    assert found.facts.license.startswith(found.manifest.license.partition("-")[0])


@pytest.mark.parametrize("name", NAMES)
def test_its_knobs_are_constants_of_that_type_and_default(
    name: str, newest: Callable[[str], Compiled]
) -> None:
    found = newest(name)
    btf = Btf(found.section(".BTF"))
    knobs = {
        variable.name: (type_name(btf, variable.type_id), found.number(variable.name))
        for variable in btf.section(".rodata")
        if qualifiers(btf, variable.type_id) >= {BtfKind.CONST, BtfKind.VOLATILE}
        and variable.name in found.loaded() - unasked(found)
    }
    assert knobs == {knob.name: (knob.type, knob.default) for knob in found.manifest.knobs}
    assert all(knob.minimum <= knob.default <= knob.maximum for knob in found.manifest.knobs)


def unasked(found: Compiled) -> set[str]:
    """Return the knobs of what headers measure about tasks, where nothing asks for it."""
    source = (FOLDER / (found.manifest.source or "")).read_text()
    if re.search(r"behaviour|burst", source):
        return set()
    header = (FOLDER / "include/schedcp/behaviour.bpf.h").read_text()
    return set(re.findall(r"^const volatile \w+ (\w+)", header, re.MULTILINE))


def qualifiers(btf: Btf, type_id: int) -> set[int]:
    """Return the kinds of what qualifies a type."""
    kinds = set[int]()
    while (found := btf.type(type_id)).kind in (BtfKind.CONST, BtfKind.VOLATILE):
        kinds.add(found.kind)
        type_id = found.value
    return kinds


def type_name(btf: Btf, type_id: int) -> str:
    """Return the first name on the way from a variable to its type: that of its typedef."""
    found = btf.type(type_id)
    while not found.name:
        found = btf.type(found.value)
    return found.name


@pytest.mark.parametrize("name", NAMES)
def test_its_needs_are_what_it_calls_without_asking(
    name: str, newest: Callable[[str], Compiled]
) -> None:
    found = newest(name)
    kfuncs = {need for need in found.manifest.needs if "." not in need and need.islower()}
    called = found.called()
    assert kfuncs - called == set()
    assert {kfunc for kfunc in called if kfunc.startswith(_SCHED_EXT)} - kfuncs == set()


@pytest.mark.parametrize("name", NAMES)
def test_its_statistics_are_what_it_counts(name: str, newest: Callable[[str], Compiled]) -> None:
    found = newest(name)
    # BTF keeps the source line of each instruction.
    counted = set(re.findall(rb"STAT_INC\((\w+)\)", found.section(".BTF")))
    assert {word.decode() for word in counted} == set(found.manifest.statistics)


@pytest.mark.parametrize("name", NAMES)
def test_its_needs_foretell_on_which_kernel_it_builds(
    name: str, compiled: Compile, kernels: tuple[KernelBundle, ...]
) -> None:
    for kernel in kernels:
        found = compiled(name, kernel)
        needs = Library(FOLDER).scheduler(name).manifest.needs
        missing = kernel.capabilities.missing(needs)
        release = kernel.profile.release
        assert missing or found is not None, f"{release} lacks nothing, and it does not build"
        if found is not None and not missing:
            absent = kernel.capabilities.missing(found.called())
            assert absent == (), f"{release} lacks {absent}, which is no need"
