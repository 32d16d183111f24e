"""CPUs help each other: a task is not left to one CPU that may be busy, off, or someone else's."""

from __future__ import annotations

from collections.abc import Iterator

from .cpus import Cpus, name_of
from .effects import Effect
from .findings import Finding, Placed, Scene, possibly, surely
from .queueids import QueueKind, meet
from .readers import is_own
from .standings import Standing
from .terms import stripped

__all__ = ["local_queues_left", "neighbours_help"]

_LOOKED = frozenset({"idle", "queue", "rq", "running", "place"})
"""What tells how busy a CPU is, or where a task was: a choice that may be a good one."""
_HOTPLUG = frozenset({"cpu_online", "cpu_offline", "cid_online", "cid_offline"})
_SELECT = frozenset({"select_cpu", "select_cid"})
_CPU_OF_TASK = frozenset({"scx_bpf_task_cpu", "scx_bpf_task_cid"})


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
    return any(name_of(stripped(atom)) in _CPU_OF_TASK for atom, _ in item.queue.atoms)


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
