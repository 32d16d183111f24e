"""What the struct_ops table and the flags of calls say, against what the programs do."""

from __future__ import annotations

from collections.abc import Iterator

from .effects import Effect
from .events import Event
from .findings import Finding, Scene, possibly, surely
from .loops import calls
from .scaling import ends_by_count
from .slopes import known_bits
from .terms import Role, Term, stripped

__all__ = ["batches_fit", "enqueue_flags", "table_fits"]

_KEEP_BUILTIN_IDLE, _ENQ_LAST, _ENQ_MIGRATION_DISABLED = 1, 2, 16
_DEFAULT_BATCH = 32
_NEXT = "bpf_iter_num_next"
_INTERNAL = "__SCX_ENQ_INTERNAL_MASK"
_UPPER = 0xFF << 56


def table_fits(scene: Scene) -> Iterator[Finding]:
    """R13, L10, L14, R07: flags and operations fit each other."""
    table = scene.behaviour.object.table
    flags = table.numbers.get("flags", 0)
    if "update_idle" in table.operations and not flags & _KEEP_BUILTIN_IDLE:
        events = scene.behaviour.of(Effect.ASK_IDLE)
        if events:
            yield surely(
                "asks the kernel for idle CPUs, which does not know them: with an update_idle of "
                "its own a scheduler has to set SCX_OPS_KEEP_BUILTIN_IDLE for that",
                "R13",
                lines=scene.behaviour.lines(events),
            )
    if flags & _ENQ_LAST and "enqueue" not in table.operations:
        yield surely(
            "SCX_OPS_ENQ_LAST asks for the last runnable task, and there is no enqueue to take it",
            "L10",
        )
    if table.numbers.get("hotplug_seq", 0):
        yield surely(
            "hotplug_seq is a number in the code: it is that of the machine on which it was read; "
            "leave it out, and let whoever loads the scheduler set it",
            "L14",
        )


def batches_fit(scene: Scene) -> Iterator[Finding]:
    """R08: one dispatch does not insert more tasks than the kernel has room for."""
    batch = scene.behaviour.object.table.numbers.get("dispatch_max_batch", 0) or _DEFAULT_BATCH
    inserts = [e for e in scene.behaviour.of(Effect.INSERT) if e.operation == "dispatch"]
    asks = any(
        "slots" in asked.question[1].sources | asked.question[2].sources
        for asked in scene.behaviour.asked
    )
    if not inserts or asks:
        return
    loops = [
        event
        for event in scene.behaviour.of(Effect.ITERATE, Effect.LOOP)
        if event.operation == "dispatch" and _turns(event.arguments) > batch
    ]
    if not loops:
        return
    found = surely if any(_every_turn(scene, e, inserts) for e in loops) else possibly
    yield found(
        f"dispatch has a loop of more than {batch} turns and inserts tasks: the kernel ends a "
        "scheduler that inserts more at once; stop when scx_bpf_dispatch_nr_slots() is 0",
        "R08",
        lines=scene.behaviour.lines([*loops, *inserts]),
    )


def _every_turn(scene: Scene, opened: Event, inserts: list[Event]) -> bool:
    """Say whether a loop goes on after each insert, and does not count them."""
    section, slot = opened.place
    around = [
        loop
        for loop in scene.behaviour.loops_at(opened.place) or ()
        if loop.header > slot and calls(loop, _NEXT)
    ]
    inside = {instruction.at for loop in around[:1] for instruction in loop.instructions}
    return any(event.place[0] == section and event.place[1] in inside for event in inserts) and (
        not ends_by_count(scene, around[0], section)
    )


def _turns(arguments: object) -> int:
    """Return how many turns a counted loop may take, 0 for one that is not counted."""
    if not isinstance(arguments, dict):
        return 0
    count = arguments.get("count") or arguments.get("high")
    return int(count.bounds[1]) if isinstance(count, Term) else 0


def enqueue_flags(scene: Scene) -> Iterator[Finding]:
    """R11: enqueue flags are the kernel's, none made up, none of its internal ones."""
    values = scene.kernel.enqueue_flags
    internal = values.get(_INTERNAL, _UPPER)
    known = 0
    for name, value in values.items():
        known |= 0 if name.startswith("__") else value
    for event in scene.behaviour.of(Effect.INSERT, Effect.MOVE):
        flags = event.arguments["flags"]
        bits = known_bits(flags)
        lines = [scene.behaviour.line(event)]
        if bits & internal or _may_set(flags, internal):
            yield surely(
                f"enqueue flags {bits & internal or internal:#x} are the kernel's own, and it ends "
                "a scheduler that sets them: pass enq_flags and SCX_ENQ_* only (are arguments "
                "exchanged?)",
                "R11",
                lines=lines,
            )
        elif values and bits & ~(known | internal):
            yield surely(
                f"enqueue flags {bits & ~known:#x} are none of this kernel's SCX_ENQ_*: take them "
                "from vmlinux.h, they differ between kernels",
                "R11",
                "L08",
                lines=lines,
            )


def _may_set(flags: Term, internal: int) -> bool:
    """Say whether something that is no flags at all goes into the upper bits."""
    flags = stripped(flags)
    if flags.role is Role.OPERATION and flags.value in ("|", "+"):
        return any(_may_set(part, internal) for part in flags.parts)
    if flags.role is Role.OPERATION and flags.value == "<<" and flags.parts[1].number is not None:
        inner, shift = flags.parts
        high = inner.bounds[1] << (shift.number or 0)
        return "field:task_struct" in str(inner.sources) and bool(high & internal)
    if flags.role is Role.RESULT and "time" in flags.sources:
        return True
    field = flags.role is Role.FIELD and isinstance(flags.value, tuple)
    return field and flags.bounds[1] >= internal & -internal and "task_struct" in str(flags.value)
