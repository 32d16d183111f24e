"""How lasting it is that a fact holds: what tasks keep as it is, and what changes by itself."""

from __future__ import annotations

from enum import IntEnum

from .arithmetic import signed
from .conditions import EQ, SLT, ULT, Fact
from .effects import CPU_SOURCES
from .terms import Role, Term, linear, stripped

__all__ = [
    "Standing",
    "is_exiting",
    "is_neutral",
    "is_static",
    "is_uniprocessor",
    "may_be_full",
    "standing_of_itself",
]

_PF_EXITING = 0x4
_PF_KERNEL = 0x0420_0032
"""PF_IDLE, PF_IO_WORKER, PF_WQ_WORKER, PF_KTHREAD, PF_NO_SETAFFINITY: user tasks have none."""
_WAKEUP = 1
_MACHINES = (2, 4, 16, 64, 512)
_COUNTS = (("scx_bpf_nr_cpu_ids",), ("scx_bpf_nr_cids",))
_FEW_CPUS = 64
"""Whoever looks whether a CPU's number is below this or more guards a table."""
_STATIC = frozenset(
    f"field:task_struct.{name}"
    for name in (
        *("scx.weight", "static_prio", "normal_prio", "prio", "rt_priority", "policy"),
        *("pid", "tgid", "comm", "start_time", "start_boottime", "cgroups", "sched_task_group"),
        *("group_leader", "real_parent", "parent", "nsproxy", "real_cred", "cred", "files", "fs"),
        *("signal", "exit_signal", "personality", "sessionid", "loginuid", "thread_pid", "mm"),
        *(
            "cpus_ptr",
            "cpus_mask",
            "user_cpus_ptr",
            "active_mm",
            "flags",
            "in_iowait",
            "core_cookie",
            "scx.disallow",
            "stack",
        ),
    )
)
"""Fields that stay as they are for as long as whoever owns the task likes."""
_STATIC_ROOTS = (
    "field:cgroup.",
    "field:kernfs_node.",
    "field:css_set.",
    "field:cgroup_subsys_state.",
    "field:task_group.",
    "field:cred.",
    "field:nsproxy.",
    "field:mm_struct.",
    "field:signal_struct.",
    "field:qstr.",
    "field:dentry.",
    "field:pid.",
    "field:upid.",
    "field:scx_init_task_args.",
    "field:scx_cgroup_init_args.",
)
_NEUTRAL = frozenset(
    {"machine", "kernel", "iteration", "iterator", "stack", "place", "idle"}
    | {"argument:enqueue_flags", "argument:wake_flags", "argument:this_cpu", "argument:task"}
    | {"argument:previous_cpu", "argument:previous_task", "mask", "any"}
)
"""Neither a task's doing nor something that changes by itself."""
_NEUTRAL_ROOTS = (
    *("knob:", "table:", "kernel:", "offset:", "@"),
    *(f"argument:{name}." for name in ("init_task", "cgroup_init", "cpuctl_init")),
    *(f"argument:{name}." for name in ("cgroup_prep_move", "cpuctl_prep_move")),
)
"""The last are addresses of tasks, groups and the like, not what these hold."""
_MEMBERSHIP = frozenset({"cgroup", "current"})


class Standing(IntEnum):
    """How lasting a way through a program is for an ordinary task on a busy machine."""

    EXCEPTION = 0
    """An error, an exiting task, an idle CPU: not what a busy machine looks like for long."""
    KERNEL = 1
    """Kernel threads only."""
    PINNED = 2
    """Tasks that may run on few CPUs only."""
    CHANGING = 3
    """It depends on something that changes: time, what was used, chance, queues."""
    LASTING = 4
    """Nothing, or only what a task can keep as it is for as long as it likes."""


_AFFINITY = (
    "field:task_struct.nr_cpus_allowed",
    "field:task_struct.migration_disabled",
    "field:task_struct.migration_flags",
)
_CPUS_OF_TASK = "field:task_struct.cpus_ptr"
_WHOLE = frozenset({"bpf_cpumask_subset", "bpf_cpumask_equal", "bpf_cpumask_full"})
"""What asks whether a task may run on all CPUs, if its mask is the last one named."""
_FLAGS = frozenset({"argument:enqueue_flags", "argument:wake_flags"})


def is_neutral(source: str) -> bool:
    """Say whether something is neither a task's doing nor changes by itself."""
    return source in _NEUTRAL or source.startswith(_NEUTRAL_ROOTS)


def is_static(source: str) -> bool:
    """Say whether something stays as it is for as long as a task's owner likes."""
    return source in _STATIC or source in _MEMBERSHIP or source.startswith(_STATIC_ROOTS)


def _is_pointer(term: Term) -> bool:
    name = str(term.value[0]) if isinstance(term.value, tuple) else ""
    return name.startswith(("bpf_obj_new", "bpf_percpu_obj_new", "bpf_cpumask_", "bpf_task_")) and (
        term.bounds[1] > 1 << 32
    )


def _is_no_cpu(fact: Fact) -> bool:
    """Say whether a fact is that of a CPU whose number is out of bounds."""
    (name, a, b), holds = fact
    if holds or name not in (ULT, SLT) or not CPU_SOURCES & a.sources or a.role is Role.OPERATION:
        return False
    if isinstance(a.value, tuple) and str(a.value[0]).startswith("scx_bpf_dsq_"):
        return False  # the length of a CPU's queue
    return b.number is None or b.number >= _FEW_CPUS


def _is_own_half(fact: Fact) -> bool:
    """Say whether a fact is that a task is one that whoever loads the scheduler has named."""
    (name, a, b), holds = fact
    knob = any(source.startswith("knob:") for source in b.sources)
    numbers = {"field:task_struct.pid", "field:task_struct.tgid"}
    return name == EQ and holds and knob and a.role is Role.FIELD and bool(numbers & a.sources)


def _is_idle_task(fact: Fact) -> bool:
    """Say whether a fact is that nobody ran before: dispatch is called by an idle CPU."""
    (name, a, b), holds = fact
    if name != EQ or not holds or b.number != 0 or "argument:previous_task" not in a.sources:
        return False
    field = str(a.value[0]) if a.role is Role.FIELD and isinstance(a.value, tuple) else ""
    return a.role is Role.ARGUMENT or field == "task_struct.pid"


def is_uniprocessor(fact: Fact) -> bool:
    """Say whether a fact holds on machines with one CPU only."""
    (name, a, b), holds = fact
    if "machine" not in (a.sources | b.sources):
        return False
    for count in _MACHINES:
        x, y = _on_machine(a, count), _on_machine(b, count)
        if x is None or y is None or (x == y if name == EQ else x < y) == holds:
            return False
    return True


def _on_machine(term: Term, count: int) -> int | None:
    """Return the value of a term on a machine of so many CPUs, None if it depends on more."""
    atoms, number = linear(term)
    if any(atom.value not in _COUNTS for atom in atoms):
        return None
    return number + sum(factor * count for factor in atoms.values())


def may_be_full(term: Term) -> bool:
    """Say whether a result is that of a store into a map, which may have no room."""
    name = str(term.value[0]) if isinstance(term.value, tuple) else ""
    return name in ("bpf_map_update_elem", "bpf_map_push_elem")


def _bits(term: Term) -> tuple[Term, int]:
    """Return the value of which a term is some bits, and which bits of it."""
    mask, term = (1 << 64) - 1, stripped(term)
    for _ in range(4):
        if term.role is not Role.OPERATION or len(term.parts) < 2:
            break
        inner, number = stripped(term.parts[0]), term.parts[1].number
        if number is None:
            break
        if term.value == "&":
            mask &= number
        elif term.value == ">>":
            mask <<= number
        elif term.value == "<<":
            mask >>= number
        else:
            break
        term = inner
    return term, mask


def _of_kernel(fact: Fact) -> Standing | None:
    """Return the standing of a question about flags that tell kernel threads, None of others."""
    (name, a, b), holds = fact
    value, mask = _bits(a)
    if name != EQ or b.number != 0 or value.role is not Role.FIELD:
        return None
    field = str(value.value[0]) if isinstance(value.value, tuple) else ""
    if field == "task_struct.mm":
        return Standing.KERNEL if holds else Standing.LASTING
    if field != "task_struct.flags":
        return None
    if holds:
        return Standing.LASTING
    if mask & _PF_KERNEL:
        return Standing.KERNEL
    return Standing.EXCEPTION if mask == _PF_EXITING else None


def is_exiting(fact: Fact) -> bool:
    """Say whether a fact is that a task is on its way out."""
    return _of_kernel(fact) is Standing.EXCEPTION


def _of_mask(fact: Fact) -> Standing | None:
    """Return the standing of a question whether a task may run everywhere, None of others."""
    (name, a, b), holds = fact
    asked = str(a.value[0]) if a.role is Role.RESULT and isinstance(a.value, tuple) else ""
    if name != EQ or b.number != 0 or asked not in _WHOLE or _CPUS_OF_TASK not in a.sources:
        return None
    return Standing.PINNED if holds else Standing.LASTING


def _of_affinity(fact: Fact) -> Standing:
    """A task with few CPUs is pinned; one with more is ordinary."""
    (name, a, b), holds = fact
    field = str(a.value[0]) if a.role is Role.FIELD and isinstance(a.value, tuple) else ""
    if name == EQ and holds and any("machine" in side.sources for side in (a, b)):
        return Standing.LASTING
    if field == "task_struct.nr_cpus_allowed":
        few = (name == EQ and b.number == 1) or (name in (ULT, SLT) and b.number is not None)
        if few:
            return Standing.PINNED if holds else Standing.LASTING
    if field.startswith("task_struct.migration") and name == EQ and b.number == 0:
        return Standing.LASTING if holds else Standing.PINNED
    return Standing.PINNED


def _of_flags(fact: Fact) -> Standing:
    """Waking up is ordinary, and so is not to; other flags tell of events."""
    (name, a, b), holds = fact
    value, mask = _bits(a)
    if name != EQ or b.number != 0 or value.role is not Role.ARGUMENT:
        return Standing.CHANGING
    if holds or mask & _WAKEUP:
        return Standing.LASTING
    return Standing.EXCEPTION


def _of_idle(fact: Fact) -> Standing:
    """On a busy machine no CPU is idle."""
    (name, a, b), holds = fact
    term = stripped(a)
    if name == SLT and b.number == 0 and term.role is Role.RESULT:
        return Standing.LASTING if holds else Standing.EXCEPTION
    boolean = term.role in (Role.OUTPUT, Role.RESULT) and term.bounds == (0, 1)
    if name == EQ and b.number == 0 and boolean:
        return Standing.LASTING if holds else Standing.EXCEPTION
    if name == EQ and b.number is not None and signed(b.number) < 0:
        return Standing.LASTING if holds else Standing.EXCEPTION
    return Standing.CHANGING


def standing_of_itself(fact: Fact) -> Standing | None:
    """Return the standing of a fact that needs no look at what programs write, None of others."""
    (name, a, b), holds = fact
    sources = frozenset(s for s in (a.sources | b.sources) if not s.startswith("@"))
    if a.role is Role.RESULT and name in (EQ, SLT) and b.number == 0 and may_be_full(a):
        return Standing.LASTING if holds == (name == EQ) else Standing.EXCEPTION
    if a.role is Role.RESULT and name == EQ and b.number == 0 and _is_pointer(a):
        return Standing.EXCEPTION if holds else Standing.LASTING
    if "field:task_struct.flags" in sources or "field:task_struct.mm" in sources:
        of_kernel = _of_kernel(fact)
        if of_kernel is not None:
            return of_kernel
    if any(s in sources for s in _AFFINITY):
        return _of_affinity(fact)
    of_mask = _of_mask(fact)
    if of_mask is not None:
        return of_mask
    if sources & _FLAGS and sources <= _FLAGS | {s for s in sources if is_neutral(s)}:
        return _of_flags(fact)
    if "idle" in sources:
        return _of_idle(fact)
    if is_uniprocessor(fact):
        return Standing.EXCEPTION
    if _is_no_cpu(fact) or _is_own_half(fact) or _is_idle_task(fact):
        return Standing.EXCEPTION
    return None
