"""What the demo finds in the objects of a run and of nodes. Pure."""

from __future__ import annotations

import math

from schedcp_api.base import percent_value
from schedcp_api.runs import AttemptResult
from schedcp_lab.errors import LabError
from schedcp_lab.report import Act, Finding
from schedcp_lab.views import NodeView, RunView

__all__ = ["broken_off", "replay_gain", "stall_findings"]

STALL_EXIT_KIND = 1026


def stall_findings(run: RunView, nodes: list[NodeView]) -> tuple[Finding, ...]:
    """Return what has to have become of a scheduler that stalled on a node."""
    status = run.status
    digest = status.attempts[-1].object_digest if status.attempts else None
    exits = [node.status.last_exit for node in nodes if node.status.last_exit]
    stalled = [
        found for found in exits if found.kind == STALL_EXIT_KIND and found.object_digest == digest
    ]
    quarantined = [
        node.name
        for node in nodes
        if any(entry.object_digest == digest for entry in node.status.quarantine)
    ]
    return (
        Finding("the blind one vouched for it", bool(status.token)),
        Finding(
            "the kernel ejected it, and the agent told why",
            bool(stalled),
            stalled[0].message if stalled else "no exit was recorded",
        ),
        Finding("the agent put it into quarantine", bool(quarantined), ", ".join(quarantined)),
        Finding(
            "the run ended with that, and nothing was promoted",
            status.outcome is not None
            and status.outcome.reason == "Ejected"
            and all(tried.result is not AttemptResult.PROMOTED for tried in status.attempts),
            f"{status.outcome.kind}: {status.outcome.reason}" if status.outcome else "",
        ),
    )


def broken_off(title: str, error: LabError) -> Act:
    """Return an act that did not come to its end."""
    finding = Finding("the act came to its end", held=False, seen=str(error))
    return Act(title, "It was broken off.", None, (finding,))


def replay_gain(run: RunView) -> float:
    """Return what the replay said of the last attempt, in percent; nothing said is nothing."""
    attempts = run.status.attempts
    found = attempts[-1].replay_improvement if attempts else None
    return percent_value(found) if found else math.nan
