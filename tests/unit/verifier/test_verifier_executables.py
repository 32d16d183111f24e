"""A program comes with all that it takes to start it, or is refused as a wrong use."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schedcp_verifier.executables as executables
from schedcp_verifier.errors import UsageError
from schedcp_verifier.executables import Executable, executable_at, is_elf
from support.elf import ARM, BPF, RELOCATABLE, SHARED, elf

PIE = 0x08000000


def found_in(folder: Path, data: bytes, **libraries: bytes) -> Executable:
    """Return the program `data` where a folder `standard` holds these libraries."""
    (folder / "standard").mkdir()
    for name, library in libraries.items():
        (folder / "standard" / f"{name}.so").write_bytes(library)
    (folder / "program").write_bytes(data)
    return executable_at(folder / "program", standard=(folder / "standard",))


def names(found: Executable) -> list[str]:
    return [Path(companion.path).name for companion in found.companions]


def test_a_static_program_needs_nothing(tmp_path: Path) -> None:
    data = elf()
    found = found_in(tmp_path, data)
    assert (found.path, found.data) == (str((tmp_path / "program").resolve()), data)
    assert found.companions == ()


def test_libraries_of_libraries_come_along_each_once(tmp_path: Path) -> None:
    (tmp_path / "ld.so").write_bytes(elf(kind=SHARED))
    found = found_in(
        tmp_path,
        elf("a.so", "b.so", interpreter=str(tmp_path / "ld.so")),
        a=elf("c.so", "ld.so", kind=SHARED),
        b=elf("c.so", "a.so", kind=SHARED),
        c=elf("a.so", kind=SHARED),
    )
    assert names(found) == ["ld.so", "a.so", "b.so", "c.so"]
    members = {entry.path: entry for entry in found.entries()}
    assert set(members) == {path.split()[0].removeprefix("/") for path in found.inventory()}
    assert all(entry.mode & 0o111 for entry in members.values())


def test_a_folder_that_the_program_names_goes_first(tmp_path: Path) -> None:
    own, other = elf(kind=SHARED), elf("b.so", kind=SHARED)
    for name in ("own", "own/lib"):
        (tmp_path / name).mkdir()
    (tmp_path / "own/lib/a.so").write_bytes(own)
    for option in ("runpath", "rpath"):
        folder = tmp_path / option
        folder.mkdir()
        data = elf("a.so", **{option: "relative:$LIB/x:${ORIGIN}/../own/lib"})  # type: ignore[arg-type]
        found = found_in(folder, data, a=other, b=own)
        assert [companion.data for companion in found.companions] == [own]


def test_a_library_for_another_machine_is_passed_over(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs a\.so"):
        found_in(tmp_path, elf("a.so"), a=elf(kind=SHARED, machine=ARM))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (elf(kind=RELOCATABLE, machine=BPF), "is a BPF object"),
        (elf(machine=ARM), "not for x86-64"),
        (elf(kind=RELOCATABLE), "no program"),
        (elf(kind=SHARED), "no program"),
        (elf()[:80], "damaged"),
        (elf("gone.so"), "needs gone.so"),
        (elf("folder/gone.so"), "needs folder/gone.so"),
        (elf("/"), "would not be there"),
        (elf(interpreter="/proc/self/exe"), "would not be there"),
    ],
)
def test_what_cannot_be_started_is_a_wrong_use(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        found_in(tmp_path, data)


@pytest.mark.parametrize("data", [elf(kind=SHARED, flags=PIE), elf(kind=SHARED, interpreter="/l")])
def test_a_program_may_be_position_independent(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(data)
    if b"/l\0" in data:
        with pytest.raises(UsageError, match="/l"):
            executable_at(tmp_path / "p")
    else:
        assert executable_at(tmp_path / "p").data == data


def test_sizes_and_numbers_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executables, "LIBRARIES_MAX", 1)
    with pytest.raises(UsageError, match="more than 1 libraries"):
        found_in(tmp_path, elf("a.so", "b.so"), a=elf(kind=SHARED), b=elf(kind=SHARED))
    monkeypatch.setattr(executables, "PROGRAM_BYTES_MAX", 100)
    with pytest.raises(UsageError, match="too large"):
        executable_at(tmp_path / "program")


def test_only_files_that_begin_so_are_programs(tmp_path: Path) -> None:
    (tmp_path / "elf").write_bytes(elf())
    (tmp_path / "text").write_text("#!/bin/sh\n")
    assert is_elf(tmp_path / "elf")
    assert not any(map(is_elf, (tmp_path, tmp_path / "text", tmp_path / "none")))


@given(st.binary(max_size=400), st.integers(0, 400))
def test_no_bytes_do_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int
) -> None:
    whole = elf("a.so", runpath="/x", interpreter="/y")
    path = tmp_path_factory.mktemp("any") / "program"
    path.write_bytes(whole[:at] + data)
    with suppress(UsageError):
        assert executable_at(path, standard=()).data == whole[:at] + data
