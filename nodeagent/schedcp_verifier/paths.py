"""Every path of enqueue puts the task somewhere: into a queue, or a map whose store is checked.

A task that is nowhere never runs again, and the kernel ends the scheduler when it notices.
"""

from __future__ import annotations

from collections.abc import Iterator

from .calling import HANDED_OUT, INSERTED, PENDING, REPORTED, STORED
from .conditions import EQ, SLT, Way
from .effects import Effect
from .events import Event
from .findings import Finding, Scene, possibly, surely
from .standings import Standing
from .terms import Role, Term

__all__ = ["inserted_once", "tasks_kept"]

_OVERWRITE = 2
_TASKS_MAX = 1 << 22
"""How many tasks a kernel numbers at most."""
_ALLOCATED = ("bpf_obj_new", "bpf_percpu_obj_new")
_FULL_MAPS = frozenset({1, 5, 9, 10, 22, 23})
"""Hashes, queues and stacks, which can be full."""


def tasks_kept(scene: Scene) -> Iterator[Finding]:
    """T01, T03, T04: no path of enqueue ends with the task nowhere."""
    for event in scene.behaviour.of("return"):
        if event.operation != "enqueue" or not event.status:
            continue
        kind = event.status[0]
        if kind in (INSERTED, REPORTED):
            continue
        if kind == HANDED_OUT:
            yield possibly(
                f"enqueue hands the task to {event.status[1]}(), of which nothing is known",
                "T03",
                lines=[scene.behaviour.line(event)],
            )
            continue
        for way in event.path:
            yield from _of_way(scene, event, way, stored=kind == STORED)
    yield from _stores(scene)


def _of_way(scene: Scene, event: Event, way: Way, *, stored: bool) -> Iterator[Finding]:
    lines = [scene.behaviour.line(event)]
    if stored:
        _, result, map_name, _ = event.status
        if isinstance(result, Term) and not _failed(result, way):
            return
        yield surely(
            f"a task is lost when it does not fit into {map_name}: look at what the store returns, "
            "and insert the task into a queue when it failed",
            "T03",
            lines=lines,
        )
    elif _without_memory(way):
        yield surely(
            "a task is lost when there is no memory to remember it in: insert it into a queue then",
            "T03",
            lines=lines,
        )
    elif scene.influences.way_standing(way) is Standing.EXCEPTION and not _hash_misses(scene, way):
        yield _in_an_exception(way, lines)
    else:
        yield _unkept(scene, event, way, lines)


def _in_an_exception(way: Way, lines: list[str]) -> Finding:
    """Return what it means that a task is not inserted where something is out of the ordinary."""
    if _exiting(way):
        return surely(
            "enqueue returns without inserting a task that is exiting: it cannot exit without "
            "running",
            "T04",
            lines=lines,
        )
    return possibly(
        "enqueue returns without inserting the task when something that should be there is "
        "not (a lookup fails): insert it into SCX_DSQ_GLOBAL, or call scx_bpf_error()",
        "T03",
        lines=lines,
    )


def _unkept(scene: Scene, event: Event, way: Way, lines: list[str]) -> Finding:
    """Return what it means that a task is not inserted in ordinary circumstances."""
    mark = _marked_as_kept(scene, way)
    if mark and _finds_again(scene):
        return possibly(
            f"enqueue returns without inserting a task of which {mark} says that it is kept "
            "already: whether it is cannot be told",
            "T03",
            lines=lines,
        )
    kept = sorted(name for name in event.touched if _is_read(scene, name))
    if kept and _finds_again(scene):
        return possibly(
            f"enqueue returns without inserting the task, having written {', '.join(kept)}: "
            "whether that keeps it cannot be told",
            "T03",
            lines=lines,
        )
    return surely(
        "a path through enqueue neither inserts the task nor keeps it: it will never run; insert "
        "it on every path",
        "T01",
        "T04",
        lines=lines,
    )


def _marked_as_kept(scene: Scene, way: Way) -> str:
    """Return the place in the task's own memory that says that it is kept, if a way goes by one.

    It is kept where that place says otherwise, and some other operation takes the mark away.
    """
    kept = [way for event in scene.behaviour.of("return") if _is_kept(event) for way in event.path]
    for (name, a, b), holds in way:
        if name != EQ or holds or b.number != 0 or a.role is not Role.CELL:
            continue
        place = str(_first(a))
        cleared = any(
            write.operation != "enqueue" and write.arguments["value"].number == 0
            for write in scene.influences.all_writes.get(place, ())
        )
        if cleared and any(((name, a, b), True) in other for other in kept):
            return place
    return ""


def _is_kept(event: Event) -> bool:
    return event.operation == "enqueue" and event.status[:1] == (STORED,)


def _failed(result: Term, way: Way) -> bool:
    """Say whether a call failed on a way, as far as somebody looked."""
    for (name, a, b), holds in way:
        if a is result and b.number == 0 and name in (EQ, SLT):
            return holds == (name == SLT)
    return False


def _exiting(way: Way) -> bool:
    return any("field:task_struct.flags" in a.sources for (_, a, _), _ in way)


def _hash_misses(scene: Scene, way: Way) -> bool:
    """Say whether the way begins with a hash in which the task was not found."""
    for (name, a, b), holds in way:
        if a.role is Role.ENTRY and name == EQ and b.number == 0 and holds:
            map_ = scene.behaviour.object.maps.get(str(_first(a)))
            if map_ is not None and map_.kind in _FULL_MAPS:
                return True
    return False


def _without_memory(way: Way) -> bool:
    """Say whether the way is that of an object that could not be allocated."""
    return any(
        name == EQ
        and holds
        and b.number == 0
        and a.role is Role.RESULT
        and str(_first(a)).removesuffix("_impl") in _ALLOCATED
        for (name, a, b), holds in way
    )


def _first(term: Term) -> object:
    return term.value[0] if isinstance(term.value, tuple) else term.value


def _is_read(scene: Scene, name: str) -> bool:
    """Say whether some other operation decides something by a place in memory."""
    source = f"cell:{name}"
    return any(
        asked.operation != "enqueue"
        and source in (asked.question[1].sources | asked.question[2].sources)
        for asked in scene.behaviour.asked
    )


def _finds_again(scene: Scene) -> bool:
    """Say whether some insert is of a task other than the operation's own."""
    return any(
        event.arguments["task"].role is not Role.ARGUMENT
        for event in scene.behaviour.of(Effect.INSERT)
    )


def _stores(scene: Scene) -> Iterator[Finding]:
    """T03: a store that may fail is looked at; what is stored is taken out somewhere."""
    for event in scene.behaviour.of("return"):
        if event.operation != "enqueue" or not event.status or event.status[0] != STORED:
            continue
        _, result, name, effect = event.status
        line = scene.behaviour.line(event)
        map_ = scene.behaviour.object.maps.get(str(name))
        can_be_full = map_ is not None and map_.kind in _FULL_MAPS and map_.entries < _TASKS_MAX
        for way in event.path:
            if isinstance(result, Term) and can_be_full and not _looked_at(result, way):
                yield surely(
                    f"nobody looks at whether a task fitted into {name}: when it is full the task "
                    "is lost; insert it into a queue when the store fails",
                    "T03",
                    lines=[line],
                )
        if effect is Effect.PUSH and not _popped(scene, str(name)) and scene.complete:
            yield surely(
                f"tasks are put into {name}, and nobody takes them out", "T01", lines=[line]
            )
        elif not _finds_again(scene) and scene.complete:
            yield surely(
                f"tasks are written into {name} instead of a queue, and nobody inserts them later",
                "T01",
                "T03",
                lines=[line],
            )
    yield from _gone(scene)
    for event in scene.behaviour.of(Effect.PUSH):
        flags = event.arguments["flags"].number
        if event.operation == "enqueue" and flags == _OVERWRITE and event.status[:1] == (PENDING,):
            yield surely(
                f"a push into {event.arguments['map'].value} with BPF_EXIST drops the oldest task "
                "when it is full: push with BPF_ANY, and insert the task when that fails",
                "T03",
                lines=[scene.behaviour.line(event)],
            )


def _gone(scene: Scene) -> Iterator[Finding]:
    """T04: tasks on their way out have no number any more when they are looked up."""
    finds = [e for e in scene.behaviour.of(Effect.FIND_TASK) if e.name.startswith("bpf_task_from")]
    if not scene.hands_over_exiting or not finds:
        return
    for event in scene.behaviour.of("return"):
        stored = event.operation == "enqueue" and event.status[:1] == (STORED,)
        if stored and any(not _exiting(way) for way in event.path):
            yield surely(
                "SCX_OPS_ENQ_EXITING asks for tasks on their way out, and they are remembered by "
                "number, which they soon have no more: insert tasks with PF_EXITING at once, or "
                "leave the flag out",
                "T04",
                lines=[scene.behaviour.line(event)],
            )


def _looked_at(result: Term, way: Way) -> bool:
    return any(a is result or b is result for (_, a, b), _ in way)


def _popped(scene: Scene, name: str) -> bool:
    return any(event.arguments["map"].value == name for event in scene.behaviour.of(Effect.POP))


def inserted_once(scene: Scene) -> Iterator[Finding]:
    """R09, R10: a task is inserted once, and it is the operation's own."""
    for event in scene.behaviour.of(Effect.INSERT):
        if event.operation not in ("enqueue", "select_cpu", "select_cid"):
            continue
        line = scene.behaviour.line(event)
        task = event.arguments["task"]
        if event.status and event.status[0] == INSERTED and _is_own(task):
            yield surely(
                f"{event.operation} inserts a task that it has inserted before: return after the "
                "first insert",
                "R09",
                lines=[line],
            )
        if not _is_own(task) and task.role in (Role.RESULT, Role.FIELD, Role.ARGUMENT):
            yield surely(
                f"{event.operation} inserts another task than the one that it is called for: the "
                "kernel ends a scheduler for that; other tasks can be inserted in dispatch only",
                "R10",
                lines=[line],
            )


def _is_own(task: Term) -> bool:
    return task.role is Role.ARGUMENT and _first(task) == "task"
