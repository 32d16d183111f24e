"""The examination set as the bench reads it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from schedcp_api.verdicts import Stage
from schedcp_lab.bench_cases import GOOD, NOT_ON, examination, sampled
from schedcp_lab.errors import LabError

SET = Path(__file__).parents[2] / "data" / "schedulers"
NEWEST, OLDER = "7.3.4+deb13-cloud-amd64", "6.18.15+deb13-cloud-amd64"


def test_every_source_of_the_set_is_a_case() -> None:
    names = {case.name for case in examination(SET, NEWEST)}
    files = [path.relative_to(SET) for path in SET.glob("*/*.bpf.c")]
    assert names == {str(path).removesuffix(".bpf.c") for path in files}


def test_bad_ones_say_where_they_are_stopped_and_good_ones_do_not() -> None:
    for case in examination(SET, NEWEST):
        assert case.good == (case.path.parent.name == GOOD) == (case.last_stage is None)


def test_what_one_kernel_lacks_is_left_out_there_and_the_readme_says_so() -> None:
    (left_out,) = NOT_ON.values()
    whole, older = (
        {case.name for case in examination(SET, release)} for release in (NEWEST, OLDER)
    )
    assert whole - older == left_out
    readme = (SET / "README.md").read_text()
    (line,) = [line for line in readme.splitlines() if "Not for one of the kernels" in line]
    for name in left_out:
        assert name.partition("/")[2].removeprefix("L08-").removeprefix("K04-") in line


def test_only_what_the_contract_shows_is_judged_without_waivers() -> None:
    for case in examination(SET, NEWEST):
        assert bool(case.contract.waived_losses) == (Stage.CONTRACT not in case.stages)


@pytest.mark.parametrize(
    ("only", "expected"),
    [("K01", {"K01"}), ("bad/K0[12]*", {"K01", "K02"}), ("good/*", {GOOD})],
)
def test_a_part_is_chosen_by_id_or_glob(only: str, expected: set[str]) -> None:
    assert {case.id for case in examination(SET, NEWEST, only)} == expected


def test_a_choice_of_nothing_is_an_error() -> None:
    with pytest.raises(LabError, match="Z99"):
        examination(SET, NEWEST, "Z99")


def test_a_bad_one_that_names_no_stage_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "T01-silent.bpf.c").write_text("/* It starves. */\nint x;\n")
    with pytest.raises(LabError, match="T01-silent"):
        examination(tmp_path, NEWEST)


@pytest.mark.parametrize("count", [1, 8, 40, 240, 10_000])
def test_a_sample_has_its_size_and_is_always_the_same(count: int) -> None:
    cases = examination(SET, NEWEST)
    taken = sampled(cases, count)
    assert taken == sampled(tuple(reversed(cases)), count)[::-1]
    assert len(taken) == min(count, len(cases))


def test_a_sample_has_many_kinds_and_some_good_ones() -> None:
    kinds = Counter(case.id for case in sampled(examination(SET, NEWEST), 60))
    assert kinds.pop(GOOD) == 15
    assert max(kinds.values()) == 1
