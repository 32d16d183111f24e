"""What a scheduler is while pods come and go: when control groups have just been made or removed.

A node that rolls something out makes and removes groups all the time. A scheduler that behaves
otherwise for a while after each is never itself then: the other rules are asked about what it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from .conditions import EQ, SLT, ULT, Fact, Question
from .effects import Effect
from .events import Event
from .findings import Finding, Scene, surely
from .influences import is_shared
from .slopes import Slopes
from .terms import Role, Term
from .timebombs import Rule, certain_words, new_findings
from .turns import pause_of
from .weights import accounts

__all__ = ["turns_stay", "while_pods_come_and_go"]

_OF_GROUPS = frozenset(
    {
        *("cgroup_init", "cgroup_exit", "cgroup_prep_move", "cgroup_move", "cgroup_cancel_move"),
        *("cgroup_set_weight", "cgroup_set_bandwidth", "cgroup_set_idle"),
    }
)
_LOADS = frozenset({"init", "init_cids"})
_SHORT_NS = 20_000_000
"""Groups do not come any faster; whoever takes less time to settle is itself in between."""
_FAR_NS = 100_000_000
"""Twenty slices of 5 ms: behind so many is behind everybody on most machines."""


def while_pods_come_and_go(scene: Scene, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    """Q18: nothing is wrong while groups come and go that is not wrong in calm."""
    answers = _lately(scene)
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


def turns_stay(scene: Scene) -> Iterator[Finding]:
    """Q18: that a group has come or gone puts no task far behind where it would be."""
    slopes, placed = Slopes(scene), accounts(scene)
    orders = [
        *((event, "value") for event in scene.behaviour.of("store") if event.name in placed),
        *((event, "vtime") for event in scene.behaviour.of(Effect.INSERT, Effect.SET_VTIME)),
    ]
    lately = _lately(scene).items()
    for event, role in orders:
        order = event.arguments.get(role)
        if order is None or event.operation in _OF_GROUPS or (slopes.of(order) or 0) <= 0:
            continue
        if not all(lately & way or any(_is_new(scene, f) for f in way) for way in event.path):
            continue
        distance = min(_behind(slopes, event, order))
        if distance >= _FAR_NS:
            yield surely(
                f"whoever has not run since a control group came or went is put "
                f"{distance // 10**6} ms behind the clock: where pods come and go that is "
                "everybody who wakes, each time; leave the order as it is, and bring up to date "
                "only what depends on groups",
                "Q18",
                lines=[scene.behaviour.line(event)],
            )


def _behind(slopes: Slopes, event: Event, order: Term) -> Iterator[int]:
    """Yield how far behind the clock an order is at least, on each way; 0 if it cannot be told."""
    for way in event.path:
        yield slopes.static_distance(order, way, least=True) or 0


def _lately(scene: Scene) -> dict[Question, bool]:
    """Return what is answered when a group has come or gone not long ago."""
    answers = {}
    for asked in scene.behaviour.asked:
        pause = pause_of(scene, asked.question)
        if pause is None or pause.length_ns < _SHORT_NS or not isinstance(pause.stamp.value, tuple):
            continue
        writes = scene.influences.all_writes.get(str(pause.stamp.value[0]), ())
        if any(event.operation in _OF_GROUPS for event in writes):
            answers[asked.question] = not pause.over
    return answers


def _is_new(scene: Scene, fact: Fact) -> bool:
    """Say whether a count of changes among groups is another one than a task has kept."""
    (name, a, b), holds = fact
    if name == EQ and not holds:
        return _is_kept(scene, a, b) or _is_kept(scene, b, a)
    return name in (ULT, SLT) and holds and _is_kept(scene, a, b)


def _is_kept(scene: Scene, own: Term, count: Term) -> bool:
    """Say whether a task's own place has what was once a count that only groups' changes move."""
    if own.role is not Role.CELL or is_shared(own) or not is_shared(count):
        return False
    moves = [
        e for e in scene.influences.all_writes.get(_name(count), ()) if e.operation not in _LOADS
    ]
    copied = scene.influences.all_writes.get(_name(own), ())
    return (
        bool(moves)
        and all(event.operation in _OF_GROUPS for event in moves)
        and any(_is_from(event, _name(count)) for event in copied)
    )


def _is_from(event: Event, place: str) -> bool:
    value = event.arguments.get("value")
    return value is not None and _name(value) == place


def _name(term: Term) -> str:
    """Return the name of the place that a term is what was loaded from; empty for others."""
    return str(term.value[0]) if term.role is Role.CELL and isinstance(term.value, tuple) else ""
