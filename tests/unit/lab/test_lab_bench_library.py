"""What the verifier said of the library, as figures and as what the manifests say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from schedcp_api.manifests import Measured, SchedulerManifest
from schedcp_api.verdicts import ContractLoss, Stage
from schedcp_lab.bench_library import (
    Found,
    as_json,
    measured_of,
    newest_measured,
    rows_of,
    with_measured,
)
from schedcp_lab.bench_results import Judgement

RELEASE = "7.3.4+deb13-cloud-amd64"
MANIFESTS = sorted((Path(__file__).parents[3] / "schedulers/manifests").glob("*.yaml"))
ACCEPTED = Judgement(
    stage=None,
    failed=(),
    undecided=(),
    warnings=("Contract/keeps-Nice", "Contract/keeps-CpuWeight", "Dynamic/stranded"),
    reason="",
    cpu_seconds=90.0,
    wall_seconds=80.0,
    whole=True,
)
KEEPS = Judgement(None, (), (), (), "", 90.0, 80.0, whole=True)
REFUSED = Judgement(
    Stage.DYNAMIC, ("Dynamic/starvation",), (), (), "nobody ran " * 90, 9.0, 9.0, whole=True
)
UNDECIDED = Judgement(None, (), ("Dynamic/trials",), (), "the guest was lost", 9.0, 9.0, whole=True)


def test_what_is_lost_is_what_the_contract_warned_of() -> None:
    found = measured_of(RELEASE, ACCEPTED)
    assert found == Measured(
        kernels="7.3",
        accepted=True,
        contract_losses=(ContractLoss.CPU_WEIGHT, ContractLoss.NICE),
    )


def test_a_refusal_names_its_check_and_is_bounded() -> None:
    found = measured_of(RELEASE, REFUSED)
    assert not found.accepted
    assert found.refused_for[0].startswith("Dynamic/starvation: nobody ran")
    assert len(found.refused_for[0]) <= 200


def test_what_could_not_be_told_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="could not be made"):
        measured_of(RELEASE, UNDECIDED)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_keeps_all_else(path: Path) -> None:
    text = path.read_text()
    before = SchedulerManifest.model_validate(yaml.safe_load(text))
    measured = (measured_of("6.18.15", REFUSED), measured_of(RELEASE, ACCEPTED))
    once = with_measured(text, measured)
    assert with_measured(once, measured) == once
    after = SchedulerManifest.model_validate(yaml.safe_load(once))
    assert after.replace(measured=()) == before.replace(measured=())
    new = {each.kernels for each in measured}
    others = {each for each in before.measured if each.kernels not in new}
    assert set(after.measured) == {*measured, *others}


def test_a_finding_takes_the_place_of_the_one_of_its_series_alone() -> None:
    old, other = measured_of(RELEASE, KEEPS), measured_of("6.18.15", KEEPS)
    text = with_measured(MANIFESTS[0].read_text(), (old, other))
    anew = measured_of(RELEASE, REFUSED)
    assert measured_in(with_measured(text, (anew,))) == (other, anew)
    newer = measured_of("7.10.1", KEEPS)
    assert measured_in(with_measured(text, (newer,))) == (other, old, newer), "in order of number"


def measured_in(text: str) -> tuple[Measured, ...]:
    return SchedulerManifest.model_validate(yaml.safe_load(text)).measured


def test_of_two_kernels_of_a_series_the_newest_counts() -> None:
    found = [
        Found("a", "7.3.10", KEEPS),
        Found("a", RELEASE, REFUSED),
        Found("a", "6.18.15", ACCEPTED),
        Found("b", RELEASE, KEEPS),
    ]
    for order in (found, found[::-1]):
        newest = newest_measured(order)
        assert set(newest) == {"a", "b"}
        assert set(newest["a"]) == {measured_of("7.3.10", KEEPS), measured_of("6.18.15", ACCEPTED)}


def test_what_is_undecided_is_left_out() -> None:
    found = [
        Found("a", RELEASE, UNDECIDED),
        Found("a", "6.18.15", KEEPS),
        Found("b", RELEASE, UNDECIDED),
    ]
    assert newest_measured(found) == {"a": (measured_of("6.18.15", KEEPS),)}


def test_rows_count_who_is_accepted_and_who_keeps_weights_and_limits() -> None:
    judged = {"a": ACCEPTED, "b": KEEPS, "c": REFUSED}
    found = [Found(name, RELEASE, judgement) for name, judgement in judged.items()]
    accepted, kept = rows_of(found, 3)
    assert (accepted.figure, accepted.met) == (2, False)
    assert (kept.figure, kept.met) == (1, False)


def test_nothing_is_met_before_all_were_tried() -> None:
    assert [row.met for row in rows_of([Found("a", RELEASE, KEEPS)], 3)] == [None, None]


def test_the_report_is_json() -> None:
    rows = rows_of([Found("a", RELEASE, KEEPS)], 1)
    said = json.loads(as_json(rows, (), started_at=datetime(2026, 1, 1, tzinfo=UTC), seconds=1.0))
    assert [row["figure"] for row in said["rows"]] == [1, 1]
