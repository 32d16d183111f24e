"""CPUs help each other: a task is not left to one CPU that may be busy, off, or someone else's."""

from __future__ import annotations

from collections.abc import Iterator

from .conditions import EQ
from .cpus import TASKS_CPU, Cpus, name_of
from .effects import Effect
from .events import TIMER, WORK, Event
from .findings import Finding, Placed, Scene, possibly, surely
from .queueids import QueueKind, meet
from .readers import is_own
from .standings import Standing
from .terms import stripped

__all__ = ["books_closed", "local_queues_left", "neighbours_help"]

_LOOKED = frozenset({"idle", "queue", "rq", "running", "place"})
"""What tells how busy a CPU is, or where a task was: a choice that may be a good one."""
_HOTPLUG = frozenset({"cpu_online", "cpu_offline", "cid_online", "cid_offline"})
_SELECT = frozenset({"select_cpu", "select_cid"})
_UPDATES = frozenset({"update_idle", "update_idle_cid"})
_CORRECTIONS = frozenset({"cpu_release", "cpu_acquire", TIMER, WORK})


def neighbours_help(scene: Scene) -> Iterator[Finding]:
    """Q03, R15: a task whose CPU was chosen blindly can be taken over by another CPU."""
    if not scene.complete:
        return
    for item in scene.inserts:
        if item.queue.kind is not QueueKind.FAMILY or item.event.what is Effect.MOVE:
            continue
        takers = [t for t in scene.consumers if meet(t.queue, item.queue) is not False]
        if not takers or not all(is_own(taker) for taker in takers):
            continue
        if scene.standing(item.event.path) not in (Standing.CHANGING, Standing.LASTING):
            continue
        roots = scene.influences.roots(item.event.arguments["queue"].sources)
        blind = not roots & _LOOKED
        if not blind and not _is_where_it_was(item):
            continue
        hotplug = _HOTPLUG & set(scene.behaviour.object.table.operations)
        found = surely if blind else possibly
        yield found(
            f"a task waits in queue {item.queue} for one CPU, {_WHY[blind]}, and no other CPU "
            "takes it: CPUs idle beside waiting tasks; let a CPU with nothing to do look into the "
            "queues of others",
            "Q03",
            *(("R15",) if hotplug else ()),
            lines=scene.lines([item, *takers]),
        )


_WHY = {
    True: "chosen without a look at how busy it is",
    False: "the one that it ran on before",
}


def _is_where_it_was(item: Placed) -> bool:
    return any(name_of(stripped(atom)) in TASKS_CPU for atom, _ in item.queue.atoms)


def local_queues_left(scene: Scene) -> Iterator[Finding]:
    """T14, Q03: tasks on a local queue are there for that CPU alone, so that few are put there."""
    if scene.behaviour.of(Effect.REENQUEUE):
        return
    lasting = [
        item
        for item in scene.inserts
        if item.event.operation == "enqueue" and scene.standing(item.event.path) is Standing.LASTING
    ]
    cpus = Cpus(scene)
    here = [item for item in lasting if _is_local(cpus, item)]
    elsewhere = [item for item in lasting if item not in here]
    if not here:
        return
    # Without a select_cpu the kernel's own looks for an idle CPU.
    chosen = _SELECT & set(scene.behaviour.object.table.operations)
    idle = not chosen or scene.behaviour.of(Effect.ASK_IDLE)
    found = possibly if elsewhere or idle else surely
    yield found(
        "enqueue leaves tasks on the local queue of a CPU, idle or not: no other CPU can take them "
        "from there, not even when a real-time task holds that CPU; use a queue of your own, and "
        "the local one for idle CPUs only",
        "T14",
        "Q03",
        lines=scene.lines(here),
    )


def _is_local(cpus: Cpus, item: Placed) -> bool:
    if item.queue.kind is QueueKind.LOCAL:
        return True
    if item.queue.kind is not QueueKind.LOCAL_ON or not item.queue.atoms:
        return False
    return cpus.is_its_own(item.queue.cpu, item.event.arguments["task"])


def books_closed(scene: Scene) -> Iterator[Finding]:
    """T14: a scheduler's own book of idle CPUs hears of those that something else takes."""
    if scene.behaviour.of(Effect.REENQUEUE, Effect.ASK_IDLE):
        return
    stores = scene.behaviour.of("store")
    told = [event for event in stores if event.operation in _UPDATES]
    books = {_stem(event.name) for event in told if _only_when_idle(event)}
    books -= {_stem(event.name) for event in told if not _only_when_idle(event)}
    books -= {_stem(event.name) for event in stores if event.operation in _CORRECTIONS}
    for item in scene.inserts:
        if item.queue.kind not in (QueueKind.LOCAL, QueueKind.LOCAL_ON):
            continue
        found = sorted(book for book in books if _goes_by(item, book))
        if not found:
            continue
        claimed = any(
            event.operation == item.event.operation and _stem(event.name) in found
            for event in stores
        )
        make = possibly if claimed else surely
        yield make(
            f"tasks go to the local queue of a CPU that is idle by {found[0]}, which is told of "
            "CPUs that fall idle and not of those that are taken: who waits there behind a "
            "real-time task is helped by nobody; strike the CPU out when update_idle says that it "
            "is not idle, and take tasks back in cpu_release",
            "T14",
            lines=scene.lines([item]),
        )


def _only_when_idle(event: Event) -> bool:
    """Say whether something is stored only when a CPU has fallen idle."""
    return all(
        any(
            name == EQ and not holds and b.number == 0 and "argument:idle" in a.sources
            for (name, a, b), holds in way
        )
        for way in event.path
    )


def _goes_by(item: Placed, book: str) -> bool:
    """Say whether a task is never put somewhere without a look into a place."""
    return all(
        any(
            source.startswith("cell:") and _stem(source.removeprefix("cell:")) == book
            for (_, a, b), _ in way
            for source in a.sources | b.sources
        )
        for way in item.event.path
    )


def _stem(place: str) -> str:
    return place.partition("+")[0].partition("[")[0]
