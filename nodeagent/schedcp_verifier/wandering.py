"""Tasks stay where their caches are: a CPU looks into its own queue before others."""

from __future__ import annotations

from collections.abc import Iterator

from .conditions import EQ, Way
from .cpus import TRIES, name_of
from .effects import Effect
from .findings import Finding, Scene, surely
from .standings import Standing
from .turns import turns_of

__all__ = ["own_queue_first"]

_SELDOM = 4
"""Who looks aside once in as many times evens queues out."""
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
