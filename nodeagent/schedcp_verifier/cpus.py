"""Which CPU a number is, and whether a task may surely run there."""

from __future__ import annotations

from .conditions import EQ, SLT, ULT, Way, refined
from .effects import CPUS_MAX
from .findings import Scene
from .terms import Role, Term, linear, stripped

__all__ = ["TASKS_CPU", "TRIES", "Cpus", "literal", "name_of"]

TRIES = frozenset(
    {"scx_bpf_dsq_move_to_local", "scx_bpf_dsq_move_to_local___v2", "scx_bpf_consume", "before"}
)
"""What takes the first task of a queue; `before` is the same in an earlier turn of a loop."""

TASKS_CPU = frozenset({"scx_bpf_task_cpu", "scx_bpf_task_cid"})
"""What asks for the CPU that a task is on, or was put on by select_cpu."""
_CHOSEN = frozenset(
    {"scx_bpf_select_cpu_dfl", "scx_bpf_select_cpu_and", "__scx_bpf_select_cpu_and"}
)
_OF_MASK = frozenset(
    {
        *("scx_bpf_pick_idle_cpu", "scx_bpf_pick_idle_cpu_node"),
        *("scx_bpf_pick_any_cpu", "scx_bpf_pick_any_cpu_node"),
        *("bpf_cpumask_first", "bpf_cpumask_any_distribute"),
        *("bpf_cpumask_first_and", "bpf_cpumask_any_and_distribute"),
    }
)
_ANY_OF_MASK = frozenset({"scx_bpf_pick_any_cpu", "scx_bpf_pick_any_cpu_node"})
"""What finds a CPU in every mask that is not empty."""
_HERE = frozenset({"bpf_get_smp_processor_id", "scx_bpf_this_cid"})
_RUNS = frozenset({"running", "stopping", "tick", "quiescent", "enable", "init_task"})
_COUNTS = frozenset({"scx_bpf_nr_cpu_ids", "scx_bpf_nr_cids"})
_MASKS = ("task_struct.cpus_ptr", "task_struct.user_cpus_ptr")


def name_of(term: Term) -> str:
    """Return the function that a result is of, the role of an argument, or nothing."""
    if term.role in (Role.RESULT, Role.ARGUMENT) and isinstance(term.value, tuple):
        return str(term.value[0])
    return ""


def _field(term: Term) -> str:
    found = term.role is Role.FIELD and isinstance(term.value, tuple)
    return str(term.value[0]) if found and isinstance(term.value, tuple) else ""


def _same(first: Term, second: Term) -> bool:
    return first is second or (first.number is not None and first.number == second.number)


def literal(scene: Scene, term: Term) -> int | None:
    """Return a number that is written in the code: no knob, and no variable that anybody sets."""
    term = stripped(term)
    if term.number is not None:
        knob = any(source.startswith(("knob:", "iteration")) for source in term.sources)
        return None if knob else term.number
    if term.role is not Role.CELL or not isinstance(term.value, tuple):
        return None
    name = str(term.value[0])
    if name in scene.influences.all_writes or term.parts[0].role is not Role.DATA:
        return None
    return scene.influences.initial(name)


class Cpus:
    """Answers questions about CPU numbers, in one scheduler."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def allowed(self, cpu: Term, task: Term, way: Way) -> bool | None:
        """Say whether a task may run on a CPU: surely, surely not always, or it is not known."""
        cpu = stripped(cpu)
        if self._tested(cpu, task, way) or self._everywhere(task, way):
            return True
        if literal(self._scene, cpu) is not None:
            return False
        name = name_of(cpu)
        if name in TASKS_CPU or name in _CHOSEN:
            return True if cpu.parts and cpu.parts[0] is task else None
        if name in _OF_MASK:
            return any(self._is_mask(part, task) for part in cpu.parts)
        if name in _HERE:
            return False
        if cpu.role is Role.OPERATION:
            return False if self._computed(cpu) else None
        if cpu.role is Role.CELL and self._is_where_it_ran(cpu, way):
            return False
        return False if cpu.role is Role.ELEMENT else None

    def _computed(self, cpu: Term) -> bool:
        """Say whether a number comes from what says nothing of where a task may run."""
        known = ("field:task_struct.", "cell:", "place", "random", "machine", "argument:", "time")
        foreign = ("field:task_struct.cpus_ptr", "field:task_struct.wake_cpu", "map:", "memory")
        return all(
            source.startswith((*known, "@", "knob:", "current")) for source in cpu.sources
        ) and (not any(source.startswith(foreign) for source in cpu.sources))

    def _is_where_it_ran(self, cell: Term, way: Way) -> bool:
        """Say whether a place holds the CPU on which a task ran last, wherever it may run now."""
        name = str(cell.value[0]) if isinstance(cell.value, tuple) else ""
        written = self._scene.influences.all_writes.get(name, ())
        if not written or any(cell in (stripped(a), stripped(b)) for (_, a, b), _ in way):
            return False
        return all(
            event.operation in _RUNS
            and name_of(stripped(event.arguments["value"])) in TASKS_CPU | _HERE
            for event in written
            if "value" in event.arguments
        )

    def _is_mask(self, mask: Term, task: Term) -> bool:
        """Say whether a mask is that of the CPUs that a task may use."""
        atoms, _ = linear(mask)
        for atom in atoms:
            # The mask that the task points to, or the one that lies in the task itself.
            if atom is task or (_field(atom) in _MASKS and atom.parts[0] is task):
                return True
        return False

    def _tested(self, cpu: Term, task: Term, way: Way) -> bool:
        for (name, a, b), holds in way:
            if name == EQ and b.number == 0 and not holds and name_of(a) == "bpf_cpumask_test_cpu":
                tested, mask = a.parts[0], a.parts[1]
                if _same(stripped(tested), cpu) and self._is_mask(mask, task):
                    return True
        return False

    def is_its_own(self, cpu: Term, task: Term) -> bool:
        """Say whether a CPU is the one that the task is on."""
        cpu = stripped(cpu)
        return name_of(cpu) in TASKS_CPU and bool(cpu.parts) and cpu.parts[0] is task

    def by_pointer(self, cpu: Term, task: Term, way: Way) -> bool:
        """Say whether a CPU comes from `p->cpus_ptr`, which is one CPU for who must not move."""
        cpu = stripped(cpu)
        masks = [*cpu.parts]
        for (_, a, _), holds in way:
            if (
                not holds
                and name_of(a) == "bpf_cpumask_test_cpu"
                and _same(stripped(a.parts[0]), cpu)
            ):
                masks.append(a.parts[1])
        return any(_field(mask) in _MASKS and mask.parts[0] is task for mask in masks)

    def allowed_by_count(self, task: Term, way: Way) -> bool:
        """Say whether the way is one for tasks that may use every CPU."""
        return self._everywhere(task, way)

    def _everywhere(self, task: Term, way: Way) -> bool:
        """Say whether the way is one for tasks that may use every CPU."""
        for (name, a, b), holds in way:
            fields = [t for t in (a, b) if _field(t) == "task_struct.nr_cpus_allowed"]
            counts = [t for t in (a, b) if name_of(t) in _COUNTS]
            if name == EQ and holds and fields and counts and fields[0].parts[0] is task:
                return True
        return False

    def astray(self, cpu: Term, way: Way) -> str:
        """Return why a number is at times no CPU, empty when that is not known."""
        cpu = stripped(cpu)
        number = cpu.number
        if number is not None:
            return "" if number < CPUS_MAX else f"{number:#x} is no CPU"
        name = name_of(cpu)
        if refined(cpu, way)[0] < 0 and name in (_OF_MASK | _CHOSEN) - _ANY_OF_MASK:
            return f"{name}() returns a negative number when there is none"
        atoms, distance = linear(cpu)
        if len(atoms) != 1 or distance == 0 or self._bounded(cpu, way):
            return self._past_the_end(cpu, way)
        ((atom, factor),) = atoms.items()
        if factor != 1 or not self._is_any_cpu(atom):
            return self._past_the_end(cpu, way)
        if distance > 0:
            return f"the last CPU plus {distance} is no CPU"
        return "" if refined(cpu, way)[0] >= 0 else f"CPU 0 minus {-distance} is no CPU"

    def perhaps_none(self, cpu: Term, way: Way) -> bool:
        """Say whether a number is one out of a mask that might be empty, and nobody looked."""
        cpu = stripped(cpu)
        if name_of(cpu) not in _ANY_OF_MASK or refined(cpu, way)[0] >= 0:
            return False
        return not any(_field(part) in _MASKS or "machine" in part.sources for part in cpu.parts)

    def _past_the_end(self, cpu: Term, way: Way) -> str:
        atoms, distance = linear(cpu)
        counts = [atom for atom in atoms if name_of(atom) in _COUNTS]
        if len(atoms) == 1 and counts and distance >= 0 and not self._bounded(cpu, way):
            return "the number of CPUs is one more than the last CPU"
        return ""

    def _is_any_cpu(self, term: Term) -> bool:
        name = name_of(term)
        return name in TASKS_CPU | _HERE or name in ("previous_cpu", "this_cpu")

    def _bounded(self, cpu: Term, way: Way) -> bool:
        """Say whether somebody compared a number with another before using it."""
        inner, _ = linear(cpu)
        return any(
            name in (ULT, SLT, EQ) and any(linear(side)[0] == inner for side in (a, b))
            for (name, a, b), _ in way
        )
