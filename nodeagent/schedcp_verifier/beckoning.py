"""Who waits is looked at: idle CPUs are told of work, and no queue has to be long to be served."""

from __future__ import annotations

from collections.abc import Iterator

from .conditions import SLT, ULT, Way
from .cpus import name_of
from .effects import Effect
from .findings import Finding, Scene, surely
from .queueids import Queue, QueueKind, meet
from .standings import Standing
from .terms import Term, stripped

__all__ = ["idle_cpus_called", "short_queues_served"]

_SELECT = frozenset({"select_cpu", "select_cid"})
_WHERE_IT_WAS = frozenset({"previous_cpu", "bpf_get_smp_processor_id", "scx_bpf_this_cid"})
_COUNT = "scx_bpf_dsq_nr_queued"


def idle_cpus_called(scene: Scene) -> Iterator[Finding]:
    """T06: somebody looks for a CPU that is idle when a task begins to wait in a queue of all."""
    operations = scene.behaviour.object.table.operations
    looks = scene.behaviour.of(Effect.ASK_IDLE, Effect.KICK)
    if not _SELECT & set(operations) or "update_idle" in operations or looks:
        return
    returns = [e for e in scene.behaviour.of("return") if e.operation in _SELECT]
    stays = all(name_of(stripped(e.arguments["value"])) in _WHERE_IT_WAS for e in returns)
    shared = [
        item
        for item in scene.inserts
        if item.event.operation == "enqueue"
        and item.queue.kind in (QueueKind.NUMBER, QueueKind.GLOBAL)
        and scene.standing(item.event.path) is Standing.LASTING
    ]
    if returns and stays and shared and scene.complete:
        yield surely(
            "select_cpu leaves every task on the CPU where it was, and nobody looks for an idle "
            "one: CPUs sleep on while tasks wait; use scx_bpf_select_cpu_dfl(), or pick an idle "
            "CPU after the insert and kick it (SCX_KICK_IDLE)",
            "T06",
            lines=scene.lines(shared),
        )


def short_queues_served(scene: Scene) -> Iterator[Finding]:
    """T01, T13: a queue is served, however few wait there."""
    for queue in dict.fromkeys(item.queue for item in scene.inserts if item.queue.is_users):
        takers = [t for t in scene.consumers if meet(t.queue, queue) is not False]
        feeders = [
            item
            for item in scene.inserts
            if meet(item.queue, queue) and scene.standing(item.event.path) > Standing.EXCEPTION
        ]
        ways = [way for taker in takers for way in taker.event.path]
        if not ways or not feeders or not scene.complete:
            continue
        if all(_wants_many(scene, queue, way) for way in ways):
            yield surely(
                f"queue {queue} is served only while so many wait there: the last few wait for "
                "ever; serve it whenever there is somebody",
                "T01",
                "T13",
                lines=scene.lines([*takers, *feeders]),
            )


def _wants_many(scene: Scene, queue: Queue, way: Way) -> bool:
    """Say whether a way is gone only when more than one task waits in a queue."""
    return any(
        name in (ULT, SLT) and not holds and (b.number or 0) > 1 and _is_count(scene, a, queue)
        for (name, a, b), holds in way
    )


def _is_count(scene: Scene, term: Term, queue: Queue) -> bool:
    term = stripped(term)
    return name_of(term) == _COUNT and any(
        meet(found, queue) is True for found in scene.queues(term.parts[0])
    )
