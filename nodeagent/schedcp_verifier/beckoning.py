"""Who waits is looked at: idle CPUs are told of work, and no queue has to be long to be served."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from .calling import INSERTED
from .conditions import SLT, ULT, Way, joined
from .cpus import name_of
from .effects import Effect
from .events import Event
from .findings import Finding, Placed, Scene, surely
from .queueids import Queue, QueueKind, meet
from .standings import Standing
from .terms import Term, stripped

__all__ = ["claims_are_used", "idle_cpus_called", "short_queues_served"]

_SELECT = frozenset({"select_cpu", "select_cid"})
_WHERE_IT_WAS = frozenset({"previous_cpu", "bpf_get_smp_processor_id", "scx_bpf_this_cid"})
_CLAIMS = frozenset({"scx_bpf_pick_idle_cpu", "scx_bpf_pick_idle_cpu_node"})
_COUNT = "scx_bpf_dsq_nr_queued"


def _is_usual(scene: Scene, inserts: list[Placed]) -> bool:
    """Say whether ordinary tasks are always inserted by one of these, whatever changes."""
    paths = [item.event.path for item in inserts]
    return bool(paths) and scene.standing(reduce(joined, paths)) is Standing.LASTING


def idle_cpus_called(scene: Scene) -> Iterator[Finding]:
    """T06: somebody looks for a CPU that is idle when a task begins to wait in a queue of all."""
    operations = scene.behaviour.object.table.operations
    looks = [e for e in scene.behaviour.of(Effect.ASK_IDLE, Effect.KICK) if not _is_at_home(e)]
    standings = {scene.standing(look.path) for look in looks}
    at_times = not looks or max(standings) is Standing.CHANGING
    if not _SELECT & set(operations) or "update_idle" in operations or not at_times:
        return
    returns = [e for e in scene.behaviour.of("return") if e.operation in _SELECT]
    stays = all(name_of(stripped(e.arguments["value"])) in _WHERE_IT_WAS for e in returns)
    shared = [
        item
        for item in scene.inserts
        if item.event.operation == "enqueue"
        and item.queue.kind in (QueueKind.NUMBER, QueueKind.GLOBAL)
    ]
    if returns and stays and scene.complete and _is_usual(scene, shared):
        seldom = "only now and then somebody looks" if looks else "nobody looks"
        yield surely(
            f"select_cpu leaves every task on the CPU where it was, and {seldom} for an idle one: "
            "CPUs sleep on while tasks wait; use scx_bpf_select_cpu_dfl(), or pick an idle CPU "
            "after each insert and kick it (SCX_KICK_IDLE)",
            "T06",
            lines=scene.lines(shared),
        )


def _is_at_home(look: Event) -> bool:
    """Say whether select_cpu asks about the CPU where a task was, and about no other."""
    cpu = look.arguments.get("cpu")
    return look.operation in _SELECT and cpu is not None and name_of(stripped(cpu)) in _WHERE_IT_WAS


def claims_are_used(scene: Scene) -> Iterator[Finding]:
    """T06: an idle CPU that was claimed, so that nobody else is given it, gets work or is woken."""
    kicked = {stripped(e.arguments["cpu"]) for e in scene.behaviour.of(Effect.KICK)}
    for event in scene.behaviour.of("return"):
        if event.operation not in _SELECT or event.status[:1] == (INSERTED,):
            continue
        answer = stripped(event.arguments["value"])
        for way in event.path:
            claimed = {
                stripped(a)
                for (name, a, b), holds in way
                if name == SLT and b.number == 0 and not holds and name_of(stripped(a)) in _CLAIMS
            }
            if any(cpu is not answer and cpu not in kicked for cpu in claimed):
                yield surely(
                    "select_cpu picks an idle CPU, which is then taken for busy, and neither gives "
                    "it the task nor wakes it: it sleeps on while tasks wait; return that CPU, or "
                    "kick it",
                    "T06",
                    lines=[scene.behaviour.line(event)],
                )
                break


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
