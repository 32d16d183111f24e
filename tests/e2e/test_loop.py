"""The loop's safety on a real cluster: from a rollout to a proven restoration, in two acts.

That it keeps what helps is in test_survival.py, which `make test` leaves out for its length.

Both acts share one cluster, and leave every node on the kernel's own scheduler.
"""

import pytest

from support.lab import Lab, assert_held

pytestmark = pytest.mark.timeout(2400)


def test_a_scheduler_that_stalls_is_ejected_and_quarantined(lab: Lab) -> None:
    assert_held(lab.demo().survives_a_stall("stall"))


def test_a_scheduler_that_hurts_is_rolled_back(lab: Lab) -> None:
    act = lab.demo().rolls_back("hurts")
    lab.delete_policy("hurts")
    assert_held(act)
