"""The whole loop on a real cluster, in one act: from a rollout to a proven restoration."""

import pytest

from support.lab import Lab, assert_held

pytestmark = pytest.mark.timeout(2400)


def test_a_scheduler_that_stalls_is_ejected_and_quarantined(lab: Lab) -> None:
    assert_held(lab.demo().survives_a_stall("stall"))
