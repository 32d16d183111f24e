"""Nobody waits for ever: strict priority has a way round it, and orders move with time.

Three questions. Is a queue looked at only when another one, which some tasks can keep filled, is
empty? Does whoever comes last go first? Does the order of a sorted queue leave somebody behind who
waits, because nothing in it moves with time?
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from .conditions import EQ, Way, joined
from .cpus import TRIES
from .effects import Effect
from .events import Event
from .favours import Favour
from .findings import Finding, Placed, Scene, possibly, surely
from .queueids import Queue, QueueKind, meet
from .slopes import Slopes, known_bits
from .standings import Standing, is_exiting
from .terms import Role, Term, linear
from .turns import rarity

__all__ = ["first_come", "heads_are_bounded", "orders_move", "priorities_end"]

_STACK = 23
_BUILT_IN = (QueueKind.LOCAL, QueueKind.LOCAL_ON, QueueKind.GLOBAL)


def priorities_end(scene: Scene) -> Iterator[Finding]:
    """T08, T09, T04: no queue is served only when one is empty that some tasks can keep filled."""
    users = (item.queue for item in scene.waiting if _is_waited_in(item.queue))
    for queue in dict.fromkeys(users):
        behind = [
            item
            for item in _feeders(scene, queue)
            if _feeding(scene, item) or _is_fed_by_exiting(scene, item)
        ]
        if not behind:
            continue
        yield from _behind_others(scene, queue, behind)
        yield from _behind_built_in(scene, queue, behind)


def _is_waited_in(queue: Queue) -> bool:
    return queue.is_users or queue.kind is QueueKind.MAP


def _feeders(scene: Scene, queue: Queue) -> list[Placed]:
    return [item for item in scene.waiting if meet(item.queue, queue)]


def _feeding(scene: Scene, item: Placed) -> Standing:
    """Return how lastingly an insert fills a queue: its path, and what picks the queue."""
    standing = scene.standing(item.event.path)
    if item.event.what is Effect.PUSH:
        return standing
    picked = scene.influences.of_sources(item.event.arguments["queue"].sources)
    if item.event.what is Effect.MOVE:
        # Who is moved on because it has waited for long does not fill a queue for ever.
        aged = scene.influences.depends_on(item.event.path, "time")
        standing = min(standing, Standing.EXCEPTION if aged else Standing.CHANGING)
    return min(standing, picked)


def _filling(scene: Scene, feeders: list[Placed]) -> Standing:
    """Return how lastingly a queue is filled: by one of its inserts, or by all that enqueue has.

    Where some go by one way and all others by another, and both fill it, anybody can.
    """
    standing = max((_feeding(scene, item) for item in feeders), default=Standing.EXCEPTION)
    paths = [
        item.event.path
        for item in feeders
        if item.event.what is Effect.INSERT
        and item.event.operation == "enqueue"
        and scene.influences.of_sources(item.event.arguments["queue"].sources) is Standing.LASTING
    ]
    return max(standing, scene.standing(reduce(joined, paths))) if paths else standing


def _is_fed_by_exiting(scene: Scene, item: Placed) -> bool:
    """T04: say whether tasks on their way out, which must run to get there, wait in a queue."""
    return scene.hands_over_exiting and any(
        any(is_exiting(fact) for fact in way)
        and scene.influences.way_standing(frozenset(f for f in way if not is_exiting(f)))
        for way in item.event.path
    )


def _behind_others(scene: Scene, queue: Queue, behind: list[Placed]) -> Iterator[Finding]:
    takers = [
        item
        for item in scene.takers
        if meet(item.queue, queue) is not False and not _moves_back(scene, item, queue)
    ]
    ways = [
        (item, way)
        for item in takers
        for way in item.event.path
        if scene.influences.way_standing(way) > Standing.KERNEL
    ]
    if not ways or any(meet(item.queue, queue) is None for item in takers):
        return
    # Whoever moves tasks on at such a turn may move all of them.
    alone = [way for item, way in ways if item.event.what is not Effect.MOVE]
    rare = {way: words for way in alone if (words := rarity(scene, way))}
    usual = [way for item, way in ways if item.event.what is Effect.MOVE or way not in rare]
    tried = [_failed_tries(scene, way) for way in usual or rare]
    for first in tried[0]:
        if meet(first, queue) is not False or not all(_among(first, others) for others in tried):
            continue
        feeders = [
            item for item in _feeders(scene, first) if not _comes_from_elsewhere(scene, item, queue)
        ]
        lines = scene.lines([*(item for item, _ in ways), *feeders, *behind])
        standing = _filling(scene, feeders)
        if rare and usual:
            turn = f"queue {queue} comes before {first} only {next(iter(rare.values()))}"
            favour = Favour(scene, feeders, behind)
            yield from favour.findings(turn, standing, why=_reason(standing), lines=lines)
            continue
        words = (
            f"queue {queue} is looked at only when {first} is empty, and {_reason(standing)}: "
            "give the other one a turn now and then (a counter, a time), or move on whoever has "
            "waited too long"
        )
        failure = "T08" if any(_feeding(scene, item) for item in behind) else "T04"
        if standing is Standing.LASTING:
            yield surely(words, failure, lines=lines)
        elif standing in (Standing.CHANGING, Standing.PINNED):
            yield possibly(words, failure, lines=lines)


def _moves_back(scene: Scene, item: Placed, queue: Queue) -> bool:
    """Say whether a task is taken out of a queue only to wait in it again."""
    return item.event.what is Effect.MOVE and any(
        meet(target, queue) for target in scene.queues(item.event.arguments["queue"])
    )


def _comes_from_elsewhere(scene: Scene, item: Placed, queue: Queue) -> bool:
    """Say whether a task had waited before: in the queue behind, or in a map of the object's."""
    if item.event.what is Effect.MOVE:
        return _from(scene, item.event, queue)
    return item.event.what is Effect.INSERT and item.event.operation == "dispatch"


def _reason(standing: Standing) -> str:
    if standing is Standing.LASTING:
        return "who goes there depends on what a task can keep as it is for ever"
    if standing is Standing.PINNED:
        return "tasks that are bound to a CPU can keep it filled"
    return "whether tasks can keep it filled for ever cannot be told"


def _failed_tries(scene: Scene, way: Way) -> list[Queue]:
    """Return the queues that were found empty on a way."""
    found: list[Queue] = []
    for (name, a, b), holds in way:
        if name != EQ or b.number != 0 or a.role is not Role.RESULT:
            continue
        if not holds:
            found += _emptied_map(a)
            continue
        if isinstance(a.value, tuple) and a.value[0] in TRIES and a.parts:
            queues = scene.queues(a.parts[0])
            if len(queues) == 1:
                found.append(queues[0])
    return found


def _emptied_map(result: Term) -> list[Queue]:
    """Return the map out of which nothing could be taken."""
    names = result.value if isinstance(result.value, tuple) else ()
    if "bpf_map_pop_elem" not in names or not result.parts:
        return []
    return [Queue(QueueKind.MAP, name=str(result.parts[0].value))]


def _among(queue: Queue, others: list[Queue]) -> bool:
    return any(meet(queue, other) for other in others)


def _from(scene: Scene, event: Event, queue: Queue) -> bool:
    source = event.arguments.get("from")
    return source is not None and any(meet(found, queue) for found in scene.queues(source))


def _behind_built_in(scene: Scene, queue: Queue, behind: list[Placed]) -> Iterator[Finding]:
    """The kernel empties a CPU's local queue and the global one before it calls dispatch."""
    for item in scene.inserts:
        if item.event.operation != "enqueue" or item.queue.kind not in _BUILT_IN:
            continue
        if _feeding(scene, item) is Standing.LASTING:
            yield surely(
                f"enqueue puts some tasks into {item.queue}, which the kernel empties before it "
                f"calls dispatch, and others into {queue}: who decides is something that a task "
                "can keep as it is for ever, so that the others starve; use queues of your own "
                "for both, and give each a turn",
                "T08",
                lines=scene.lines([item, *behind]),
            )


def first_come(scene: Scene) -> Iterator[Finding]:
    """T08: nobody who comes goes to the head, or to the top of a stack, as a rule."""
    head = scene.kernel.flag("SCX_ENQ_HEAD") or 0
    preempt = scene.kernel.flag("SCX_ENQ_PREEMPT") or 0
    for item in scene.inserts:
        bits = known_bits(item.event.arguments["flags"])
        local = item.queue.kind in _BUILT_IN and item.event.operation == "enqueue"
        if not (bits & head or (local and bits & preempt)):
            continue
        if not (item.queue.is_users or local) or "vtime" in item.event.arguments:
            continue
        if item.event.what is Effect.MOVE or _feeding(scene, item) is not Standing.LASTING:
            continue
        words = (
            f"whoever comes last goes to the head of queue {item.queue}: those who wait there are "
            "overtaken again and again; insert without SCX_ENQ_HEAD or SCX_ENQ_PREEMPT, or bound "
            "how often"
        )
        # Whoever waits too long may be taken out of turn: for the others that is the tail.
        aged = any(_from(scene, event, item.queue) for event in scene.behaviour.of(Effect.MOVE))
        yield surely(words, "Q17" if aged else "T08", lines=scene.lines([item]))
    for event in scene.behaviour.of(Effect.PUSH):
        name = str(event.arguments["map"].value)
        map_ = scene.behaviour.object.maps.get(name)
        if map_ is None or map_.kind != _STACK or event.operation != "enqueue":
            continue
        yield surely(
            f"tasks wait in the stack {name}, where the last one comes out first: use a queue",
            "T08",
            lines=[scene.behaviour.line(event)],
        )


def orders_move(scene: Scene) -> Iterator[Finding]:
    """T08: what waits in a sorted queue comes nearer to its head, because newcomers sort later."""
    slopes = Slopes(scene)
    for item in scene.inserts:
        order = item.event.arguments.get("vtime")
        if order is None or not item.queue.is_users:
            continue
        if scene.standing(item.event.path) is Standing.EXCEPTION:
            continue
        if not _ages(scene, item.queue):
            yield from _of_order(scene, slopes, item, order)
        elif _counts_down(order):
            yield surely(
                f"the order of queue {item.queue} counts down as time goes by, and only whoever "
                "has waited for long is taken out of turn: the mean is good, and the tail is as "
                "long as that takes; order by the time of arrival, or by virtual time",
                "Q17",
                lines=scene.lines([item]),
            )


def _counts_down(order: Term) -> bool:
    """Say whether the time of arrival itself is taken away from an order."""
    atoms, _ = linear(order)
    return any(
        atom.role is Role.RESULT and "time" in atom.sources and factor < 0
        for atom, factor in atoms.items()
    )


def _of_order(scene: Scene, slopes: Slopes, item: Placed, order: Term) -> Iterator[Finding]:
    lines = scene.lines([item])
    slope = slopes.of(order)
    if slope is None:
        yield possibly(
            f"whether the order of queue {item.queue} moves with time cannot be told",
            "T08",
            lines=lines,
        )
    elif slope < 0:
        yield surely(
            f"the order of queue {item.queue} counts down as time goes by: whoever comes last runs "
            "first",
            "T08",
            lines=lines,
        )
    elif slope == 0 and scene.influences.varies(order.sources):
        static = scene.influences.of_sources(order.sources) is Standing.LASTING
        why = (
            "it depends only on what a task can keep as it is for ever"
            if static
            else "it depends on the task's own account only, so that whoever slept, or is new, "
            "goes before all others for as long as it likes"
        )
        yield surely(
            f"the order of queue {item.queue} does not move with time: {why}; bound it from "
            "below by a clock that all tasks share (the virtual time of whoever runs), or by the "
            "time of arrival",
            "T08",
            lines=lines,
        )
    elif slopes.wraps(order):
        yield surely(
            f"the order of queue {item.queue} counts time in 32 bits: some day it starts over, and "
            "whoever waits then waits behind all who come; use 64 bits",
            "T12",
            lines=lines,
        )
    else:
        yield from _far_away(scene, slopes, item, order)


def _far_away(scene: Scene, slopes: Slopes, item: Placed, order: Term) -> Iterator[Finding]:
    """T08, T05, T09: a deadline far behind the clock for some is no deadline."""
    for way in item.event.path:
        if scene.influences.way_standing(way) is Standing.KERNEL:
            least = slopes.static_distance(order, way, least=True)
            distance = _more_than_others(scene, slopes, item.queue, least)
            far, whom, failures = _FAR_FOR_KERNEL_NS, "kernel threads", ["T05", "T09"]
        else:
            distance = slopes.static_distance(order, way)
            far, whom, failures = _FAR_NS, "tasks", ["T08"]
        if distance is None or distance <= far:
            continue
        yield surely(
            f"the order of queue {item.queue} puts {whom} up to {distance // 10**9} s behind the "
            "clock because of what they are: all others go first for so long; bound the distance",
            *failures,
            lines=scene.lines([item]),
        )
        return


def _more_than_others(
    scene: Scene, slopes: Slopes, queue: Queue, distance: int | None
) -> int | None:
    """Return how far behind ordinary tasks in a queue somebody is."""
    others = [
        slopes.static_distance(item.event.arguments["vtime"], way, least=True) or 0
        for item in scene.inserts
        if "vtime" in item.event.arguments and meet(item.queue, queue)
        for way in item.event.path
        if scene.influences.way_standing(way) > Standing.PINNED
    ]
    return distance - max(others) if distance is not None and others else None


_FAR_NS = 30 * 10**9
"""Longer than any watchdog of the kernel waits."""
_FAR_FOR_KERNEL_NS = 4 * 10**9
"""What others wait for, such as the end of a grace period, is late by this for each who goes
first: an order by virtual time has to be made up for by every task that is runnable."""


def _ages(scene: Scene, queue: Queue) -> bool:
    """Say whether tasks are taken out of a queue in another order, and go somewhere else."""
    for event in scene.behaviour.of(Effect.MOVE):
        targets = scene.queues(event.arguments["queue"])
        if any(meet(target, queue) for target in targets):
            continue
        if _from(scene, event, queue) and any(not _failed_tries(scene, way) for way in event.path):
            return True
    return False


def heads_are_bounded(scene: Scene) -> Iterator[Finding]:
    """T08, T15: whether going to the head can be had again and again cannot be told."""
    head = scene.kernel.flag("SCX_ENQ_HEAD") or 0
    for item in scene.inserts:
        if not known_bits(item.event.arguments["flags"]) & head or not item.queue.is_users:
            continue
        changing = _feeding(scene, item) is Standing.CHANGING
        if changing and item.event.what is Effect.INSERT and "vtime" not in item.event.arguments:
            yield possibly(
                f"some tasks go to the head of queue {item.queue}: whether they can do so again "
                "and again, before all who wait there, cannot be told",
                "T08",
                "T15",
                lines=scene.lines([item]),
            )
