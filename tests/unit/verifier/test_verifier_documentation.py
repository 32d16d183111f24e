"""The documents say what the code has: every check, every rule, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import schedcp_verifier
from schedcp_api.verdicts import ContractLoss, Phase, Stage
from schedcp_verifier import spells, timebombs
from schedcp_verifier.__main__ import ACCEPTED, REJECTED, UNDECIDED, USAGE
from schedcp_verifier.analysing import RULES
from schedcp_verifier.troubles import TRIALS
from support.check_ids import Untold, check_ids

ROOT = Path(__file__).parents[3]
PACKAGE = Path(str(schedcp_verifier.__file__)).parent
CHECKS = (ROOT / "docs/verifier.md").read_text()
BYTECODE = (ROOT / "docs/verifier-bytecode.md").read_text()


def section(text: str, title: str) -> str:
    """Return what stands below a heading, up to the next of its rank."""
    rank = title.partition(" ")[0]
    rest = text.partition(f"\n{title}\n")[2]
    assert rest, f"no heading {title}"
    return re.split(rf"^#{{1,{len(rank)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def listed(text: str) -> list[str]:
    """Return what tables have in their first column, as code."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def codes() -> set[str]:
    """Return all ids that the code makes, f-strings by what they can be."""
    found = set(check_ids(PACKAGE))
    assert "keeps-*" in found
    found.remove("keeps-*")
    return found | {f"keeps-{loss}" for loss in ContractLoss}


def test_every_check_of_the_code_is_in_the_document_and_no_other() -> None:
    documented = listed(section(CHECKS, "## Checks"))
    assert set(documented) == codes()


def test_checks_stand_below_their_stage() -> None:
    for stage in Stage:
        assert listed(section(CHECKS, f"### {stage}")), stage


def test_every_phase_and_exit_code_is_explained() -> None:
    reading = section(CHECKS, "## Reading a verdict")
    assert {f"| {phase} |" for phase in Phase} <= set(re.findall(r"^\| \w+ \|", reading, re.M))
    for code in (ACCEPTED, REJECTED, UNDECIDED, USAGE):
        assert f"\n| {code} |" in reading


def test_the_number_of_trials_is_the_one_that_is_written() -> None:
    trials = re.search(r"(\w+) trials, in", section(CHECKS, "### Dynamic"))
    assert trials is not None
    assert trials[1] == str(len(TRIALS))


@pytest.mark.parametrize("examination", RULES, ids=lambda examination: examination.id)
def test_every_rule_is_explained_below_its_check(examination: object) -> None:
    (found,) = [rule for rule in RULES if rule is examination]
    text = section(BYTECODE, f"### {found.id}")
    for rule in found.rules:
        name = f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}"
        assert f"`{name}`" in text, name
    assert "annot see" in text


def test_the_document_names_no_rule_that_is_not_there() -> None:
    known = {
        f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}"
        for examination in RULES
        for rule in examination.rules
    } | {
        f"timebombs.{timebombs.later.__name__}",
        f"timebombs.{timebombs.without_timers.__name__}",
        f"spells.{spells.while_it_lasts.__name__}",
    }
    modules = {name.partition(".")[0] for name in known}
    written = re.findall(r"`(\w+\.\w+)`", BYTECODE)
    rules = {n for n in written if n.partition(".")[0] in modules and not n.endswith(".py")}
    assert rules == known
    headings = set(re.findall(r"^### ([a-z-]+)$", section(BYTECODE, "## The rules"), re.M))
    assert headings == {examination.id for examination in RULES}


def test_an_id_that_is_computed_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("def f(x):\n    return failed(x.name, 1, 'no')\n")
    with pytest.raises(Untold, match=r"odd\.py:2"):
        check_ids(tmp_path)


def test_ids_are_found_wherever_a_check_is_made(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "def _made(words, id_, stage) -> Check:\n    return passed(id_, stage, words)\n"
        "def f(x):\n"
        "    name, stage = 'by-name', 1\n"
        "    judge = failed if x else warning\n"
        "    _made('words', 'by-wrapper', stage)\n"
        "    judge('by-alias', stage, 'words')\n"
        "    f(x).replace(id='by-change')\n"
        "    return error(name, stage, 'words')\n"
        "TOP = skipped(f'each-{1}', 1, 'words')\n"
    )
    expected = {"by-name", "by-wrapper", "by-alias", "by-change", "each-*"}
    assert check_ids(tmp_path) == expected
