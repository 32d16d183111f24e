"""What a task is charged beside its run time has a bound: a price does not grow for ever."""

from __future__ import annotations

from collections.abc import Iterator

from .conditions import SLT, ULT, Way
from .events import Event
from .findings import Finding, Scene, possibly, surely
from .terms import Role, Term, linear

__all__ = ["charges_end"]

_ENDLESS = 1 << 62
_TIMES = frozenset({"time", "field:task_struct.scx.slice", "field:task_struct.se.sum_exec_runtime"})
"""What an account of run time is made of."""


def charges_end(scene: Scene) -> Iterator[Finding]:
    """T15: what is added to an account in time does not grow with how often that was done."""
    for event in scene.behaviour.of("store"):
        prices = [count for count in _prices(event) if _grows(scene, count)]
        if not prices or not _TIMES & scene.influences.roots({f"cell:{event.name}"}):
            continue
        count = prices[0]
        # Who goes on for long enough has any price to pay, unless the clock starts the count over.
        found = possibly if _starts_over_by_clock(scene, count) else surely
        yield found(
            f"what is added to {event.name} grows each time, with {_name(count)}, and has no end: "
            "whoever does it without a pause, such as a task that forks and forks, is behind all "
            "others for ever; put a bound to the count, or to what it costs",
            "T15",
            lines=[scene.behaviour.line(event)],
        )


def _prices(event: Event) -> list[Term]:
    """Return the counts of which a multiple is added to what was in a place, if nothing else is."""
    value = event.arguments["value"]
    atoms, _ = linear(value)
    before = [atom for atom in atoms if _name(atom) == event.name]
    others = [atom for atom in atoms if atom not in before]
    if len(before) != 1 or atoms[before[0]] != 1 or value.bounds[1] < _ENDLESS:
        return []
    counts = all(atom.role is Role.CELL and atoms[atom] > 0 for atom in others)
    return others if counts else []


def _grows(scene: Scene, count: Term) -> bool:
    """Say whether a place is nothing but a count, which no program keeps below a bound."""
    counting = False
    for event in _stores(scene, count):
        atoms, step = linear(event.arguments["value"])
        if not atoms:
            continue
        own = len(atoms) == 1 and all(
            atom.role is Role.CELL and _name(atom) == event.name and factor == 1
            for atom, factor in atoms.items()
        )
        if not own or step <= 0 or not all(_is_free(event.name, way) for way in event.path):
            return False
        counting = True
    return counting


def _is_free(place: str, way: Way) -> bool:
    """Say whether no fact of a way bounds what is in a place."""
    return not any(name in (ULT, SLT) and place in (_name(a), _name(b)) for (name, a, b), _ in way)


def _starts_over_by_clock(scene: Scene, count: Term) -> bool:
    return any(
        event.arguments["value"].number is not None
        and any(
            "time" in scene.influences.roots(a.sources | b.sources)
            for way in event.path
            for (_, a, b), _ in way
        )
        for event in _stores(scene, count)
    )


def _stores(scene: Scene, cell: Term) -> list[Event]:
    return [event for event in scene.behaviour.of("store") if event.name == _name(cell)]


def _name(term: Term) -> str:
    """Return the name of the place that a term is, or is a sum with."""
    atoms, _ = linear(term)
    places = [a.value for a in atoms if a.role in (Role.CELL, Role.FIELD)]
    names = [str(place[0]) for place in places if isinstance(place, tuple)]
    return names[0] if len(names) == 1 else ""
