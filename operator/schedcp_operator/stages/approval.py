"""AwaitingApproval: a person says yes to one candidate, before the canary or after it."""

from datetime import datetime

from schedcp_api.runs import RunStage

from ..events import Event, Observed, Transition
from ..views import Rules, Run
from .common import enter, enter_promoting, stay
from .signing import approval_message


def awaiting_approval(
    run: Run,
    event: Event,
    *,
    now: datetime,
    rules: Rules,  # noqa: ARG001
) -> Transition:
    """Go on once the run's annotation names this very candidate."""
    if not isinstance(event, Observed):
        return Transition(run.status)
    if event.world.approved != run.attempt.candidate_digest:
        return stay(run, approval_message(run))
    measured = run.attempt.outcome
    if measured is None:
        return Transition(enter(run, RunStage.CANARY, now=now))
    return Transition(enter_promoting(run, now=now, message=measured.message))
