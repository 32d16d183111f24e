"""Schedulers side by side in one guest: an object, a program, and the kernel's own."""

from __future__ import annotations

from pathlib import Path

from schedcp_lab.bench_figures import lines_of
from schedcp_lab.bench_guests import DEFAULT, Side, Sides, measurements_of, plan_of
from schedcp_lab.bench_schedulers import chosen
from schedcp_lab.bench_sides import sides_of
from schedcp_verifier.executables import executable_at
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.payloads import StartedProgram
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier
from support.laboratory import unfit


def test_each_does_the_same_build_and_none_is_faster_than_possible(
    repository: Path,
    verifier_settings: Settings,
    kernel: KernelBundle,
    required_tiers: frozenset[str],
) -> None:
    built = verifier_settings.schedulers_dir / ".output/bpf" / kernel.profile.release
    path = built / "standalone/simple_fifo"
    if not path.is_file():
        unfit(f"{path} is not built", required_tiers)
    verifier = Verifier.from_settings(verifier_settings)
    program = Side("program", StartedProgram(executable_at(path), ()))
    sides = Sides((*sides_of(["long_tail"], verifier, kernel), program))
    scenarios = chosen("build,tail-r3-known")
    script = (repository / "lab/benches/schedulers").read_text(encoding="utf-8")
    plan = plan_of(scenarios, sides, cpus=2, seed=1, script=script)
    report = verifier.guests.run(plan, kernel, sides).report
    found = measurements_of(report, scenarios, sides, seed=1)
    assert [m.trouble for m in found if m.trouble] == []
    lines = [x for x in lines_of({2: found}) if x.metric.name == "makespan"]
    assert {line.scheduler for line in lines} == {DEFAULT, "long_tail", "program"}
    assert not any(line.impossible for line in lines)
    told = [x for x in lines if x.scheduler == "long_tail" and x.scenario.known]
    assert [line.to_bound is not None and line.to_bound < 1.05 for line in told] == [True]
