"""A heavier task gets more: in sorted queues weights divide, they do not multiply."""

from __future__ import annotations

from collections.abc import Iterator

from .findings import Finding, Scene, surely
from .terms import Role, Term, linear, stripped

__all__ = ["accounts", "weights_help"]

_WEIGHT = "task_struct.scx.weight"
_DEPTH = 16


def weights_help(scene: Scene) -> Iterator[Finding]:
    """Q04: what a task is ordered by does not grow with its weight."""
    added_up = accounts(scene)
    for item in scene.inserts:
        order = item.event.arguments.get("vtime")
        if order is not None and _direction(order) == 1:
            yield _upside_down(scene.behaviour.line(item.event))
    for event in scene.behaviour.of("store"):
        value = event.arguments["value"]
        if event.name in added_up and _direction(value) == 1 and _is_sum(value):
            yield _upside_down(scene.behaviour.line(event))


def accounts(scene: Scene) -> frozenset[str]:
    """Return the places whose values are added up to what tasks are ordered by."""
    found: set[str] = set()
    waiting = [
        item.event.arguments["vtime"] for item in scene.inserts if "vtime" in item.event.arguments
    ]
    while waiting:
        for place in _added(waiting.pop()):
            if place not in found:
                found.add(place)
                waiting += [
                    event.arguments["value"]
                    for event in scene.influences.writes.get(place, ())
                    if "value" in event.arguments
                ]
    return frozenset(found)


def _added(term: Term) -> Iterator[str]:
    """Yield the places that are terms of a sum, or of one of those that a value may be."""
    atoms, _ = linear(term)
    for atom, factor in atoms.items():
        if atom.role is Role.CHOICE:
            for part in atom.parts:
                yield from _added(part)
        elif factor > 0 and atom.role in (Role.CELL, Role.FIELD) and isinstance(atom.value, tuple):
            yield str(atom.value[0])


def _upside_down(line: str) -> Finding:
    return surely(
        "what tasks are ordered by grows with their weight, so that heavy ones come last: divide "
        "by p->scx.weight where it multiplies",
        "Q04",
        lines=[line],
    )


def _is_sum(value: Term) -> bool:
    """Say whether something is added to what was there: an account, and not a share."""
    value = stripped(value)
    return value.role is Role.OPERATION and value.value == "+"


def _direction(term: Term, depth: int = _DEPTH) -> int | None:
    """Return 1 for a value that grows with the task's weight, -1 for one that shrinks, 0 for none.

    None where it may do either.
    """
    term = stripped(term)
    if not depth:
        return None
    if term.role is Role.FIELD and isinstance(term.value, tuple) and term.value[0] == _WEIGHT:
        return 1
    if f"field:{_WEIGHT}" not in term.sources or term.role is Role.CELL:
        return 0
    if term.role is Role.CHOICE:
        found = {_direction(part, depth - 1) for part in term.parts} - {0}
        return found.pop() if len(found) == 1 else None
    if term.role is not Role.OPERATION or len(term.parts) != 2:
        return None
    a, b = (_direction(part, depth - 1) for part in term.parts)
    if a is None or b is None:
        return None
    match term.value:
        case "+" | "*":
            return a or b if a * b >= 0 else None
        case "-" | "/" | "s/":
            return a or -b if a * b <= 0 else None
        case "<<" | ">>" | "s>>" if not b:
            return a
    return None
