"""AwaitingApproval: a person says yes to one candidate, before the canary or after it."""

from datetime import datetime

from schedcp_api.runs import RunStage

from ..events import Event, Observed, Transition
from ..views import Rules, Run
from .common import enter, enter_promoting, node_failure, roll_back, stay
from .signing import approval_message


def awaiting_approval(
    run: Run,
    event: Event,
    *,
    now: datetime,
    rules: Rules,
) -> Transition:
    """Go on once the run's annotation names this very candidate.

    After the canary its nodes are still assigned: what an agent says of them counts as before.
    """
    if not isinstance(event, Observed):
        return Transition(run.status)
    failed = node_failure(run, event.world, now=now, rules=rules)
    if failed is not None:
        return roll_back(run, failed, now=now)
    if event.world.approved != run.attempt.candidate_digest:
        return stay(run, approval_message(run))
    measured = run.attempt.outcome
    if measured is None:
        return Transition(enter(run, RunStage.CANARY, now=now))
    return Transition(enter_promoting(run, now=now, message=measured.message))
