"""The loop and its safety on a real cluster: what stalls is ejected, what hurts goes, what helps
stays.

That the loop survives kills and outages is in test_survival.py, which `make test` leaves out for
its length. The tests share one cluster, and leave every node on the kernel's own scheduler.
"""

from pathlib import Path

import pytest

from schedcp_api.runs import AttemptResult, OutcomeKind
from support.lab import Lab, assert_held, begun_again

pytestmark = pytest.mark.timeout(2400)

STARTS_SECONDS = 300.0
ENDS_SECONDS = 1800.0
HELPS = "schedcp_latency_class"


def test_a_scheduler_that_stalls_is_ejected_and_quarantined(lab: Lab) -> None:
    assert_held(lab.demo().survives_a_stall("stall"))


@begun_again
def test_what_hurts_is_rolled_back_and_what_helps_is_promoted(lab: Lab, data: Path) -> None:
    """In one run; then the policy is deleted, and every node is restored."""
    lab.clear()
    with lab.policy(data / "both.yaml") as policy:
        lab.roll_out()
        lab.wait(lambda: bool(lab.api.runs(policy)), "a run starts", seconds=STARTS_SECONDS)
        lab.wait(lambda: lab.run_of(policy).finished, "the run ends", seconds=ENDS_SECONDS)
        status = lab.run_of(policy).status
        hurts, helps = status.attempts
        assert hurts.result is AttemptResult.ROLLED_BACK, hurts
        assert hurts.outcome is not None
        assert hurts.outcome.kind is OutcomeKind.WORSE, hurts.outcome
        assert helps.result is AttemptResult.PROMOTED, helps
        assert status.outcome is not None
        assert status.outcome.kind is OutcomeKind.IMPROVED, status.outcome
        lab.assert_promoted(HELPS)
    lab.wait_default()
