"""CPUs are ones that exist, that the task may use, and that nobody has written into the code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .arithmetic import MASK
from .conditions import EQ, Way
from .cpus import Cpus, literal, name_of
from .effects import Effect
from .events import Asked, Event
from .findings import Finding, Placed, Scene, possibly, surely
from .queueids import QueueKind
from .standings import Standing
from .terms import Role, Term, stripped

__all__ = ["cpus_chosen", "cpus_named", "local_queues"]

_SELECT = ("select_cpu", "select_cid")
_CPU_NAMES = frozenset(
    {"this_cpu", "previous_cpu", "scx_bpf_task_cpu", "scx_bpf_task_cid", "scx_bpf_this_cid"}
    | {"bpf_get_smp_processor_id"}
)
_ENQ_MIGRATION_DISABLED = 16
_COUNTED_LEAST = 4
"""Whoever names fewer CPUs than that has picked them."""
_FIRST = ("bpf_cpumask_first", "bpf_cpumask_first_and")
_QUIET = ("init", "init_cids", "exit", "dump", "dump_cpu", "dump_cid", "dump_task")


def local_queues(scene: Scene) -> Iterator[Finding]:
    """R05, R06: a task goes to the local queue of a CPU that exists and that it may use."""
    cpus = Cpus(scene)
    for item in scene.inserts:
        if item.queue.kind is QueueKind.LOCAL_ON:
            yield from _local_on(scene, cpus, item)
        elif item.queue.kind is QueueKind.LOCAL:
            yield from _moved_here(scene, cpus, item)


def _local_on(scene: Scene, cpus: Cpus, item: Placed) -> Iterator[Finding]:
    origin = item.event.arguments["queue"].sources
    number = scene.behaviour.terms.of(item.queue.number, origin)
    cpu = item.queue.cpu if item.queue.atoms else number
    if item.queue.atoms and item.queue.number:
        cpu = scene.behaviour.terms.operation("+", cpu, number)
    task, lines = item.event.arguments["task"], scene.lines([item])
    for way in item.event.path:
        astray = cpus.astray(cpu, way)
        if astray:
            yield surely(
                f"inserts into {item.queue}: {astray}; compare with scx_bpf_nr_cpu_ids(), and "
                "handle errors",
                "R05",
                lines=lines,
            )
        elif _may_not_move(scene, cpus, item, cpu, way):
            yield surely(
                f"inserts into {item.queue} tasks that must not move for now, as the flag "
                "SCX_OPS_ENQ_MIGRATION_DISABLED asks for them: leave such a task on "
                "scx_bpf_task_cpu(p), or leave the flag out",
                "R07",
                lines=lines,
            )
        elif cpus.allowed(cpu, task, way) is False:
            yield surely(
                f"inserts into {item.queue} whether the task may run there or not: ask "
                "bpf_cpumask_test_cpu(cpu, p->cpus_ptr) first, or pick a CPU out of p->cpus_ptr",
                "R06",
                lines=lines,
            )


def _may_not_move(scene: Scene, cpus: Cpus, item: Placed, cpu: Term, way: Way) -> bool:
    """Say whether a task that is not to migrate may be sent to another CPU."""
    flags = scene.behaviour.object.table.numbers.get("flags", 0)
    if not flags & _ENQ_MIGRATION_DISABLED or item.event.operation != "enqueue":
        return False
    if cpus.is_its_own(cpu, item.event.arguments["task"]):
        return False
    asked = "field:task_struct.migration_disabled"
    return not any(asked in a.sources for (_, a, _), _ in way) and not cpus.by_pointer(
        cpu, item.event.arguments["task"], way
    )


def _moved_here(scene: Scene, cpus: Cpus, item: Placed) -> Iterator[Finding]:
    """A task that is taken out of the middle of a queue, or a map, may be bound to another CPU."""
    task = item.event.arguments["task"]
    if item.event.operation != "dispatch" or task.role not in (Role.ELEMENT, Role.RESULT):
        return
    if "from" in item.event.arguments and _is_own_queue(item.event.arguments["from"]):
        return
    for way in item.event.path:
        tested = any(
            name_of(a) == "bpf_cpumask_test_cpu" and task in _atoms(a.parts[1])
            for (_, a, _), holds in way
            if not holds and len(a.parts) > 1
        )
        standing = scene.influences.way_standing(way)
        if not tested and not cpus.allowed_by_count(task, way) and standing > Standing.KERNEL:
            yield surely(
                "moves a task to this CPU's local queue whether it may run here or not: ask "
                "bpf_cpumask_test_cpu(cpu, p->cpus_ptr) first",
                "R06",
                lines=scene.lines([item]),
            )
            return


def _atoms(term: Term) -> list[Term]:
    found = [term]
    for part in term.parts:
        found += _atoms(part)
    return found


def _is_own_queue(queue: Term) -> bool:
    """Say whether a queue is that of the CPU that dispatches."""
    return "argument:this_cpu" in queue.sources or "place" in queue.sources


def cpus_chosen(scene: Scene) -> Iterator[Finding]:
    """R12, K02, Q12: select_cpu returns a CPU that there is, and not the same one for all."""
    cpus = Cpus(scene)
    returns = [e for e in scene.behaviour.of("return") if e.operation in _SELECT]
    real = [e for e in returns if scene.standing(e.path) is not Standing.EXCEPTION]
    numbers = [literal(scene, e.arguments["value"]) for e in real]
    said = list(zip(real, numbers, strict=True))
    for event, number in said:
        lines = [scene.behaviour.line(event)]
        for way in event.path:
            astray = cpus.astray(event.arguments["value"], way)
            if astray:
                yield surely(
                    f"select_cpu returns a number that is no CPU: {astray}; return prev_cpu then",
                    "R12",
                    lines=lines,
                )
            elif cpus.perhaps_none(event.arguments["value"], way):
                yield possibly(
                    "select_cpu returns a CPU out of a mask that may be empty: return prev_cpu "
                    "when the number is negative",
                    "R12",
                    lines=lines,
                )
        if number is not None and 0 < number < 1 << 31 and not _is_counted(scene, event, said):
            yield surely(
                f"select_cpu returns CPU {number}, which is written into the code: pick a CPU out "
                "of p->cpus_ptr, or take the number from a knob",
                "Q12",
                "K02",
                lines=lines,
            )
        elif number == 0 and None in numbers:
            yield possibly(
                "select_cpu returns CPU 0 in some case: return prev_cpu, which is nearer",
                "K02",
                lines=lines,
            )
    lowest = [name_of(stripped(e.arguments["value"])) in _FIRST for e in real]
    if real and (set(numbers) == {0} or all(lowest)):
        yield surely(
            "select_cpu returns the lowest CPU for everybody, so that the others idle: pick an "
            "idle CPU out of p->cpus_ptr, or any",
            "K02",
            lines=scene.behaviour.lines(real),
        )


def cpus_named(scene: Scene) -> Iterator[Finding]:
    """Q12: no CPU's number is written into the code."""
    compared = [
        (asked, literal(scene, asked.question[2]))
        for asked in scene.behaviour.asked
        if asked.question[0] == EQ and asked.operation not in _QUIET and _is_cpu(asked.question[1])
    ]
    for asked, number in compared:
        if number is None or number >= 1 << 31 or _is_computed(scene, asked):
            continue
        words = (
            f"compares a CPU with {number}, which is written into the code: other machines have "
            "other CPUs; ask for what makes that CPU special, or take the number from a knob"
        )
        found = surely if number else possibly
        yield found(words, "Q12", lines=[scene.behaviour.line(asked)])
    for asked in scene.behaviour.asked:
        mask = _mask_of_cpus(scene, asked.question[1])
        if asked.question[0] == EQ and asked.operation not in _QUIET and mask is not None:
            yield surely(
                f"looks a CPU up in {mask:#x}, which is written into the code: other machines have "
                "other CPUs; take the mask from a knob, or from what the kernel says",
                "Q12",
                lines=[scene.behaviour.line(asked)],
            )
    spoken = [
        (event, literal(scene, event.arguments["cpu"]))
        for event in scene.behaviour.of(Effect.KICK, Effect.ASK_IDLE)
        if "cpu" in event.arguments and event.operation not in _QUIET
    ]
    for event, number in spoken:
        if number is None or not 0 < number < 1 << 31 or _is_counted(scene, event, spoken):
            continue
        yield surely(
            f"{'kicks' if event.what is Effect.KICK else 'asks about'} CPU {number}, which is "
            "written into the code",
            "Q12",
            lines=[scene.behaviour.line(event)],
        )


def _mask_of_cpus(scene: Scene, term: Term) -> int | None:
    """Return the mask in the code of which a term is a CPU's bit, if it is one."""
    term = stripped(term)
    if term.role is not Role.OPERATION or term.value != "&":
        return None
    shifted, other = (stripped(part) for part in term.parts)
    if shifted.role is not Role.OPERATION or shifted.value not in (">>", "<<"):
        return None
    mask = shifted.parts[0] if shifted.value == ">>" else other
    cpu = stripped(shifted.parts[1])
    if cpu.role is Role.OPERATION and cpu.value == "&":
        cpu = stripped(cpu.parts[0])
    number = literal(scene, mask)
    return number if _is_cpu(cpu) and number not in (None, 0, 1, MASK) else None


def _is_computed(scene: Scene, asked: Asked) -> bool:
    """Say whether a number that is compared was counted or computed on the way there."""
    section, slot = asked.place
    instruction = scene.behaviour.object.code[section][slot]
    number = stripped(asked.question[2])
    return not instruction.immediate and number.role is Role.NUMBER and not number.sources


def _is_counted(scene: Scene, at: Event, named: Iterable[tuple[Event, int | None]]) -> bool:
    """Say whether all numbers from 0 to that of a place are named there: a loop counts them."""
    line = scene.behaviour.line(at)
    numbers = {n for other, n in named if n is not None and scene.behaviour.line(other) == line}
    mine = max((n for other, n in named if other is at and n is not None), default=0)
    return numbers >= {*range(max(mine, _COUNTED_LEAST))}


def _is_cpu(term: Term) -> bool:
    return name_of(stripped(term)) in _CPU_NAMES
