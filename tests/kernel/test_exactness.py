"""Virtual time: equal inputs give equal figures, to the last digit.

The first module of its tier, and one guest at a time: on a host whose CPUs are fought over, QEMU's
main loop can come late and the clock be off by some instructions.
"""

from __future__ import annotations

from pathlib import Path

from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier
from support.laboratory import CONTRACT
from support.verifier import source_request, workload_profile


def test_a_replay_gives_the_same_figures_to_the_last_digit(
    verifier_settings: Settings, kernel: KernelBundle, repository: Path
) -> None:
    verifier = Verifier.from_settings(verifier_settings)
    path = repository / "tests/data/schedulers/good/bounded_vtime.bpf.c"
    request = source_request(path, kernel, CONTRACT).replace(profile=workload_profile())
    subject = verifier.subject(request)
    payload = subject.payload(verifier.analyse(subject, request, kernel).object)
    assert payload is not None
    first, second = (
        verifier.replay(request, kernel, payload=payload, ops_name="bounded_vtime").replay
        for _ in range(2)
    )
    assert first is not None
    assert first == second
