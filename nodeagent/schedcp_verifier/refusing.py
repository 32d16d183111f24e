"""Nobody is refused: tasks, groups and moves are let in, and what is returned is 0 or an error."""

from __future__ import annotations

from collections.abc import Iterator

from .arithmetic import signed
from .conditions import EQ, SLT, Fact, Way
from .events import Event
from .findings import Finding, Scene, possibly, surely
from .influences import step_of
from .standings import Standing, may_be_full
from .terms import Role, Term, stripped

__all__ = ["errors_are_errors", "refusals"]

_ASKED = {
    "init_task": ("tasks", ("L13",)),
    "cgroup_init": ("groups", ("R16",)),
    "cpuctl_init": ("groups", ("R16",)),
    "cgroup_prep_move": ("moves between groups", ("R17",)),
    "cpuctl_prep_move": ("moves between groups", ("R17",)),
}
"""By operation: whom it may refuse, and the kinds of failure that this is."""
_ANSWERING = frozenset({*_ASKED, "init", "init_cids"})
_ERRORS = 4095
_HASHES = frozenset({1, 5})
_ROOM = 4096
"""A node is meant for a hundred pods of some tasks each; a table for fewer is sure to be full."""
_AT_WORK = frozenset(
    {"running", *(f"field:task_struct.{name}" for name in ("on_rq", "on_cpu", "__state"))}
)


def errors_are_errors(scene: Scene) -> Iterator[Finding]:
    """L12: what may fail returns 0 or one of the kernel's error numbers, never anything else."""
    for event in scene.behaviour.of("return"):
        if event.operation not in _ANSWERING:
            continue
        low, high = event.arguments["value"].bounds
        if low == high:
            low = high = signed(low, 32)
        above = low >= 0 and 0 < high < 1 << 31
        if above or high < -_ERRORS:
            counted = event.arguments["value"].role is Role.RANGE
            found = possibly if low == 0 and not counted else surely
            yield found(
                f"{event.operation} can return {low if low == high else 'a number above 0'}, which "
                "is no error number: the kernel ends the scheduler; return 0 when all is well, and "
                "-ENOMEM or the like when it is not",
                "L12",
                lines=[scene.behaviour.line(event)],
            )


def refusals(scene: Scene) -> Iterator[Finding]:
    """L13, R16, R17: nobody is refused because of what it is, or of how many there are."""
    tallies = _tallies(scene)
    for event in scene.behaviour.of("return"):
        if event.operation not in _ASKED:
            continue
        answers = [_refused(scene, event, way, tallies) for way in event.path]
        known = [answer for answer in answers if answer is not None]
        if not known:
            continue
        whom, failures = _ASKED[event.operation]
        found = surely if any(known) else possibly
        yield found(
            f"{event.operation} refuses some {whom}: forks fail, pods do not start, or nobody gets "
            "into a container; return 0 and serve them somehow",
            *failures,
            lines=[scene.behaviour.line(event)],
        )


def _refused(scene: Scene, event: Event, way: Way, tallies: frozenset[str]) -> bool | None:
    """Say whether somebody is surely refused on a way, or perhaps; None for nobody."""
    value = stripped(event.arguments["value"])
    if value.number is None:
        answers = [_may_be_full(scene, result) for result in _results(value)]
        return next((answer for answer in answers if answer is not None), None)
    if not value.number:
        return None
    for fact in way:
        (name, a, b), holds = fact
        failed = (name == EQ and not holds) or (name == SLT and holds)
        if failed and b.number == 0 and may_be_full(a):
            return _may_be_full(scene, a)
    if any(_is_crowd(fact, tallies) for fact in way):
        return True
    standing = scene.influences.way_standing(way)
    if standing <= Standing.KERNEL:
        return None
    moves = event.operation.endswith("prep_move")
    busy = moves and any(_AT_WORK & (a.sources | b.sources) for (_, a, b), _ in way)
    return busy or standing is Standing.LASTING


def _results(term: Term, depth: int = 6) -> Iterator[Term]:
    """Yield what calls returned of which a value is computed."""
    if term.role is Role.RESULT:
        yield term
    elif term.role in (Role.OPERATION, Role.CHOICE) and depth:
        for part in term.parts:
            yield from _results(part, depth - 1)


def _is_crowd(fact: Fact, tallies: frozenset[str]) -> bool:
    """Say whether a fact is about how many there are, or chance, within what a node may have."""
    (_, a, b), _ = fact
    sources = a.sources | b.sources
    if "random" in sources:
        return True
    large = b.number is not None and 0 <= signed(b.number) >= _ROOM
    return bool(tallies & sources) and not large


def _may_be_full(scene: Scene, result: Term) -> bool | None:
    """Say whether a store fails when there are as many tasks or groups as a node may have."""
    if result.role is not Role.RESULT or not may_be_full(result) or not result.parts:
        return None
    map_ = scene.behaviour.object.maps.get(str(result.parts[0].value))
    if map_ is None or map_.kind not in _HASHES:
        return None
    return map_.entries < _ROOM


def _tallies(scene: Scene) -> frozenset[str]:
    """Return the places, by source, that somebody counts up or down in."""
    return frozenset(
        f"cell:{name}"
        for name, events in scene.influences.all_writes.items()
        if any(step_of(name, event) for event in events)
    )
