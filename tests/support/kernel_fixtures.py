"""What the kernel tier needs: kernel bundles, programs of the guest, QEMU; from `make setup`.

A plugin of the whole session, because proofs begin with it: they take long, and other tiers leave
CPUs idle.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from schedcp_verifier.errors import KernelUnavailable
from schedcp_verifier.kernels import KernelBundle, KernelShelf
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier
from support.laboratory import PARALLEL_GUESTS, Laboratory, require_second_series, unfit

STAND_BACK = 19
"""How nice guests are that run while other tests do: nicer than the tests of `side_by_side.sh` that
stand back. Those are done one by one and would end last, with one CPU idle; guests take both."""


@pytest.fixture(scope="session", autouse=True)
def _proofs_begin_early(request: pytest.FixtureRequest, required_tiers: frozenset[str]) -> None:
    """Have the laboratory begin before the first test, where a test is going to ask it."""
    asked = any("laboratory" in getattr(item, "fixturenames", ()) for item in request.session.items)
    if asked and "kernel" in required_tiers:
        request.getfixturevalue("laboratory")


def _stand_back() -> None:
    """Make a thread, and the guests that it starts, take only what other tests leave."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), STAND_BACK)


@pytest.fixture(scope="session")
def verifier_settings(repository: Path, required_tiers: frozenset[str]) -> Settings:
    """Settings for this checkout, or the reason why this tier cannot run."""
    settings = Settings(
        schedulers_dir=repository / "schedulers", kernels_dir=repository / ".cache" / "kernels"
    )
    for tool in (settings.qemu, settings.clang, settings.llvm_strip):
        if shutil.which(tool) is None:
            unfit(f"{tool} is not installed", required_tiers)
    for program in ("schedcp-loader", "workload", "metronome", "heartbeat", "trials"):
        if not (settings.programs / program).is_file():
            unfit(f"{program} is not built", required_tiers)
    return settings


@pytest.fixture(scope="session")
def kernels(
    verifier_settings: Settings, required_tiers: frozenset[str]
) -> tuple[KernelBundle, ...]:
    """Every kernel bundle of this checkout, of both series where the tier is required."""
    try:
        bundles = KernelShelf(verifier_settings.kernels_dir).bundles()
    except KernelUnavailable as error:
        unfit(str(error), required_tiers)
    if not bundles:
        unfit("there is no kernel bundle", required_tiers)
    require_second_series([bundle.profile.release for bundle in bundles], required_tiers)
    return bundles


@pytest.fixture(scope="session")
def kernel(verifier_settings: Settings, kernels: tuple[KernelBundle, ...]) -> KernelBundle:
    """The newest kernel, which the nodes of the lab run."""
    assert kernels
    return KernelShelf(verifier_settings.kernels_dir).newest()


@pytest.fixture(scope="session")
def laboratory(
    request: pytest.FixtureRequest, verifier_settings: Settings, kernel: KernelBundle
) -> Iterator[Laboratory]:
    """The laboratory, at work on every source that a selected test asks about."""
    verifier = Verifier.from_settings(verifier_settings)
    with ThreadPoolExecutor(PARALLEL_GUESTS, initializer=_stand_back) as pool:
        found = Laboratory(verifier, kernel, pool)
        begin_by_parameter: dict[str, Callable[[Any], object]] = {
            "source_path": found.begin,
            "library_name": lambda name: found.begin_library(name, kernel),
            "keeper_name": found.begin_keeper,
            "soaked_path": found.begin_main_guest,
            "coursed": lambda coursed: found.begin_course(*coursed),
        }
        for item in request.session.items:
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            for name in parameters.keys() & begin_by_parameter.keys():
                begin_by_parameter[name](parameters[name])
        yield found
        verifier.guests.stopping.set()
        pool.shutdown(cancel_futures=True)
