"""Tiers: the folder is the marker. A tier named by `--require` fails when its tools are missing."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine, not of the code.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

pytest_plugins = ("support.kernel_fixtures",)

TIERS = ("unit", "kube", "kernel", "e2e")
ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require",
        default="",
        help="comma-separated tiers whose missing tools are failures: kube,kernel,e2e",
    )


@pytest.fixture(scope="session")
def required_tiers(request: pytest.FixtureRequest) -> frozenset[str]:
    """The tiers that must run here."""
    named = frozenset(filter(None, request.config.getoption("--require").split(",")))
    unknown = named - set(TIERS)
    if unknown:
        raise pytest.UsageError(f"--require knows {', '.join(TIERS)}, not {', '.join(unknown)}")
    return named


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return ROOT
