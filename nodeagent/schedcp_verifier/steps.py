"""What a store does to a place: a step up or down, twice or half of it, bits set or cleared.

Pure. A store that is none of these may be anything: the place comes and goes.
"""

from __future__ import annotations

from dataclasses import dataclass

from .arithmetic import MASK
from .conditions import SLT, ULT, Way, refined
from .events import Event
from .findings import Scene
from .terms import Role, Term, linear, stripped

__all__ = ["GROWING", "Step", "guard", "is_cell", "step_of_store", "stops_elsewhere"]

GROWING = frozenset(
    f"task_struct.{name}"
    for name in ("se.sum_exec_runtime", "nvcsw", "nivcsw", "utime", "stime", "se.nr_migrations")
)
_LEFT = "task_struct.scx.slice"
_USED = frozenset({"time", f"field:{_LEFT}", "field:task_struct.se.sum_exec_runtime"})
"""What is added up of these is time that passed."""


@dataclass(frozen=True)
class Step:
    """What one store does to a place."""

    kind: str
    """`up`, `down`, `double`, `halve`, `set` or `clear`; `none` for a store of what was there."""
    by: int = 0
    """By how much, or which bits; 0 for what is not known."""
    certain: bool = True


def step_of_store(scene: Scene, name: str, event: Event) -> Step | None:
    """Return what a store does to a place, None when it may be anything."""
    value = event.arguments.get("value")
    return _step_of(scene, name, event, value) if value is not None else None


def _step_of(scene: Scene, name: str, event: Event, value: Term) -> Step | None:
    value = stripped(value)
    if is_cell(value, name):
        return Step("none")
    if value.role is Role.CHOICE:
        return _one_of(scene, name, event, value)
    if value.role is Role.OPERATION and len(value.parts) == 2:
        step = _of_operation(scene, name, event, value)
        if step is not None:
            return step
    atoms, constant = linear(value)
    own = [atom for atom in atoms if is_cell(atom, name)]
    if not own:
        return _replaced(name, event, value)
    more = {atom: count for atom, count in atoms.items() if atom is not own[0]}
    if len(own) > 1 or any(f"cell:{name}" in atom.sources for atom in more):
        return None
    factor = atoms[own[0]]
    if more:
        return _added(scene, more, constant) if factor == 1 else None
    if factor == 1:
        return Step("up" if constant > 0 else "down", abs(constant))
    power_of_two = factor > 1 and not factor & (factor - 1)
    return Step("double", factor) if power_of_two and not constant else None


def _one_of(scene: Scene, name: str, event: Event, value: Term) -> Step | None:
    steps = [_step_of(scene, name, event, part) for part in value.parts]
    kinds = {step.kind for step in steps if step is not None} - {"none"}
    if None in steps or len(kinds) != 1:
        return None
    by = {step.by for step in steps if step is not None and step.kind != "none"}
    return Step(kinds.pop(), by.pop() if len(by) == 1 else 0)


def _of_operation(scene: Scene, name: str, event: Event, value: Term) -> Step | None:
    first, second = value.parts
    if not is_cell(stripped(first), name):
        first, second = second, first
        if value.value not in ("|", "&") or not is_cell(stripped(first), name):
            return _in_bytes(scene, name, event, value)
    number = second.number
    match value.value:
        case "|":
            return Step("set", number or 0)
        case "&":
            return Step("clear", ~number & MASK if number is not None else 0)
        case ">>" | "/" if number:
            return Step("halve", number if value.value == "/" else 1 << number)
    return None


def _in_bytes(scene: Scene, name: str, event: Event, value: Term) -> Step | None:
    """Return the step of a place of one or two bytes that does not start over."""
    inner, mask = value.parts
    if value.value != "&" or mask.number not in (0xFF, 0xFFFF):
        return None
    step = _step_of(scene, name, event, inner)
    bounds = guard(name, event)
    if step is None or step.kind not in ("up", "down", "halve"):
        return None
    if step.kind == "up":
        return step if step.by and bounds[1] + step.by <= mask.number else None
    return step if step.kind == "halve" or bounds[0] >= step.by > 0 else None


def _added(scene: Scene, more: dict[Term, int], constant: int) -> Step | None:
    """Return the step by something that is no number."""
    sign = _elapsed(scene, more) or _used(more, constant)
    if sign:
        return Step("up" if sign > 0 else "down")
    up, down = min(more.values()) > 0, max(more.values()) < 0
    if (up and constant >= 0) or (down and constant <= 0):
        roots = scene.influences.roots(s for atom in more for s in atom.sources)
        always = any(atom.bounds[0] > 0 for atom in more) or constant != 0
        return Step("up" if up else "down", 0, always or bool(roots & _USED))
    return None


def _replaced(name: str, event: Event, value: Term) -> Step | None:
    """Return the step of a store of the greater, or of the smaller, of two values."""
    directions = {_direction(name, way, value) for way in event.path}
    if len(directions) != 1 or directions <= {None}:
        return None
    (direction,) = directions
    return Step(str(direction), 0, value.role is Role.RESULT and "time" in value.sources)


def _passes(atom: Term) -> bool:
    """Say whether a value is the time, or what a task has used so far."""
    if atom.role is Role.FIELD and isinstance(atom.value, tuple):
        return str(atom.value[0]) in GROWING
    return atom.role is Role.RESULT and "time" in atom.sources


def _elapsed(scene: Scene, more: dict[Term, int]) -> int:
    """Return the sign of time that passed since a moment that was written down, or 0."""
    now = [atom for atom in more if _passes(atom)]
    since = [atom for atom in more if atom not in now]
    if len(now) != 1 or len(since) != 1 or more[now[0]] != -more[since[0]]:
        return 0
    place = since[0].value
    if since[0].role is not Role.CELL or not isinstance(place, tuple):
        return 0
    events = scene.influences.all_writes.get(str(place[0]), ())
    values = [event.arguments.get("value") for event in events]
    written = [value for value in values if value is not None and value.number is None]
    return more[now[0]] if written and all(_passes(value) for value in written) else 0


def _used(more: dict[Term, int], constant: int) -> int:
    """Return the sign of what was used of a slice of a fixed length, or 0."""
    if len(more) != 1:
        return 0
    ((atom, count),) = more.items()
    left = atom.role is Role.FIELD and isinstance(atom.value, tuple) and atom.value[0] == _LEFT
    return -count if left and count * constant < 0 else 0


def _direction(name: str, way: Way, value: Term) -> str | None:
    """Return which way a store goes that is made after a look at which is greater."""
    for (asked, a, b), holds in way:
        if asked not in (ULT, SLT) or value not in (a, b):
            continue
        other = b if value is a else a
        if is_cell(stripped(other), name):
            return "up" if (other is a) == holds else "down"
    return None


def is_cell(term: Term, name: str) -> bool:
    """Say whether a term is what was loaded from a place."""
    return term.role is Role.CELL and isinstance(term.value, tuple) and term.value[0] == name


def guard(name: str, event: Event) -> tuple[int, int]:
    """Return within which bounds a place is when it is stored to."""
    found = []
    for way in event.path:
        low, high = 0, MASK
        for (_, a, _), _ in way:
            if is_cell(stripped(a), name):
                least, most = refined(a, way)
                low, high = max(low, least), min(high, most)
        found.append((low, high))
    return min(low for low, _ in found), max(high for _, high in found)


def stops_elsewhere(name: str, event: Event) -> bool:
    """Say whether steps depend on a comparison of which `guard` tells nothing."""
    value, own = event.arguments["value"], f"cell:{name}"
    replaced = own not in value.sources
    return any(
        asked in (ULT, SLT)
        and own in (a.sources | b.sources)
        and not (replaced and value in (a, b))
        and (b.number is None or not is_cell(stripped(a), name))
        for way in event.path
        for (asked, a, b), _ in way
    )
