"""What is kept: nothing of a task's memory, and nothing for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .effects import CPU_SOURCES, Effect
from .events import Event
from .findings import Finding, Scene, possibly, surely
from .queueids import QueueKind, meet
from .terms import Role, Term

__all__ = ["maps_shrink", "memory_stays", "queues_shrink"]

_PRIVATE = re.compile(
    r"field:(task_struct\.(comm|stack$|thread\.|saved_|restart_block)|thread_struct\.|pt_regs|"
    r"mm_struct\.(arg_|env_|start_|end_|exe_)|vm_area_struct\.|cred\.|file\.|files_struct\.)"
)
"""A task's name, its stack, its registers, its address space and files."""
_HARMLESS = re.compile(r"field:(scx_exit_info|scx_dump_ctx|scx_init_task_args|scx_cgroup_\w+)\.")
_WORD = 8
_GROWING_MAPS = frozenset({1, 5})
_ENDLESS = re.compile(
    r"field:(task_struct\.(pid|tgid|start_time|start_boottime|scx\.tid|thread_pid)|kernfs_node\.id"
    r"|cgroup\.\w+)|time|cgroup"
)
_MOVING = re.compile(
    r"time|random|field:task_struct\.(se\.|scx\.(slice|dsq_vtime)|nv?i?vcsw|[us]time|gtime)"
)
"""What is another number each time: whoever does not keep it does not find an entry again."""
_OTHERS = frozenset({"current"})
"""Whoever wakes is another one each time, too."""
_COUNTED = frozenset({"iteration", "iterator"})
_KEPT = ("cell:", "map:", "call:", "memory")
_BEGINNINGS = ("init", "init_cids", "exit")
_SINGLE = (QueueKind.NUMBER, QueueKind.GLOBAL, QueueKind.LOCAL)


def memory_stays(scene: Scene) -> Iterator[Finding]:
    """M02: nothing of a task's memory, or its name, goes to where others can read it."""
    for event in scene.behaviour.events:
        words = _leak(event)
        if words:
            yield surely(
                f"{words}: what a task holds in memory, or is called, is nobody's business; keep "
                "measurements (times, counts) only",
                "M02",
                lines=[scene.behaviour.line(event)],
            )
    for event in scene.behaviour.of(Effect.READ):
        if _to_outside(event.arguments["to"]) and _of_kernel(event):
            yield possibly(
                "copies memory of the kernel into a map: whether that holds something private "
                "cannot be told",
                "M02",
                lines=[scene.behaviour.line(event)],
            )


def _leak(event: Event) -> str:
    """Return in words what an event makes readable, empty for nothing."""
    arguments = event.arguments
    match event.what:
        case "store" if _to_outside(arguments["root"]) and _is_private(arguments["value"]):
            return f"writes a task's memory into {event.name}"
        case Effect.READ if _to_outside(arguments["to"]):
            size = arguments["size"].number
            large = size is None or size > _WORD
            source = arguments["from"]
            if _is_private(source) or (large and "argument:task" in _roots(source)):
                return "copies a task's memory into a map"
        case Effect.PUSH | Effect.UPDATE:
            if any(_is_private(term) for role, term in arguments.items() if role != "map"):
                return f"puts a task's memory into {arguments['map'].value}"
        case Effect.PRINT | Effect.FORMAT:
            if any(_is_private(term) for role, term in arguments.items() if role != "format"):
                return "prints a task's memory"
    return ""


def _roots(term: Term) -> frozenset[str]:
    return term.sources


def _is_private(term: Term) -> bool:
    return any(_PRIVATE.match(source) for source in term.sources)


def _to_outside(pointer: Term) -> bool:
    """Say whether an address is in a map or a variable, which user space can read."""
    while pointer.role is Role.OPERATION and pointer.parts:
        pointer = pointer.parts[0]
    return pointer.role in (Role.ENTRY, Role.DATA)


def _of_kernel(event: Event) -> bool:
    source = event.arguments["from"]
    size = event.arguments["size"].number
    harmless = any(_HARMLESS.match(s) for s in source.sources)
    return not harmless and not _leak(event) and (size is None or size > _WORD)


def maps_shrink(scene: Scene) -> Iterator[Finding]:
    """Q15: what is written down for each task or group is struck out when it goes."""
    deletes = scene.behaviour.of(Effect.DELETE)
    for event in scene.behaviour.of(Effect.UPDATE):
        name = str(event.arguments["map"].value)
        map_ = scene.behaviour.object.maps.get(name)
        if map_ is None or map_.kind not in _GROWING_MAPS or event.operation in _BEGINNINGS:
            continue
        keyed = any(_ENDLESS.fullmatch(source) for source in event.arguments["key"].sources)
        own = [other for other in deletes if other.arguments["map"].value == name]
        if keyed and not any(_is_found_again(event, other) for other in own) and scene.complete:
            yield surely(
                f"an entry of {name} for each task or group, and nobody deletes any: it is full "
                "some day; delete them in exit_task or cgroup_exit, or use task or cgroup storage",
                "Q15",
                lines=[scene.behaviour.line(event)],
            )


def _is_found_again(written: Event, deleted: Event) -> bool:
    """Say whether a key that is deleted can be the one that was written."""
    key = deleted.arguments.get("key")
    if key is None or not key.sources or any(s.startswith(_KEPT) for s in key.sources):
        return True
    sources = written.arguments["key"].sources
    here_only = key.sources & CPU_SOURCES and not key.sources & _COUNTED
    if sources & CPU_SOURCES and here_only:
        return False  # an entry for each CPU besides, and that of this one is struck out
    return {s for s in sources if _MOVING.match(s) or s in _OTHERS} <= key.sources


def queues_shrink(scene: Scene) -> Iterator[Finding]:
    """Q15: a queue that is made for each task or group is taken down when it goes."""
    destroyed = scene.placed(Effect.DESTROY)
    for item in scene.created:
        repeated = item.event.operation not in _BEGINNINGS and item.queue.kind not in _SINGLE
        if not repeated or any(meet(other.queue, item.queue) is not False for other in destroyed):
            continue
        if scene.complete:
            yield surely(
                f"{item.event.operation} makes a queue for each task or group, and nobody takes "
                "any down: call scx_bpf_destroy_dsq() in exit_task or cgroup_exit",
                "Q15",
                lines=scene.lines([item]),
            )
