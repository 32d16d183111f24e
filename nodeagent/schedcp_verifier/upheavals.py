"""What a scheduler is while pods come and go: when control groups have just been made or removed.

A node that rolls something out makes and removes groups all the time. A scheduler that behaves
otherwise for a while after each is never itself then: the other rules are asked about what it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from .findings import Finding, Scene, surely
from .timebombs import Rule, certain_words, new_findings
from .turns import pause_of

__all__ = ["while_pods_come_and_go"]

_OF_GROUPS = frozenset(
    {
        *("cgroup_init", "cgroup_exit", "cgroup_prep_move", "cgroup_move", "cgroup_cancel_move"),
        *("cgroup_set_weight", "cgroup_set_bandwidth", "cgroup_set_idle"),
    }
)
_SHORT_NS = 20_000_000
"""Groups do not come any faster; whoever takes less time to settle is itself in between."""


def while_pods_come_and_go(scene: Scene, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    """Q18: nothing is wrong while groups come and go that is not wrong in calm."""
    answers = {}
    for asked in scene.behaviour.asked:
        pause = pause_of(scene, asked.question)
        if pause is None or pause.length_ns < _SHORT_NS or not isinstance(pause.stamp.value, tuple):
            continue
        writes = scene.influences.all_writes.get(str(pause.stamp.value[0]), ())
        if any(event.operation in _OF_GROUPS for event in writes):
            answers[asked.question] = not pause.over
    if not answers:
        return
    known = certain_words(scene, rules)
    for finding in new_findings(scene, rules, answers, known):
        known.add(finding.words)
        yield surely(
            f"while control groups come and go: {finding.words}",
            "Q18",
            *finding.failures,
            lines=finding.lines,
        )
