"""The examination set as the bench reads it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from schedcp_api.verdicts import EvaluationContract, ReplayMode, Stage
from schedcp_lab.bench_cases import GOOD, NOT_ON, examination, sampled
from schedcp_lab.bench_works import WORKS
from schedcp_lab.errors import LabError
from schedcp_verifier.kernels import KernelBundle
from support.verifier import make_bundle

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


def test_who_may_be_stopped_by_a_replay_must_gain_in_one_and_nobody_else_is_asked_to() -> None:
    asked_for_by_default = EvaluationContract()
    for case in examination(SET, NEWEST):
        contract = case.contract
        if case.good:
            assert (case.work is None) == (contract.replay is ReplayMode.ADVISORY)
            continue
        assert (case.work is not None) == (Stage.REPLAY in case.stages)
        if case.work is not None:
            assert contract.replay is ReplayMode.REQUIRED
            assert contract.metric == case.work.metric
            assert contract.minimum_improvement == asked_for_by_default.minimum_improvement
            assert contract.maximum_neighbour_loss == asked_for_by_default.maximum_neighbour_loss


def test_every_work_is_some_schedulers_and_a_good_one_claims_a_gain() -> None:
    cases = examination(SET, NEWEST)
    assert {case.work for case in cases if not case.good} == {None, *WORKS.values()}
    assert [case.name for case in cases if case.good and case.work is not None]


@pytest.mark.parametrize(
    ("only", "metric"),
    [
        ("bad/Q03-one-held-in-reserve", "WakeupLatencyP99"),
        ("bad/Q10-busiest-group", "WakeupLatencyP99"),
        ("bad/Q17-shortfirst", "WakeupLatencyP999"),
        ("good/budgeted_preemption", "WakeupLatencyP99"),
    ],
)
def test_a_request_brings_the_profile_of_the_work_that_the_comment_names(
    only: str, metric: str, tmp_path: Path
) -> None:
    kernel = KernelBundle.open(make_bundle(tmp_path / "kernel"))
    (case,) = examination(SET, NEWEST, only)
    request = case.request(kernel)
    assert request.profile is not None
    assert request.profile.kernel_digest == request.kernel_digest
    assert request.contract.metric == metric
    assert case.request(kernel).content_digest() == request.content_digest()


def test_a_request_of_others_brings_none(tmp_path: Path) -> None:
    kernel = KernelBundle.open(make_bundle(tmp_path / "kernel"))
    for only in ("bad/T08-strict-priority", "bad/Q05-groups-are-equal", "good/minimal_fifo"):
        (case,) = examination(SET, NEWEST, only)
        assert case.request(kernel).profile is None


@pytest.mark.parametrize(
    "comment",
    [
        "Stopped at Dynamic or Replay.",
        "Stopped at Dynamic. Replayed as a service\n * beside a batch.",
        "Stopped at Dynamic or Replay. Replayed as a game.",
    ],
)
def test_a_replay_without_its_work_or_a_work_without_its_replay_is_an_error(
    comment: str, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    path = tmp_path / "bad" / "Q03-waits.bpf.c"
    path.write_text(f"/*\n * Q03: waits. {comment}\n */\nint x;\n")
    with pytest.raises(LabError, match=r"Q03-waits.* replayed as"):
        examination(tmp_path, NEWEST)


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
