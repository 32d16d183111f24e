"""Who yields lets others go first."""

from __future__ import annotations

from collections.abc import Iterator

from .effects import Effect
from .events import Event
from .findings import Finding, Scene, surely
from .slopes import known_bits
from .standings import Standing

__all__ = ["yielders_last", "yields_count"]

_YIELD = "yield"
_SLICE = "task_struct.scx.slice"


def yields_count(scene: Scene) -> Iterator[Finding]:
    """T15: yield ends the slice, or has the CPU look for somebody else."""
    if _YIELD not in scene.behaviour.object.table.operations or not scene.complete:
        return
    events = scene.behaviour.within(_YIELD)
    if any(event.what is Effect.KICK for event in events):
        return
    stores = [e for e in events if e.what is Effect.SET_SLICE or e.name == _SLICE]
    if all(_slice_of(event) > 0 for event in stores):
        yield surely(
            "yield leaves the task a slice and goes on: whoever yields in a loop until another has "
            "run keeps the CPU; set p->scx.slice to 0, or leave yield to the kernel",
            "T15",
            lines=scene.behaviour.lines(stores),
        )


def _slice_of(event: Event) -> int:
    """Return the least that a slice is set to."""
    value = event.arguments["slice" if event.what is Effect.SET_SLICE else "value"]
    return value.bounds[0]


def yielders_last(scene: Scene) -> Iterator[Finding]:
    """T15: having yielded is no reason to go to the head of a queue."""
    head = scene.kernel.flag("SCX_ENQ_HEAD") or 0
    for item in scene.inserts:
        if not known_bits(item.event.arguments["flags"]) & head or not item.queue.is_users:
            continue
        if scene.standing(item.event.path) is Standing.EXCEPTION:
            continue
        asked = {
            source.removeprefix("cell:")
            for way in item.event.path
            for (_, a, b), _ in way
            for source in a.sources | b.sources
            if source.startswith("cell:")
        }
        if any(_by_yield_alone(scene, name) for name in asked):
            yield surely(
                f"who has yielded goes to the head of {item.queue}, has its turn back at once, and "
                "yields again: insert without SCX_ENQ_HEAD",
                "T15",
                lines=scene.lines([item]),
            )


def _by_yield_alone(scene: Scene, name: str) -> bool:
    """Say whether a place is set by yield, and only ever cleared by others."""
    setters = {
        event.operation
        for event in scene.influences.writes.get(name, ())
        if "value" in event.arguments and event.arguments["value"].number != 0
    }
    return setters == {_YIELD}
