"""Tasks stay where their caches are: CPUs look into their own queues first, tasks go back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from .conditions import EQ, Way, joined
from .cpus import TRIES, name_of
from .effects import CPU_SOURCES, Effect
from .events import Event
from .findings import Finding, Placed, Scene, surely
from .standings import Standing
from .terms import Role, Term, linear, stripped
from .turns import turns_of

__all__ = ["last_place_counts", "own_queue_first"]

_SELDOM = 4
"""Who looks aside once in as many times evens queues out."""
_TASK_STORAGE = 29
_STAYS = (Standing.PINNED, Standing.LASTING)
_LENGTHS = ("scx_bpf_dsq_nr_queued", "scx_bpf_dsq_peek")


def own_queue_first(scene: Scene) -> Iterator[Finding]:
    """Q01: where tasks wait in the queue of their CPU, chance does not decide who serves them."""
    at_home = any(
        item.event.operation == "enqueue"
        and "place" in item.event.arguments["queue"].sources
        and scene.standing(item.event.path) is Standing.LASTING
        for item in scene.inserts
    )
    for event in scene.behaviour.of(Effect.CONSUME) if at_home else ():
        roots = scene.influences.roots(event.arguments["queue"].sources)
        if event.operation != "dispatch" or "random" not in roots:
            continue
        if any(_is_first(way) and turns_of(scene, way) < _SELDOM for way in event.path):
            yield surely(
                "dispatch looks into a queue that chance picks before it looks into its CPU's own: "
                "tasks wander from CPU to CPU, away from their caches; serve the own queue first, "
                "and others once in a while or when it is empty",
                "Q01",
                lines=[scene.behaviour.line(event)],
            )


def _is_first(way: Way) -> bool:
    """Say whether nothing was looked into before, neither for a task nor for how many wait."""
    return not any(
        (name == EQ and holds and name_of(a) in TRIES) or name_of(side).startswith(_LENGTHS)
        for (name, a, b), holds in way
        for side in (a, b)
    )


def last_place_counts(scene: Scene) -> Iterator[Finding]:
    """Q08: whoever goes back to where it was goes to where it was last, not to the place before."""
    for item in scene.inserts:
        if item.event.operation != "enqueue" or not item.queue.is_users:
            continue
        places = [_whole(atom) for atom in linear(item.event.arguments["queue"])[0]]
        before = [cell for cell in places if _is_own(scene, cell) and _is_before_last(scene, cell)]
        if before and _is_usual(scene, item, before[0]):
            yield surely(
                f"tasks go to where they were before the last time ({_name(before[0])}): whoever "
                "has been in two places goes to and fro between them with each turn, away from "
                "its caches; keep the place where it ran last, and go by that",
                "Q08",
                lines=scene.lines([item]),
            )


def _whole(atom: Term) -> Term:
    """Return what a number was before it was cut off at a table's size."""
    cut = atom.role is Role.OPERATION and atom.value in ("&", "%")
    return stripped(atom.parts[0]) if cut and atom.parts[1].number is not None else atom


def _is_usual(scene: Scene, item: Placed, place: Term) -> bool:
    """Say whether nothing else decides that changes, such as how many wait at the last place."""
    return any(
        all(
            {s for s in a.sources | b.sources if not s.startswith("@")} <= place.sources
            or scene.influences.fact_standing(((name, a, b), holds)) in _STAYS
            for (name, a, b), holds in way
        )
        for way in item.event.path
    )


def _is_own(scene: Scene, term: Term) -> bool:
    """Say whether a term is a place in a task's own storage, as other operations left it."""
    if term.role is not Role.CELL or not term.parts or not isinstance(term.value, tuple):
        return False
    root = term.parts[0].value if term.parts[0].role is Role.ENTRY else None
    map_ = scene.behaviour.object.maps.get(str(root[0])) if isinstance(root, tuple) else None
    return map_ is not None and map_.kind == _TASK_STORAGE and not term.value[2]


def _is_before_last(scene: Scene, kept: Term) -> bool:
    """Say whether what is kept is where a task was before the last time."""
    stores = _stores(scene, kept)
    if len(kept.parts) == 1:
        # Moved on from where the last place is kept, which is written anew then.
        values = {event.arguments["value"] for event in stores}
        last = values.pop() if len(values) == 1 else kept
        return (
            last is not kept
            and _is_own(scene, last)
            and len(last.parts) == 1
            and _are_places(scene, _stores(scene, last))
            and _whenever(stores, _stores(scene, last))
        )
    read = _slot_of(kept.parts[1]) if len(kept.parts) == 2 else None
    written = {_slot_of(e.arguments["index"]) if "index" in e.arguments else None for e in stores}
    slot = written.pop() if len(written) == 1 else None
    if read is None or slot is None or (slot.size, slot.count) != (read.size, read.count):
        return False
    counted = list(scene.influences.writes.get(slot.count, ()))
    # When it is read, the count has moved on by one since the last entry was written.
    return (
        _are_places(scene, stores)
        and _whenever(stores, counted)
        and {_step(event) for event in counted} == {1}
        and (slot.ahead - 1 - read.ahead) % slot.size != 0
    )


@dataclass(frozen=True)
class _Slot:
    """An index into a ring: so much ahead of a count, modulo the ring's size."""

    count: str
    ahead: int
    size: int


def _slot_of(index: Term) -> _Slot | None:
    atoms, rest = linear(index)
    if len(atoms) != 1 or rest:
        return None
    (turn,) = atoms
    number = turn.parts[1].number if turn.role is Role.OPERATION and len(turn.parts) == 2 else None
    if number is None or turn.value not in ("&", "%"):
        return None
    counts, ahead = linear(turn.parts[0])
    size = number if turn.value == "%" else number + 1
    is_ring = size > 1 and (turn.value == "%" or not size & number)
    if len(counts) != 1 or set(counts.values()) != {1} or not is_ring:
        return None
    return _Slot(_name(next(iter(counts))), ahead, size)


def _step(event: Event) -> int | None:
    """Return by how much a store changes what was in its place."""
    atoms, step = linear(event.arguments["value"])
    return step if [_name(atom) for atom in atoms] == [event.name] else None


def _are_places(scene: Scene, stores: list[Event]) -> bool:
    """Say whether what is stored is where a task is, or a number for want of one."""
    values = [event.arguments["value"] for event in stores]
    found = [bool(CPU_SOURCES & scene.influences.roots(value.sources)) for value in values]
    others = [value for value, is_place in zip(values, found, strict=True) if not is_place]
    return any(found) and all(value.number is not None for value in others)


def _whenever(first: list[Event], second: list[Event]) -> bool:
    """Say whether an operation makes the second stores when it makes the first, and no other."""
    operations = {event.operation for event in (*first, *second)}
    if not second or len(operations) != 1 or "enqueue" in operations:
        return False
    always = reduce(joined, (event.path for event in second))
    return all(any(other <= way for other in always) for event in first for way in event.path)


def _stores(scene: Scene, cell: Term) -> list[Event]:
    return [e for e in scene.influences.writes.get(_name(cell), ()) if "value" in e.arguments]


def _name(term: Term) -> str:
    """Return the name of the place that a term is what was loaded from; empty for others."""
    return str(term.value[0]) if term.role is Role.CELL and isinstance(term.value, tuple) else ""
