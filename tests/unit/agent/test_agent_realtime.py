"""When the keeper lifts the agent above the scheduler that it has loaded."""

from schedcp_agent.realtime import Lift, decide


def play(*looks: tuple[float, bool]) -> list[bool]:
    """Return whether the agent is lifted after each look (seconds late, scheduler attached)."""
    lift, found = Lift(), []
    for late, attached in looks:
        lift = decide(lift, late_seconds=late, attached=attached)
        found.append(lift.lifted)
    return found


def test_an_agent_in_time_is_left_alone() -> None:
    assert play((0.2, True), (2.9, True), (-0.5, True)) == [False] * 3


def test_a_late_agent_is_lifted_only_under_a_scheduler() -> None:
    assert play((3.1, False), (3.1, True)) == [False, True]


def test_it_stays_lifted_until_it_has_been_in_time_for_a_while() -> None:
    assert play((4.0, True), *[(0.0, True)] * 10) == [True] * 10 + [False]
    assert play((4.0, True), *[(0.0, True)] * 9, (4.0, True), (0.0, True)) == [True] * 12
