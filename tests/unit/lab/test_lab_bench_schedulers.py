"""Schedulers side by side: what the guest is told, what it says, and what becomes of that."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pytest
from rich.console import Console

from schedcp_lab.bench_figures import Line, goals_of, lines_of, metrics_of
from schedcp_lab.bench_guests import (
    DEFAULT,
    Measurement,
    Side,
    Sides,
    measurements_of,
    plan_of,
)
from schedcp_lab.bench_scenarios import SCENARIOS, WEIGHTS, WINDOW_NS, Scenario
from schedcp_lab.bench_schedulers_report import Circumstances, as_json, plot, text_report
from schedcp_lab.bench_standings import rows_of, standings_of
from schedcp_lab.errors import LabError
from schedcp_verifier.initramfs import Entry, file
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.payloads import LoadedObject
from schedcp_verifier.records import parse_report
from support.verifier import make_bundle, record

MS = 1_000_000
AT = Circumstances(
    machine="x86_64, 2 CPUs",
    kernel="7.0.0-test",
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    seconds=60.0,
    guests=2,
    reused=1,
    missing=1,
    stock=("stock",),
    troubles=("4 CPUs, work, seed 1: build under ours: it did not stay attached",),
)


def scenario(name: str) -> Scenario:
    (found,) = [one for one in SCENARIOS if one.name == name]
    return found


def latency(
    scheduler: str, p99_ms: float, hogs_ms: int, *, seed: int = 1, wakeups: int = 700
) -> list[Measurement]:
    target = {f"wakeup_{q}_ns": int(p99_ms * MS) for q in ("p50", "p99", "p999")}
    alone = {**dict.fromkeys(target, MS // 20), "wakeups": 700}
    target["wakeups"] = wakeups
    return [
        Measurement(scheduler, "periodic", seed, True, {"target": alone}),
        Measurement(
            scheduler,
            "periodic",
            seed,
            groups={"target": target, "hogs": {"cpu_time_ns": hogs_ms * MS}},
        ),
    ]


def batch(scheduler: str, name: str, makespan: float, *, seed: int = 1) -> Measurement:
    """A batch that takes so many times its bound on four CPUs."""
    least = scenario(name).least_ns(4, seed)
    assert least is not None
    taken = {"makespan_ns": int(least * makespan), "turnaround_mean_ns": MS}
    return Measurement(scheduler, name, seed, groups={"sum": taken})


def line(lines: tuple[Line, ...], scheduler: str, metric: str) -> Line:
    (found,) = [x for x in lines if (x.scheduler, x.metric.name) == (scheduler, metric)]
    return found


def test_ratios_are_of_the_same_seed_and_stand_beside_floor_and_spread() -> None:
    measured = [
        *latency(DEFAULT, 4.0, 5900), *latency("ours", 0.5, 5800),
        *latency(DEFAULT, 8.0, 5900, seed=2), *latency("ours", 0.8, 5900, seed=2),
        *latency(DEFAULT, 4.0, 5900, seed=3), *latency("ours", 2.0, 5750, seed=3),
    ]  # fmt: skip
    p99 = line(lines_of({4: measured}), "ours", "wakeup p99")
    assert p99.ratios == (8.0, 10.0, 2.0)
    assert p99.ratio == 8.0
    assert p99.floor == pytest.approx(0.05)
    (row,) = [r for r in rows_of(lines_of({4: measured})) if r.target == "4x"]
    assert (row.met, row.ratio, row.spread) == (True, 8.0, "0.500 to 2.000, n=3")
    written = io.StringIO()
    Console(file=written, width=220).print(text_report(lines_of({4: measured}), AT))
    assert "0.8/0.05 [0.5-2] 8.00x" in written.getvalue()


def test_all_kinds_of_batch_are_summed_up() -> None:
    measured = [
        *(batch(DEFAULT, name, 1.6) for name in ("tail-r3-known", "tail-r10-known")),
        batch("ours", "tail-r3-known", 1.6), batch("ours", "tail-r10-known", 1.1),
        batch(DEFAULT, "tail-arriving-blind", 1.5), batch("ours", "tail-arriving-blind", 1.1),
    ]  # fmt: skip
    written = io.StringIO()
    Console(file=written, width=220).print(text_report(lines_of({4: measured}), AT))
    assert "2 kinds of batch, known: makespan 1.21x with ours" in written.getvalue()
    assert "blind: makespan" not in written.getvalue()


def test_a_seed_that_a_scheduler_lost_is_told_and_meets_no_target() -> None:
    measured = [
        *latency(DEFAULT, 4.0, 5900), *latency("ours", 0.5, 5900),
        *latency(DEFAULT, 4.0, 5900, seed=2),
        Measurement("ours", "periodic", 2, trouble="it did not stay attached"),
    ]  # fmt: skip
    lines = lines_of({4: measured})
    assert [x.lost for x in lines if x.scheduler == DEFAULT] == [0] * 5
    assert not any(standing.met for standing in standings_of(lines))
    (row,) = [r for r in rows_of(lines) if r.target == "4x"]
    assert (row.ratio, row.met, row.seeds, row.lost) == (8.0, False, 1, 1)
    assert row.error == "no figure with 1 of 2 seeds"
    written = io.StringIO()
    Console(file=written, width=220).print(text_report(lines, AT))
    assert "LOST 1 of 2" in written.getvalue()


def test_more_cpu_time_than_there_is_and_less_than_the_bound_are_measuring_errors() -> None:
    whole_ms = int(4 * WINDOW_NS / MS)
    lines = lines_of({4: [*latency(DEFAULT, 4.0, whole_ms), *latency("ours", 0.5, whole_ms * 2)]})
    assert not line(lines, DEFAULT, "CPU time of the hogs").impossible
    assert line(lines, "ours", "CPU time of the hogs").impossible
    name = "tail-r10-known"
    lines = lines_of({4: [batch(DEFAULT, name, 1.5), batch("ours", name, 0.9)]})
    (row,) = [r for r in rows_of(lines) if r.target]
    assert row.met is False
    assert "measuring error" in row.error


@pytest.mark.parametrize(
    ("name", "taken", "met"),
    [
        ("tail-r10-known", 1.049, True),
        ("tail-r10-known", 1.06, False),
        ("tail-r10-blind", 1.5, True),
        ("tail-r10-blind", 1.7, False),
        ("equals", 1.02, True),
        ("equals", 1.04, False),
    ],
)
def test_batches_are_judged_by_their_bound_by_equal_shares_or_by_the_default(
    name: str, taken: float, met: bool
) -> None:
    base = 1.01 if name == "equals" else 1.6
    lines = lines_of({4: [batch(DEFAULT, name, base), batch("ours", name, taken)]})
    (standing,) = standings_of(lines)
    assert standing.met is met


def test_the_best_of_ours_keeps_all_goals_before_it_is_fast() -> None:
    measured = [
        *latency(DEFAULT, 4.0, 5900), *latency("greedy", 0.1, 4000),
        *latency("fitting", 0.5, 5850), *latency("stock", 0.4, 5900),
    ]  # fmt: skip
    (standing,) = standings_of(lines_of({4: measured}), ["stock"])
    assert standing.line.scheduler == "fitting"
    assert standing.met
    assert standing.stock is not None
    assert standing.stock.scheduler == "stock"
    assert standing.ahead == pytest.approx(0.8)


@pytest.mark.parametrize(("wakeups", "met"), [(687, True), (685, False), (0, False)])
def test_a_latency_with_fewer_wakeups_is_no_gain(wakeups: int, met: bool) -> None:
    ours = latency("ours", 0.5, 5900, wakeups=wakeups)
    (standing,) = standings_of(lines_of({4: [*latency(DEFAULT, 4.0, 5900), *ours]}))
    assert standing.met is met


def test_an_impossible_figure_is_never_the_best() -> None:
    name = "tail-r10-known"
    impossible, slow = batch("impossible", name, 0.5), batch("slow", name, 1.4)
    stock = [batch("stock", name, 0.6), batch("sound", name, 1.2)]
    lines = lines_of({4: [batch(DEFAULT, name, 1.5), impossible, slow, *stock]})
    (standing,) = standings_of(lines, ["stock", "sound"])
    assert standing.line.scheduler == "slow"
    assert standing.stock is not None
    assert standing.stock.scheduler == "sound"
    (alone,) = standings_of(lines_of({4: [batch(DEFAULT, name, 1.5), impossible]}))
    assert not alone.met


def test_shares_are_compared_with_the_weights() -> None:
    exact = {name: {"cpu_time_ns": weight * MS} for name, weight in WEIGHTS.items()}
    equal = {name: {"cpu_time_ns": 100 * MS} for name in WEIGHTS}
    lines = lines_of(
        {4: [Measurement(DEFAULT, "shares", 1, groups=exact),
             Measurement("ours", "shares", 1, groups=equal)]}
    )  # fmt: skip
    assert lines[0].figure == pytest.approx(0)
    assert lines[1].figure == pytest.approx(100 * (sum(WEIGHTS.values()) / 3 / 335 - 1))
    assert standings_of(lines) == ()
    assert [(row.scheduler, row.met) for row in rows_of(lines)] == [(DEFAULT, None), ("ours", None)]


def test_every_scenario_but_shares_has_goals_of_figures_that_it_has() -> None:
    for one in SCENARIOS:
        goals = {goal.metric for goal in goals_of(one)}
        assert goals <= {metric.name for metric in metrics_of(one)}
        assert bool(goals) is (one.name != "shares")


@pytest.fixture
def kernel_bundle(tmp_path: Path) -> KernelBundle:
    return KernelBundle.open(make_bundle(tmp_path / "kernel"))


SIDES = Sides((Side("ours", LoadedObject(b"one", ())), Side("theirs", LoadedObject(b"two", ()))))


def test_each_subject_has_its_files_to_itself(kernel_bundle: KernelBundle) -> None:
    entries = {entry.path: entry.data for entry in SIDES.entries(kernel_bundle)}
    assert entries["guest/subject0/candidate.o"] == b"one"
    assert entries["guest/subject1/candidate.o"] == b"two"
    assert b"DIGEST=" in entries["guest/subject1/settings"]
    assert entries["guest/subject0/settings"] != entries["guest/subject1/settings"]


class _Brings:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def settings(self) -> dict[str, str]:
        return {"PROGRAM": "yes"}

    def entries(self, _kernel: KernelBundle) -> list[Entry]:
        return [file("lib/libelf.so.1", self._data)]


def test_a_library_comes_once_and_two_versions_are_refused(kernel_bundle: KernelBundle) -> None:
    same = Sides((Side("a", _Brings(b"x")), Side("b", _Brings(b"x"))))
    paths = [entry.path for entry in same.entries(kernel_bundle)]
    assert paths.count("lib/libelf.so.1") == 1
    with pytest.raises(LabError, match="libelf"):
        Sides((Side("a", _Brings(b"x")), Side("b", _Brings(b"y")))).entries(kernel_bundle)


def test_the_plan_names_a_file_for_each_step() -> None:
    scenarios = [scenario("periodic"), scenario("build")]
    plan = plan_of(scenarios, SIDES, cpus=4, seed=1, script="")
    for who in ("default", "subject0", "subject1"):
        steps = [words.split() for words in plan.files[f"turn-{who}"].splitlines()]
        assert [step for step, _ in steps] == [
            f"{who}.periodic.floor", f"{who}.periodic", f"{who}.build"
        ]  # fmt: skip
        assert all(spec in plan.files for _, spec in steps)


def _step(who: str) -> list[bytes]:
    return [
        record("status", f"{who}.build", program="workload", code=0),
        record("workload", f"{who}.build", group="sum", threads=74, cpuTimeNs=5, finished=74,
               longestNs=1, makespanNs=9, turnaroundMeanNs=4, wakeups=0),
    ]  # fmt: skip


def _state(step: str, sequence: int) -> bytes:
    return record("state", step, state="enabled", ops="x", enableSeq=sequence, uptime="1.0")


def test_a_scheduler_that_was_away_has_no_figures() -> None:
    report = parse_report(
        chain(
            _step("default"), [_state("subject0-begin", 1)], _step("subject0"),
            [_state("subject0-end", 1), _state("subject1-begin", 2)], _step("subject1"),
            [_state("subject1-end", 3)],
        )
    )  # fmt: skip
    found = measurements_of(report, [scenario("build")], SIDES, seed=1)
    assert [(m.scheduler, bool(m.groups)) for m in found] == [
        (DEFAULT, True), ("ours", True), ("theirs", False)
    ]  # fmt: skip
    assert "did not stay attached" in found[2].trouble
    assert found[1].groups["sum"]["makespan_ns"] == 9


def test_the_report_shows_figures_bounds_troubles_and_what_is_missing() -> None:
    name = "tail-r10-known"
    measured = [
        *latency(DEFAULT, 4.0, 5000), *latency("ours", 0.5, 4950), *latency("stock", 2.0, 4950),
        batch(DEFAULT, name, 1.5), batch("ours", name, 0.5),
    ]  # fmt: skip
    lines = lines_of({4: measured})
    written = io.StringIO()
    Console(file=written, width=220).print(text_report(lines, AT))
    text = written.getvalue()
    for words in ("8.00x", "0.05", "BEYOND ITS BOUND", "did not stay attached", "not begun"):
        assert words in text
    rows = json.loads(as_json(lines, AT))["rows"]
    assert {"row", "figure", "unit", "baseline", "ratio", "spread", "target", "met"} <= set(rows[0])
    assert plot(lines, AT) == plot(lines, AT)
    assert "4 CPUs" in plot(lines, AT)


def test_nothing_measured_is_a_report_too() -> None:
    assert json.loads(as_json((), AT))["rows"] == []
    assert "<svg" in plot((), AT)
