"""Classes have what a composition assures them, and tasks are in the classes that they match."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from schedcp_api.compositions import Composition
from schedcp_lab.bench_guests import DEFAULT, Measurement, Side, Sides, measurements_of, plan_of
from schedcp_lab.bench_scenarios import SCENARIOS, Family, Kind, Scenario
from schedcp_verifier.building import BuildRoom
from schedcp_verifier.composing import compose
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.payloads import LoadedObject
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier
from support.compositions import composition_with

CPUS = 2
SEED = 1
MS = 1_000_000
WINDOW_MS = 2000
NICES = {"first": -5, "second": 0, "rest": 5}
ASSURED = {"first": 20, "second": 50, "rest": 30}
"""In percent, and not in the order of the classes' nice values."""
APART = 5
HOG = f"burst_ns=fixed:{1000 * MS}"
BATCH = next(scenario for scenario in SCENARIOS if scenario.name == "tail-r10-known")
EXPECTED = "known/short 1000000000\nknown/long10 10000000000\n"
NEAR = 1.05
"""How close to the least makespan longest-first comes, and in order of arrival does not."""

ASSURING = composition_with(
    {"match": {"nice": {"atMost": -1}}, "bandwidthPercent": ASSURED["first"]},
    {"match": {"nice": {"atMost": 0}}, "bandwidthPercent": ASSURED["second"]},
    {},
    sharing="Bandwidth",
)
WEIGHTS = {"first": 200, "second": 500, "rest": 300}
WEIGHED = {
    sharing: composition_with(
        {"match": {"nice": {"atMost": -1}}, "weight": WEIGHTS["first"]},
        {"match": {"nice": {"atMost": 0}}, "weight": WEIGHTS["second"]},
        {"weight": WEIGHTS["rest"]},
        sharing=sharing,
    )
    for sharing in ("Turns", "VirtualTime")
}
"""Weights that amount to the same shares."""
STRICT = composition_with({"match": {"nice": {"atMost": -1}}, "capPercent": 80}, {})
LONG_FIRST = composition_with({"match": {"expectedMs": {"atLeast": 5000}}}, {})


def crowd(name: str, lines: list[str], *, warm_up_ms: int = 300) -> Scenario:
    """Return a scenario whose groups could use all CPUs."""
    head = f"seed 1\nwarmup_ns {warm_up_ms * MS}\nduration_ns {WINDOW_MS * MS}\n"
    text = head + "".join(f"group {line} {HOG}\n" for line in lines)
    return Scenario(name, "classes that want all", Family.WORK, Kind.SHARES, lambda *_: text)


def hogs(*names: str, each: int = 2 * CPUS) -> list[str]:
    """Return the groups of classes that all begin together, with `each` threads."""
    return [f"{name} threads={each} nice={NICES[name]}" for name in names]


ALONE = [
    f"first threads={CPUS} nice={NICES['first']}",
    f"second threads={2 * CPUS} nice={NICES['second']} start_delay_ns={1000 * MS}",
    f"rest threads={2 * CPUS} nice={NICES['rest']} start_delay_ns={1000 * MS}",
]
"""The first class has the machine to itself for a second."""
SHARED = (
    crowd("all", hogs("first", "second", "rest")),
    crowd("two", hogs("first", "rest")),
    crowd("few", hogs("first", "second", "rest", each=CPUS)),
    crowd("alone", ALONE, warm_up_ms=1100),
)
ASKED = (
    (("assuring", "strict", *WEIGHED), SHARED[0::2]),
    (("assuring",), SHARED[1::2]),
    (("assuring", "long-first"), (BATCH,)),
)
"""Who is measured in what, each in a guest of its own."""
Found = dict[tuple[str, str], Measurement]


@pytest.fixture(scope="module")
def found(repository: Path, verifier_settings: Settings, kernel: KernelBundle) -> Found:
    """Return what each scheduler came to in each scenario."""
    verifier = Verifier.from_settings(verifier_settings)

    def side(name: str, composition: Composition) -> Side:
        with BuildRoom.prepared(f"{name}.bpf.c", kernel=kernel, tools=verifier.tools) as room:
            built = room.compile(compose(composition).encode())
        assert built.object is not None, built.checks
        return Side(name, LoadedObject(built.object, ()))

    composed = {"assuring": ASSURING, "long-first": LONG_FIRST, "strict": STRICT, **WEIGHED}
    script = (repository / "lab/benches/schedulers").read_text(encoding="utf-8")
    measured: Found = {}
    for names, scenarios in ASKED:
        sides = Sides(tuple(side(name, composed[name]) for name in names))
        plan = plan_of(scenarios, sides, cpus=CPUS, seed=SEED, script=script)
        plan = replace(plan, files={**plan.files, "expected": EXPECTED})
        report = verifier.guests.run(plan, kernel, sides).report
        for one in measurements_of(report, scenarios, sides, seed=SEED):
            assert not one.trouble, one.trouble
            measured[one.scheduler, one.scenario] = one
    return measured


def shares(measured: Measurement) -> dict[str, float]:
    """Return each group's part of all CPUs, in percent."""
    whole = CPUS * WINDOW_MS * MS
    return {name: 100 * data["cpu_time_ns"] / whole for name, data in measured.groups.items()}


def test_each_class_has_what_it_is_assured(found: Found) -> None:
    assert shares(found["assuring", "all"]) == pytest.approx(ASSURED, abs=APART)
    # The kernel's own scheduler goes by nice values, so that this is no accident.
    default = shares(found[DEFAULT, "all"])
    assert default["first"] > default["second"] > default["rest"]


@pytest.mark.parametrize("crowd", ["all", "few"])
@pytest.mark.parametrize("sharing", ["assuring", "VirtualTime"])
def test_shares_hold_also_where_a_class_has_one_task_for_each_cpu(
    found: Found, sharing: str, crowd: str
) -> None:
    assert shares(found[sharing, crowd]) == pytest.approx(ASSURED, abs=APART)


def test_turns_are_taken_in_proportion_to_weights(found: Found) -> None:
    """Slices are equal, so that turns are shares."""
    for crowd in ("all", "few"):
        assert shares(found["Turns", crowd]) == pytest.approx(ASSURED, abs=APART)


def test_a_class_goes_first_up_to_its_cap(found: Found) -> None:
    for crowd in ("all", "few"):
        assert shares(found["strict", crowd])["first"] == pytest.approx(80, abs=APART)


def test_what_a_class_leaves_is_for_the_others(found: Found) -> None:
    two = shares(found["assuring", "two"])
    assert two["first"] >= ASSURED["first"] - APART
    assert two["rest"] >= ASSURED["rest"] - APART
    assert sum(two.values()) > 100 - APART


def test_who_had_the_machine_alone_owes_nothing_for_it(found: Found) -> None:
    assert shares(found["assuring", "alone"]) == pytest.approx(ASSURED, abs=APART)


def test_who_is_expected_to_work_long_is_in_its_class_from_the_first(found: Found) -> None:
    least = BATCH.least_ns(CPUS, SEED)
    assert least is not None

    def makespan(scheduler: str) -> float:
        return max(data["makespan_ns"] for data in found[scheduler, BATCH.name].groups.values())

    assert makespan("long-first") < NEAR * least
    assert makespan("assuring") > NEAR * least
