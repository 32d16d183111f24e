"""Every scheduler of the library on every kernel: analysed, loaded, worked under, taken off again.

Guests with all trials are for a few of them, in `test_verifier_proofs.py`; here one guest for each
kernel runs them all, one after the other. Knobs at their ends are in `test_verifier_bytecode.py`.
"""

from __future__ import annotations

import pytest

from schedcp_api.candidates import Argument
from schedcp_api.manifests import Knob, SchedulerManifest
from schedcp_api.verdicts import Phase
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library
from schedcp_verifier.programs import read_programs
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Analysed
from support.laboratory import LIBRARY, Laboratory, library_request
from support.loader_guest import Case, run_cases

Analyses = dict[KernelBundle, dict[str, Analysed]]
"""What the static stages say of each scheduler as it is, by kernel."""


def analysed(laboratory: Laboratory, name: str, bundle: KernelBundle) -> Analysed:
    """Return what the static stages say of a scheduler as it is."""
    request = library_request(name, bundle, knobs={})
    return laboratory.verifier.analyse(laboratory.verifier.subject(request), request, bundle)


@pytest.fixture(scope="module")
def analyses(laboratory: Laboratory, kernels: tuple[KernelBundle, ...]) -> Analyses:
    """Every scheduler on every kernel."""
    return {
        bundle: {name: analysed(laboratory, name, bundle) for name in LIBRARY} for bundle in kernels
    }


@pytest.fixture(scope="module")
def cases(
    analyses: Analyses, verifier_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Case]]:
    """What became of each scheduler, by kernel."""
    return {
        bundle.profile.release: run_cases(
            "library-trials.sh",
            {name: found.object for name, found in of_kernel.items() if found.object is not None},
            kernel=bundle,
            settings=verifier_settings,
            folder=tmp_path_factory.mktemp("library"),
        )
        for bundle, of_kernel in analyses.items()
    }


@pytest.mark.parametrize("name", LIBRARY)
def test_every_kernel_runs_the_whole_library(cases: dict[str, dict[str, Case]], name: str) -> None:
    for release, of_kernel in cases.items():
        case = of_kernel[name]
        assert case.said("attached").ops == f"schedcp_{name}", release
        worked = of_kernel[f"{name}-worked"]
        assert (worked.status, worked.state) == (0, "enabled"), release
        assert case.said("detached").reason == "Detached", release
        assert (case.status, case.state) == (0, "disabled"), release


@pytest.mark.parametrize("name", LIBRARY)
def test_every_kernel_can_build_it_and_nothing_is_said_against_it(
    name: str, analyses: Analyses
) -> None:
    for of_kernel in analyses.values():
        checks = of_kernel[name].checks
        assert checks
        assert [c.message for c in checks if c.phase is not Phase.PASSED] == []


def manifest_of(name: str, settings: Settings) -> SchedulerManifest:
    """Return a manifest that has knobs."""
    manifest = Library(settings.schedulers_dir).scheduler(name).manifest
    assert manifest.knobs
    return manifest


def written(knob: Knob, value: int) -> str:
    """Return a value as a knob takes it."""
    return str(bool(value)).lower() if knob.type == "bool" else str(value)


@pytest.mark.parametrize("name", LIBRARY)
def test_a_knob_left_alone_has_the_manifests_default(
    name: str, kernel: KernelBundle, verifier_settings: Settings
) -> None:
    built = verifier_settings.programs.parent / "bpf" / kernel.profile.release
    data = (built / f"{name}.bpf.o").read_bytes()
    knobs = manifest_of(name, verifier_settings).knobs
    defaults = [Argument(name=k.name, value=written(k, k.default)) for k in knobs]
    assert read_programs(data, defaults).data[".rodata"] == read_programs(data).data[".rodata"]
