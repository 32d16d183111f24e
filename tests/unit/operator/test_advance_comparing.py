"""A node that sees whether its neighbours wait as much without the scheduler."""

from dataclasses import replace
from datetime import timedelta

from schedcp_api.nodestates import COMPARING_PRESSURE, COMPARISON_SECONDS, RunState
from schedcp_api.runs import RunStage
from support.operator_driver import RULES, Driver
from support.operator_nodes import told
from support.operator_nouns import run


def test_a_promoted_node_that_compares_is_given_the_time_for_that() -> None:
    driver = Driver(run(), nodes=3)
    driver.until(RunStage.PROMOTING)
    name = driver.run.status.nodes[0].name
    driver.now += RULES.soak + RULES.attach + timedelta(minutes=5)
    driver.refresh()
    view = driver.nodes[name]
    word = view.status.assignments[0].replace(
        state=RunState.REFUSED, reason=COMPARING_PRESSURE, since=driver.now
    )
    off = told(
        view.status.replace(attached=(), assignments=(word,), sched_ext_state="disabled"),
        now=driver.now,
    )
    last = timedelta(seconds=COMPARISON_SECONDS)
    for lasts, stage in (
        (timedelta(0), RunStage.PROMOTING),
        (RULES.attach + last, RunStage.PROMOTING),
        (RULES.attach + last + timedelta(seconds=1), RunStage.ROLLING_BACK),
    ):
        now = driver.now
        driver.now += lasts
        driver.refresh()
        driver.nodes[name] = replace(view, status=off.replace(heartbeat_at=driver.now))
        assert driver.observe().status.stage is stage
        driver.now = now
