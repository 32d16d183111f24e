"""Classes have what a composition assures them, beside classes that would take everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from schedcp_api.compositions import Composition
from schedcp_lab.bench_guests import DEFAULT, Side, Sides, measurements_of, plan_of
from schedcp_lab.bench_scenarios import Family, Kind, Scenario
from schedcp_verifier.building import BuildRoom
from schedcp_verifier.composing import compose
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.payloads import LoadedObject
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier
from support.compositions import composition_with

CPUS = 2
NICES = {"first": -5, "second": 0, "rest": 5}
ASSURED = {"first": 20, "second": 50, "rest": 30}
"""In percent, and not in the order of the classes' nice values."""
APART = 5
HEAD = "seed 1\nwarmup_ns 300000000\nduration_ns 1500000000\n"
HOG = "burst_ns=fixed:1000000000"


def assured(**more: object) -> Composition:
    """Return a composition that assures each of the three nice values a share."""
    return composition_with(
        {"match": {"nice": {"atMost": -1}}, "bandwidthPercent": ASSURED["first"]},
        {"match": {"nice": {"atMost": 0}}, "bandwidthPercent": ASSURED["second"]},
        {},
        sharing="Bandwidth",
        **more,
    )


def crowd(names: tuple[str, ...]) -> Scenario:
    """Return a scenario in which each of some classes could use all CPUs."""
    lines = [f"group {n} threads={2 * CPUS} nice={NICES[n]} {HOG}\n" for n in names]
    return Scenario(
        f"crowd-{len(names)}",
        "classes that want all",
        Family.WORK,
        Kind.SHARES,
        lambda *_: HEAD + "".join(lines),
    )


@pytest.fixture(scope="module")
def shares(
    repository: Path, verifier_settings: Settings, kernel: KernelBundle
) -> dict[tuple[str, str], dict[str, float]]:
    """Return each group's share in percent, by scheduler and scenario."""
    verifier = Verifier.from_settings(verifier_settings)
    with BuildRoom.prepared("assured.bpf.c", kernel=kernel, tools=verifier.tools) as room:
        built = room.compile(compose(assured()).encode())
    assert built.object is not None, built.checks
    sides = Sides((Side("assured", LoadedObject(built.object, ())),))
    scenarios = (crowd(("first", "second", "rest")), crowd(("first", "rest")))
    script = (repository / "lab/benches/schedulers").read_text()
    plan = plan_of(scenarios, sides, cpus=CPUS, seed=1, script=script)
    report = verifier.guests.run(plan, kernel, sides).report
    found = measurements_of(report, scenarios, sides, seed=1)
    assert [m.trouble for m in found if m.trouble] == []
    return {(m.scheduler, m.scenario): _percents(m.groups) for m in found}


def _percents(groups: dict[str, dict[str, int]]) -> dict[str, float]:
    total = sum(data["cpu_time_ns"] for data in groups.values())
    return {name: 100 * data["cpu_time_ns"] / total for name, data in groups.items()}


def test_each_class_has_what_it_is_assured(
    shares: dict[tuple[str, str], dict[str, float]],
) -> None:
    assert shares["assured", "crowd-3"] == pytest.approx(ASSURED, abs=APART)
    # The kernel's own scheduler goes by nice values, so that this is no accident.
    assert shares[DEFAULT, "crowd-3"]["first"] > shares[DEFAULT, "crowd-3"]["second"]


def test_what_a_class_leaves_is_for_the_others(
    shares: dict[tuple[str, str], dict[str, float]],
) -> None:
    found = shares["assured", "crowd-2"]
    assert found["first"] >= ASSURED["first"] - APART
    assert found["rest"] >= ASSURED["rest"] - APART
    assert sum(found.values()) == pytest.approx(100)
