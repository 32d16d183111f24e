"""The archive is what the kernel's unpacker reads, and the same for the same entries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_verifier.initramfs import archive, directory, file, program, symlink

NAMES = st.from_regex(r"\A[a-z]{1,8}(/[a-z]{1,8}){0,3}\Z")


def unpacked(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Return mode and data by name, read as the kernel's documentation describes newc."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_at = at + 110
        name = data[name_at : name_at + fields[11] - 1].decode()
        body_at = name_at + fields[11]
        body_at += -body_at % 4
        at = body_at + fields[6]
        at += -at % 4
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], data[body_at : body_at + fields[6]])


def test_the_archive_holds_the_entries_their_folders_and_a_console() -> None:
    found = unpacked(archive([program("bin/a", b"x" * 5), symlink("bin/b", "a"), file("e", b"")]))
    assert found["bin/a"] == (0o100755, b"xxxxx")
    assert found["bin/b"] == (0o120777, b"a")
    assert found["bin"] == (0o040755, b"")
    assert found["dev/console"][0] == 0o020600


@given(st.dictionaries(NAMES, st.binary(max_size=64), max_size=6))
def test_what_goes_in_comes_out(contents: dict[str, bytes]) -> None:
    leaves = {
        name: data
        for name, data in contents.items()
        if not any(other.startswith(f"{name}/") for other in contents)
        and name not in ("dev", "dev/console")
    }
    found = unpacked(archive([file(name, data) for name, data in leaves.items()]))
    assert {name: found[name][1] for name in leaves} == leaves


def test_the_order_of_entries_does_not_matter() -> None:
    entries = [file("a", b"1"), directory("d"), file("d/b", b"2")]
    assert archive(entries) == archive(entries[::-1])


@pytest.mark.parametrize("path", ["/etc/passwd", "../out", "a/../../b", ""])
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a path inside"):
        archive([file(path, b"")])


def test_two_entries_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two entries"):
        archive([file("a", b""), file("a", b"")])
