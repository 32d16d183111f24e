"""Composed schedulers are judged like a stranger's: no stage finds anything, and one is loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings

from schedcp_api.base import digest_of, percent_value
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.compositions import Composition
from schedcp_api.verdicts import Check, Phase, VerificationRequest
from schedcp_verifier.__main__ import run_command
from schedcp_verifier.composing import compose, composition_of
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier
from support.compositions import compositions, every_word
from support.laboratory import CONTRACT, Laboratory, unfit
from support.verifier import workload_profile

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("composition-*.yaml"))
COMPOSED_MAX = 25
FORMATTER = "clang-format-19"
WORDS = every_word()
VERDICT_SECONDS = 900
GAIN_PERCENT = 40
"""The library's latency_class gains more than half with this profile."""


def composed_request(composition: Composition, kernel: KernelBundle) -> VerificationRequest:
    """Return the request for a composition's source."""
    source = compose(composition)
    return VerificationRequest(
        candidate=Candidate(
            kind=PlanKind.COMPOSE,
            scheduler=composition.name,
            source_digest=digest_of(source.encode()),
            composition_digest=composition.content_digest(),
        ),
        source=source,
        kernel_digest=kernel.profile.content_digest(),
        contract=CONTRACT,
    )


def not_passed(composition: Composition, verifier: Verifier, kernel: KernelBundle) -> list[Check]:
    """Return what the static stages find."""
    request = composed_request(composition, kernel)
    analysed = verifier.analyse(verifier.subject(request), request, kernel)
    assert analysed.object is not None or analysed.failed
    return [check for check in analysed.checks if check.phase is not Phase.PASSED]


@pytest.mark.parametrize("name", sorted(WORDS))
def test_every_word_of_the_language_passes_the_static_stages(
    name: str, laboratory: Laboratory, kernel: KernelBundle
) -> None:
    assert not_passed(WORDS[name], laboratory.verifier, kernel) == []


def test_any_composition_passes_the_static_stages(
    laboratory: Laboratory, kernel: KernelBundle
) -> None:
    @given(compositions())
    @settings(
        max_examples=COMPOSED_MAX,
        derandomize=True,
    )
    def judged(composition: Composition) -> None:
        assert not_passed(composition, laboratory.verifier, kernel) == []

    judged()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_analysed_without_a_finding(
    example: Path,
    kernel: KernelBundle,
    verifier_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SCHEDCP_VERIFIER_SCHEDULERS_DIR", str(verifier_settings.schedulers_dir))
    assert run_command(["analyze", str(example), "--kernel", str(kernel.folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {check["phase"] for check in found["checks"]} == {"Passed"}


def test_what_is_composed_is_formatted_as_the_library_is(
    repository: Path, tmp_path: Path, required_tiers: frozenset[str]
) -> None:
    if shutil.which(FORMATTER) is None:
        unfit(f"{FORMATTER} is not installed", required_tiers)
    sources = []
    for name, composition in WORDS.items():
        sources.append(tmp_path / f"{name}.bpf.c")
        sources[-1].write_text(compose(composition))
    style = f"--style=file:{repository / '.clang-format'}"
    found = subprocess.run(
        [FORMATTER, style, "--dry-run", "--Werror", *map(str, sources)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_every_kernel_builds_what_is_composed(
    laboratory: Laboratory, kernels: tuple[KernelBundle, ...]
) -> None:
    for bundle in kernels:
        for name in ("Strict-Global", "VirtualTime-Llc", "order-WeightedVtime-Cgroup"):
            found = not_passed(WORDS[name], laboratory.verifier, bundle)
            assert found == [], bundle.profile.release


def test_a_composed_scheduler_is_accepted_and_serves_latency(
    laboratory: Laboratory, kernel: KernelBundle, repository: Path
) -> None:
    example = repository / "examples/composition-latency-first.yaml"
    request = composed_request(composition_of(example.read_bytes()), kernel)
    begun = laboratory.submit(request.replace(profile=workload_profile()))
    verdict = begun.result(VERDICT_SECONDS).verdict
    assert verdict.accepted, verdict.reasons()
    assert verdict.ops_name == "composed_latency_first"
    assert verdict.replay is not None
    assert percent_value(verdict.replay.improvement) > GAIN_PERCENT
