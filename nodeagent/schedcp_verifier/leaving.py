"""CPUs go off line: what waits in their queues is not taken for gone with them."""

from __future__ import annotations

from collections.abc import Iterator

from .conditions import Way
from .cpus import name_of
from .effects import Effect
from .findings import Finding, Placed, Scene, surely
from .queueids import meet

__all__ = ["queues_left_empty"]

_OFFLINE = "cpu_offline"
_LOOKS = ("scx_bpf_dsq_nr_queued", "scx_bpf_dsq_peek", "scx_bpf_dsq_move", "scx_bpf_consume")


def queues_left_empty(scene: Scene) -> Iterator[Finding]:
    """R15: a queue that is destroyed when its CPU goes was emptied, or looked into, before."""
    for gone in scene.placed(Effect.DESTROY):
        if gone.event.operation != _OFFLINE or all(_looked(way) for way in gone.event.path):
            continue
        feeders = [item for item in scene.inserts if _may_be_in(item, gone)]
        emptied = any(
            event.operation == _OFFLINE for event in scene.behaviour.of(Effect.MOVE, Effect.CONSUME)
        )
        if feeders and not emptied:
            yield surely(
                f"cpu_offline destroys queue {gone.queue}, in which tasks may be waiting: the "
                "kernel ends a scheduler for that; leave the queue, which other CPUs empty, or "
                "move its tasks first",
                "R15",
                lines=scene.lines([gone, *feeders]),
            )


def _may_be_in(item: Placed, gone: Placed) -> bool:
    return item.queue.is_users and meet(item.queue, gone.queue) is not False


def _looked(way: Way) -> bool:
    """Say whether somebody asked first what is in the queue."""
    return any(name_of(a).startswith(_LOOKS) for (_, a, _), _ in way)
