"""Real objects: instructions as LLVM reads them, and verdicts on sources that are known.

`tests/data/bytecode` has whole schedulers that are named by the check they are about; those of
`tests/data/schedulers` may be good in any way, or bad in a way that other stages see, too.
"""

from __future__ import annotations

import io
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from schedcp_api.candidates import Argument
from schedcp_api.manifests import Knob
from schedcp_api.verdicts import Check, EvaluationContract, Phase, Stage
from schedcp_verifier.analysing import RULES, analyse_bytecode
from schedcp_verifier.building import BuildRoom
from schedcp_verifier.instructions import decode
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library
from schedcp_verifier.objects import inspect, judge_object
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier
from support.bpf_text import text_of_instruction
from support.laboratory import unfit

DATA = Path(__file__).parents[1] / "data"
LIBRARY = sorted((DATA.parents[1] / "schedulers").glob("*.bpf.c"))
GOOD = sorted((DATA / "schedulers/good").glob("*.bpf.c"))
BAD = sorted((DATA / "schedulers/bad").glob("*.bpf.c"))
CASES = {
    Phase.FAILED: sorted((DATA / "bytecode/failing").glob("*.bpf.c")),
    Phase.PASSED: sorted((DATA / "bytecode/passing").glob("*.bpf.c")),
    Phase.WARNING: sorted((DATA / "bytecode/undecided").glob("*.bpf.c")),
}
CHECK_IDS = sorted([*(e.id for e in RULES), "time-bombs"], key=len, reverse=True)
OBJDUMP = "llvm-objdump-19"
BROKEN = 20
ODD = b"""
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
char _license[] SEC("license") = "GPL";
u64 a, b;
s64 s;
u32 c;
s32 t;
SEC("struct_ops/odd")
u64 odd(u64 *ctx)
{
	u64 x = ctx[0], y = ctx[1];
	s8 tiny = x;
	s16 small = y;

	a = __sync_fetch_and_or(&b, x) + __sync_fetch_and_xor(&b, y);
	__sync_fetch_and_and(&b, 0xff);
	c = __sync_lock_test_and_set(&c, x) + __sync_val_compare_and_swap(&c, x, y);
	a += __sync_lock_test_and_set(&a, y) + __sync_val_compare_and_swap(&b, x, y);
	s = (s64)x / (tiny | 1) + (s64)y % (small | 1) + -s;
	t = t / (tiny | 1) + t % 7 - (s32)x;
	a += __builtin_bswap64(x) + __builtin_bswap32(y) + __builtin_bswap16(x);
	asm volatile("if r0 == 0 goto +2; may_goto +1; gotol +0; w1 &= 3" ::: "r0", "r1");
	return s > t ? x >> 7 : (u32)y << 3;
}
"""


@dataclass
class Objects:
    """What sources became, each compiled once."""

    room: BuildRoom
    kernel: KernelBundle
    known: dict[bytes, bytes | None] = field(default_factory=dict)

    def of(self, source: bytes) -> bytes | None:
        """Return the object of a source, None for one that does not compile."""
        if source not in self.known:
            self.known[source] = self.room.compile(source).object
        return self.known[source]

    def built(self, path: Path) -> bytes:
        """Return the object of a source that has to compile."""
        found = self.of(path.read_bytes())
        assert found is not None
        return found

    def checks(self, path: Path) -> dict[str, Check]:
        """Return what the analysis says of a source, by check."""
        found = analyse_bytecode(self.built(path), self.kernel.facts)
        return {check.id: check for check in found}


@pytest.fixture(scope="module")
def objects(
    verifier_settings: Settings, kernel: KernelBundle, required_tiers: frozenset[str]
) -> Iterator[Objects]:
    """A room to compile in."""
    if shutil.which(OBJDUMP) is None:
        unfit(f"{OBJDUMP} is not installed", required_tiers)
    tools = Verifier.from_settings(verifier_settings).tools
    with BuildRoom.prepared("scheduler.bpf.c", kernel=kernel, tools=tools) as room:
        yield Objects(room, kernel)


def named(paths: list[Path]) -> list[object]:
    """Return paths with names to choose them by."""
    return [pytest.param(path, id=path.name.partition(".")[0]) for path in paths]


def as_llvm_has_it(data: bytes, folder: Path) -> dict[str, list[tuple[int, str]]]:
    """Return slots and instructions of each section, without the symbols that jumps are for."""
    path = folder / "object.o"
    path.write_bytes(data)
    command = [OBJDUMP, "-d", "--mcpu=v4", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[tuple[int, str]]] = {}
    section: list[tuple[int, str]] = []
    for line in said.splitlines():
        if line.startswith("Disassembly of section "):
            section = found.setdefault(line.removeprefix("Disassembly of section ")[:-1], [])
        elif match := re.match(r"\s*(\d+):\s(?:[0-9a-f]{2} ?)+\t(.*)$", line):
            section.append((int(match[1]), re.sub(r" <[A-Za-z_.][^ ]*>$", "", match[2]).strip()))
    return found


def as_we_have_it(data: bytes, section: str) -> list[tuple[int, str]]:
    """Return slots and instructions of a section as they were decoded."""
    found = ELFFile(io.BytesIO(data)).get_section_by_name(section)
    assert found is not None
    return [(i.at, text_of_instruction(i)) for i in decode(found.data())]


def refusals(checks: dict[str, Check]) -> list[str]:
    """Return what is refused, in words."""
    return [f"{c.id}: {c.message}" for c in checks.values() if c.phase is Phase.FAILED]


@pytest.mark.parametrize("path", named([*LIBRARY, *GOOD, *(p for c in CASES.values() for p in c)]))
def test_code_is_read_as_llvm_reads_it(path: Path, objects: Objects, tmp_path: Path) -> None:
    data = objects.built(path)
    sections = as_llvm_has_it(data, tmp_path)
    assert sections
    for section, wanted in sections.items():
        assert as_we_have_it(data, section) == wanted


def test_seldom_instructions_are_read_as_llvm_reads_them(objects: Objects, tmp_path: Path) -> None:
    data = objects.of(ODD)
    assert data is not None
    sections = as_llvm_has_it(data, tmp_path)
    text = " ".join(words for _, words in sections["struct_ops/odd"])
    assert all(
        words in text for words in ("cmpxchg", "xchg", "may_goto", "gotol", "bswap", "s/=", "(s8)")
    )
    assert as_we_have_it(data, "struct_ops/odd") == sections["struct_ops/odd"]


@pytest.mark.parametrize(
    ("phase", "path"),
    [
        pytest.param(phase, path, id=f"{phase}-{path.name.partition('.')[0]}")
        for phase, paths in CASES.items()
        for path in paths
    ],
)
def test_a_case_is_judged_as_its_folder_says(phase: Phase, path: Path, objects: Objects) -> None:
    checks = objects.checks(path)
    about = next(id_ for id_ in CHECK_IDS if path.name.startswith(id_))
    assert checks[about].phase is phase
    if phase is not Phase.FAILED:
        assert refusals(checks) == []


@pytest.mark.parametrize("path", named(GOOD))
def test_no_good_scheduler_is_refused(path: Path, objects: Objects) -> None:
    checks = objects.checks(path)
    assert checks["programs-explored"].phase is Phase.PASSED
    assert refusals(checks) == []


@pytest.mark.parametrize("path", named([p for p in BAD if "Stopped at Bytecode." in p.read_text()]))
def test_what_only_this_stage_sees_is_refused(path: Path, objects: Objects) -> None:
    data = objects.built(path)
    judged = judge_object(
        inspect(data),
        EvaluationContract(seeds=1),
        trusted=False,
        kernel_has=objects.kernel.has_function,
        knobs=(),
        arguments=(),
    )
    checks = (*judged, *analyse_bytecode(data, objects.kernel.facts))
    assert [check for check in checks if check.phase is Phase.FAILED]


def extremes(knobs: tuple[Knob, ...]) -> Iterator[tuple[Argument, ...]]:
    """Yield arguments: none, each knob at its least and greatest, and all of them."""
    yield ()
    for bound in ("minimum", "maximum"):
        values = tuple(
            Argument(name=knob.name, value=str(getattr(knob, bound)))
            for knob in sorted(knobs, key=lambda knob: knob.name)
        )
        yield from ((value,) for value in values)
        yield values


@pytest.mark.parametrize("path", named(LIBRARY))
def test_the_library_is_never_refused_whatever_its_knobs(
    path: Path, objects: Objects, verifier_settings: Settings
) -> None:
    name = path.name.partition(".")[0]
    knobs = Library(verifier_settings.schedulers_dir).scheduler(name).manifest.knobs
    for arguments in extremes(knobs):
        checks = analyse_bytecode(objects.built(path), objects.kernel.facts, arguments)
        assert [c.message for c in checks if c.phase is not Phase.PASSED] == []


@pytest.mark.parametrize("path", named(LIBRARY[::4]))
def test_of_broken_objects_there_are_checks_and_nothing_else(path: Path, objects: Objects) -> None:
    data, chance = objects.built(path), random.Random(path.name)
    for _ in range(BROKEN):
        broken = bytearray(data)
        for _ in range(chance.choice((1, 3, 30))):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        checks = analyse_bytecode(bytes(broken), objects.kernel.facts)
        assert {check.stage for check in checks} == {Stage.BYTECODE}
