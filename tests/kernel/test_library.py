"""Every scheduler of the library on every kernel: loaded, worked under, and taken off again."""

from __future__ import annotations

import pytest

from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.settings import Settings
from support.laboratory import LIBRARY
from support.loader_guest import Case, run_cases


@pytest.fixture(scope="module")
def cases(
    verifier_settings: Settings,
    kernels: tuple[KernelBundle, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, Case]]:
    """What became of each scheduler, by kernel: one guest for each."""
    return {
        bundle.profile.release: run_cases(
            "library-trials.sh",
            LIBRARY,
            kernel=bundle,
            settings=verifier_settings,
            folder=tmp_path_factory.mktemp("library"),
        )
        for bundle in kernels
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
