"""The examination set is complete, tells nothing by its names, and its good half reads well."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schedcp_api.verdicts import Phase, Stage
from schedcp_verifier.sources import judge_written

DATA = Path(__file__).parents[2] / "data" / "schedulers"
GOOD = sorted((DATA / "good").glob("*.bpf.c"))
BAD = sorted((DATA / "bad").glob("*.bpf.c"))
EXAMINED = {
    *(f"L{n:02}" for n in range(1, 16) if n != 11),
    *(f"R{n:02}" for n in range(1, 18)),
    *(f"T{n:02}" for n in range(1, 16)),
    *(f"K{n:02}" for n in range(1, 6)),
    *(f"Q{n:02}" for n in range(1, 19)),
    *(f"M{n:02}" for n in range(1, 9)),
}
NAME = re.compile(r'\.name = (?:\w+ )?"(?P<name>[^"]*)"')
LINES_MAX = 400


def comment_of(path: Path) -> str:
    """Return the top comment as one line."""
    text = path.read_text()
    comment = text[text.index("/*") : text.index("*/")]
    return " ".join(comment.replace("\n *", "\n").split())


def stages_of(path: Path) -> list[str]:
    """Return the stages that may stop a bad scheduler, as its comment names them."""
    found = re.search(r"Stopped at ([A-Z]\w+(?: or [A-Z]\w+)*)[.:,]", comment_of(path))
    assert found is not None, f"{path.name} does not say which stage must stop it"
    return found[1].split(" or ")


def names() -> list[str]:
    """Return what each scheduler of the set calls itself."""
    found = [NAME.search(path.read_text()) for path in (*BAD, *GOOD)]
    assert all(found)
    return [match["name"] for match in found if match is not None]


def test_every_kind_of_failure_has_a_scheduler() -> None:
    assert {path.name[:3] for path in BAD} == EXAMINED


def test_there_are_good_ones() -> None:
    assert len(GOOD) >= 24


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name.partition(".")[0])
def test_a_bad_one_says_what_it_is(path: Path) -> None:
    stages = stages_of(path)
    assert f"{path.name[:3]}: " in comment_of(path)
    assert stages == sorted(stages, key=[stage.value for stage in Stage].index)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name.partition(".")[0])
def test_a_good_one_reads_well(path: Path) -> None:
    assert "Stopped at" not in comment_of(path)
    assert len(path.read_text().splitlines()) <= LINES_MAX
    checks = judge_written(path.read_bytes(), trusted=False)
    assert [check.message for check in checks if check.phase is not Phase.PASSED] == []


def test_nothing_is_told_by_a_name() -> None:
    called = names()
    assert len(set(called)) == len(called)
    assert [name for name in called if re.search(r"(?i)bad|evil|[LRTKQM][01]\d", name)] == []


def test_the_table_of_the_set_is_up_to_date() -> None:
    rows = re.findall(
        r"^\| (\w\d\d) \| ([\w-]+) \| .* \| ([\w ]+) \|$",
        (DATA / "README.md").read_text(),
        re.MULTILINE,
    )
    files = [
        (path.name[:3], path.name.partition(".")[0][4:], " or ".join(stages_of(path)))
        for path in BAD
    ]
    assert rows == files
    listed = re.findall(r"^\| `(\w+)` \| ", (DATA / "README.md").read_text(), re.MULTILINE)
    assert listed == [path.name.partition(".")[0] for path in GOOD]
