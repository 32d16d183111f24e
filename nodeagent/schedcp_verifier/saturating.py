"""What a scheduler becomes while nobody sleeps: what only sleepers give back runs out.

On a machine whose tasks all have work for long, nobody wakes, starts or ends. What is counted both
ways in calm may then go one way only. The other rules are asked about where that leads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .conditions import EQ, Fact, Way
from .events import Behaviour, Event
from .findings import Finding, Scene, surely
from .slopes import known_bits
from .terms import Role, Term
from .timebombs import Rule, certain_words, ends, new_findings, shown

__all__ = ["while_nobody_sleeps"]

_OF_SLEEPERS = frozenset(
    {
        *("runnable", "quiescent", "select_cpu", "select_cid", "dequeue"),
        *("init_task", "exit_task", "enable", "disable", "set_weight", "set_cpumask"),
        *("cgroup_init", "cgroup_exit", "cgroup_prep_move", "cgroup_move", "cgroup_cancel_move"),
        *("cgroup_set_weight", "cgroup_set_bandwidth", "cgroup_set_idle"),
        *("cpu_online", "cpu_offline", "cpu_acquire", "cpu_release", "update_idle"),
    }
)
"""Operations that are not called meanwhile."""
_RUNNABLE, _FLAGS = 1, 1
"""Which argument of `stopping` and of `enqueue` tells of sleep."""


def while_nobody_sleeps(scene: Scene, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    """T10: nobody is held back for as long as others have work."""
    busy = Scene(_busy(scene), scene.kernel)
    always = ends(scene)
    answers = {
        question: answer
        for question, (answer, certain) in ends(busy).items()
        if certain and question not in always
    }
    if not answers:
        return
    known = certain_words(scene, rules)
    when = f"while nobody sleeps, once {shown(scene, answers)}"
    for finding in new_findings(scene, rules, answers, known):
        known.add(finding.words)
        yield surely(f"{when}: {finding.words}", "T10", *finding.failures, lines=finding.lines)


def _busy(scene: Scene) -> Behaviour:
    """Return what programs do while nobody sleeps, wakes, comes or goes."""
    events = []
    for event in scene.behaviour.events:
        if event.operation in _OF_SLEEPERS:
            continue
        ways = frozenset(way for way in event.path if not _of_sleep(scene, event, way))
        if ways:
            events.append(replace(event, path=ways))
    return replace(scene.behaviour, events=tuple(events))


def _of_sleep(scene: Scene, event: Event, way: Way) -> bool:
    """Say whether a way is gone only for somebody who sleeps, or who woke."""
    return any(_tells_of_sleep(scene, event.operation, fact) for fact in way)


def _tells_of_sleep(scene: Scene, operation: str, fact: Fact) -> bool:
    (name, a, b), holds = fact
    if name != EQ or b.number is None:
        return False
    if operation == "stopping" and _is_argument(a, _RUNNABLE):
        return (b.number == 0) == holds
    wakeup = scene.kernel.flag("SCX_ENQ_WAKEUP")
    if operation == "enqueue" and a.role is Role.OPERATION and a.value == "&":
        asked = known_bits(a.parts[1])
        return asked == wakeup and _is_argument(a.parts[0], _FLAGS) and (b.number == 0) != holds
    return False


def _is_argument(term: Term, index: int) -> bool:
    while term.role is Role.OPERATION and len(term.parts) in (1, 2):
        others = [part for part in term.parts[1:] if part.number is None]
        if others:
            return False
        term = term.parts[0]
    return term.role is Role.ARGUMENT and isinstance(term.value, tuple) and term.value[1] == index
