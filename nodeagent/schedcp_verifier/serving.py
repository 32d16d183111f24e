"""Dispatch serves whoever waits: it does not leave a CPU idle, and does not keep the one before."""

from __future__ import annotations

from collections.abc import Iterator

from .calling import DISPATCHING
from .conditions import EQ, Way
from .cpus import TRIES, name_of
from .effects import Effect
from .events import TIMER, Event
from .findings import Finding, Scene, possibly, surely
from .queueids import Queue, meet
from .scaling import brings_bound_tasks
from .standings import Standing
from .terms import Role, Term

__all__ = ["first_only", "nobody_kept", "nobody_put_back", "served_when_busy", "somebody_served"]

_STATE_OF_QUEUES = frozenset({"queue", "iterator", "slots"})
_PREVIOUS = "argument:previous_task"
_PLACE = frozenset({"place", "argument:this_cpu"})
_SLICE = "task_struct.scx.slice"
_SHORT_NS = 100_000


def somebody_served(scene: Scene) -> Iterator[Finding]:
    """Q02, Q03, T10: a CPU without work has looked into every queue."""
    queues = [
        queue
        for queue in dict.fromkeys(item.queue for item in scene.inserts)
        if queue.is_users and not queue.atoms and _is_filled(scene, queue)
    ]
    if not scene.consumers:
        return
    for event in scene.behaviour.of("return"):
        if event.operation != "dispatch" or event.status[:1] != (DISPATCHING,):
            continue
        for queue in queues:
            for way in event.path:
                yield from _left_idle(scene, event, queue, way)


def _is_filled(scene: Scene, queue: Queue) -> bool:
    return any(
        meet(item.queue, queue) and scene.standing(item.event.path) > Standing.EXCEPTION
        for item in scene.inserts
    )


def _left_idle(scene: Scene, event: Event, queue: Queue, way: Way) -> Iterator[Finding]:
    tried = event.status[1]
    if not isinstance(tried, frozenset) or None in tried:
        return
    last = event.arguments["value"]
    if not all(effect is Effect.ITERATE or _found_empty(term, way, last) for effect, term in tried):
        return
    for _, term in tried:
        if any(meet(found, queue) is not False for found in scene.queues(term)):
            return
    roots = scene.influences.roots(s for (_, a, b), _ in way for s in a.sources | b.sources)
    if roots & _STATE_OF_QUEUES and not _only_tries(way):
        return
    if _PREVIOUS in roots or roots & _PLACE & _deciding(way):
        return
    standing = scene.influences.way_standing(way)
    if standing in (Standing.EXCEPTION, Standing.KERNEL):
        return
    words = (
        f"dispatch can end with nothing for its CPU without having looked into queue {queue}: "
        "tasks wait there beside an idle CPU; try every queue before giving up"
    )
    certain = standing is Standing.LASTING or _by_chance_or_turn(scene, way)
    found = surely if certain and not _holds_limited_ones(scene, queue) else possibly
    yield found(words, "Q02", "Q03", "T10", lines=[scene.behaviour.line(event)])


def _holds_limited_ones(scene: Scene, queue: Queue) -> bool:
    """Say whether a queue may be for groups at their limit, whom a timer lets go on."""
    heeds = "cgroup_set_bandwidth" in scene.behaviour.object.table.operations
    return heeds and any(
        taker.event.operation == TIMER and meet(taker.queue, queue) is not False
        for taker in scene.consumers
    )


def _by_chance_or_turn(scene: Scene, way: Way) -> bool:
    """Say whether a way is gone by chance or every so many times, whatever happens."""
    counted = {f"cell:{name}" for name in scene.influences.counters}
    return all(
        "random" in (a.sources | b.sources)
        or (a.role is Role.OPERATION and _is_turn(scene, a, counted))
        or scene.influences.fact_standing(((name, a, b), holds)) is Standing.LASTING
        for (name, a, b), holds in way
    )


def _is_turn(scene: Scene, term: Term, counted: set[str]) -> bool:
    """Say whether a value goes by nothing but how often something has happened."""
    others = term.sources - counted
    return bool(counted & term.sources) and not scene.influences.varies(others)


def _found_empty(tried: Term, way: Way, last: Term) -> bool:
    """Say whether a queue was tried and had nothing, or was tried last and nobody asked."""
    if last.role is Role.RESULT and name_of(last) in TRIES and tried in last.parts:
        return not any(name == EQ and a is last and not holds for (name, a, _), holds in way)
    # A queue that is tried more than once can be empty first and give a task then.
    empty = {
        holds
        for (name, a, b), holds in way
        if name == EQ and b.number == 0 and a.role is Role.RESULT and tried in a.parts
    }
    return empty == {True}


def _only_tries(way: Way) -> bool:
    """Say whether queues are asked about by trying them only."""
    return not any(
        name_of(a) in ("scx_bpf_dsq_nr_queued", "scx_bpf_dsq_peek") or "iterator" in a.sources
        for (_, a, _), _ in way
    )


def _deciding(way: Way) -> frozenset[str]:
    """Return what the facts of a way are about, but for those about queues that were tried."""
    found: frozenset[str] = frozenset()
    for (_, a, b), _ in way:
        if not (a.role is Role.RESULT and name_of(a).startswith(("scx_bpf_dsq_move", "before"))):
            found |= a.sources | b.sources
    return found


def nobody_kept(scene: Scene) -> Iterator[Finding]:
    """T07: neither tick nor dispatch gives a running task slice after slice while others wait."""
    for event in scene.behaviour.of("store", Effect.SET_SLICE):
        value = event.arguments.get("value") or event.arguments.get("slice")
        if event.what == "store" and event.name != _SLICE:
            continue
        if value is None or value.bounds[1] < _SHORT_NS:
            continue
        root = event.arguments.get("root") or event.arguments["task"]
        kept = event.operation == "tick" or (
            event.operation == "dispatch" and name_of(root) == "previous_task"
        )
        if not kept:
            continue
        for way in event.path:
            if _asks_queues(scene, way):
                continue
            standing = _standing_but_slice(scene, way)
            words = (
                f"{event.operation} gives the running task a new slice without asking whether "
                "anybody waits: it never ends; look into the queues first"
            )
            if standing is Standing.LASTING:
                yield surely(words, "T07", lines=[scene.behaviour.line(event)])
            elif standing is Standing.CHANGING and not _is_timed(scene, way):
                yield possibly(words, "T07", lines=[scene.behaviour.line(event)])


def _asks_queues(scene: Scene, way: Way) -> bool:
    return any(
        _STATE_OF_QUEUES & scene.influences.roots(a.sources | b.sources)
        or name_of(a).startswith(("scx_bpf_dsq_move", "scx_bpf_consume"))
        for (_, a, b), _ in way
    )


def _is_timed(scene: Scene, way: Way) -> bool:
    return any("time" in scene.influences.roots(a.sources | b.sources) for (_, a, b), _ in way)


def _standing_but_slice(scene: Scene, way: Way) -> Standing:
    """Return the standing of a way without what it asks about the slice and the task's state."""
    own = ("field:task_struct.scx.slice", "field:task_struct.scx.flags", _PREVIOUS)
    kept = [
        fact
        for fact in way
        if not any(s in fact[0][1].sources | fact[0][2].sources for s in own[:2])
        and fact[0][1].role is not Role.ARGUMENT
    ]
    return scene.influences.way_standing(frozenset(kept))


def first_only(scene: Scene) -> Iterator[Finding]:
    """T05: a CPU that may not run the first of a queue looks at the next one."""
    for queue in dict.fromkeys(item.queue for item in scene.inserts if item.queue.is_users):
        takers = [t for t in scene.consumers if meet(t.queue, queue) is not False]
        if not takers or not scene.complete:
            continue
        if not all(_takes_first(taker.event) for taker in takers):
            continue
        feeders = [item for item in scene.inserts if meet(item.queue, queue)]
        if not any(brings_bound_tasks(scene, item) for item in feeders):
            continue
        yield surely(
            f"only the first of queue {queue} is ever taken, by a CPU that may run it: a task that "
            "is bound to a busy CPU keeps all behind it waiting; use scx_bpf_dsq_move_to_local(), "
            "which skips those who may not run there",
            "T05",
            lines=scene.lines(takers),
        )


def _takes_first(event: Event) -> bool:
    """Say whether a task is moved only if it is the first, and may run on this CPU."""
    task = event.arguments.get("task")
    if event.what is not Effect.MOVE or task is None or task.role is not Role.ELEMENT:
        return False
    first = isinstance(task.value, tuple) and task.value[-1] == 0
    return first and all(
        any(name_of(a) == "bpf_cpumask_test_cpu" for (_, a, _), _ in way) for way in event.path
    )


def served_when_busy(scene: Scene) -> Iterator[Finding]:
    """T09, T01: no queue waits for a CPU to be idle, which on a busy machine none is."""
    for queue in dict.fromkeys(item.queue for item in scene.inserts if item.queue.is_users):
        feeders = [
            item
            for item in scene.inserts
            if meet(item.queue, queue) and scene.standing(item.event.path) > Standing.EXCEPTION
        ]
        takers = [t for t in scene.consumers if meet(t.queue, queue) is not False]
        if not feeders or not takers or not scene.complete:
            continue
        if any(scene.standing(taker.event.path) > Standing.EXCEPTION for taker in takers):
            continue
        yield surely(
            f"queue {queue} is looked at only by a CPU that has been idle: on a busy machine its "
            "tasks wait for ever; give it a turn (a counter, a time)",
            "T09",
            "T01",
            lines=scene.lines([*takers, *feeders]),
        )


def nobody_put_back(scene: Scene) -> Iterator[Finding]:
    """T05: who may not run on this CPU is handed on, not put back behind all others."""
    popped = {event.arguments["map"].value for event in scene.behaviour.of(Effect.POP)}
    for event in scene.behaviour.of(Effect.PUSH):
        if event.operation != "dispatch" or event.arguments["map"].value not in popped:
            continue
        if any(
            name == EQ and holds and name_of(a) == "bpf_cpumask_test_cpu"
            for way in event.path
            for (name, a, _), holds in way
        ):
            yield possibly(
                f"who may not run on this CPU goes to the end of {event.arguments['map'].value}, "
                "and the CPU may end with nothing while others wait there: insert the task into "
                "SCX_DSQ_LOCAL_ON of a CPU that it may use, or a queue of your own",
                "T05",
                lines=[scene.behaviour.line(event)],
            )
