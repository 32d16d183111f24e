"""Explores the programs of an object, and returns all that they do.

Every path is followed; calls are followed into the object's own functions. Where a block is reached
by too many different states, further ones are taken together; where the whole is too much, the
operation is left unfinished, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import cache

from .annotations import Place
from .arithmetic import MASK
from .calling import DISPATCHING, PENDING, signature_of
from .conditions import joined
from .effects import CPUS_MAX
from .events import Asked, Behaviour, Event
from .graphs import Graph, graph
from .instructions import Instruction, Target
from .memory import Memory
from .programs import Function, ProgramObject
from .running import Budget, Run, Workshop, leads_inside
from .states import State, Status
from .terms import Role, Term, Terms

__all__ = ["explore"]

_STEPS_MAX = 1_000_000
_EVENTS_MAX = 10_000
_DEPTH_MAX = 8
_CALLBACKS_MAX = 16
_BEGINNINGS: dict[str, Status] = {
    "enqueue": (PENDING,),
    "select_cpu": (PENDING,),
    "select_cid": (PENDING,),
    "dispatch": (DISPATCHING, frozenset()),
}
_ROLES: dict[str, tuple[str, ...]] = {
    "select_cpu": ("task", "previous_cpu", "wake_flags"),
    "select_cid": ("task", "previous_cpu", "wake_flags"),
    "enqueue": ("task", "enqueue_flags"),
    "dequeue": ("task", "dequeue_flags"),
    "dispatch": ("this_cpu", "previous_task"),
    "runnable": ("task", "enqueue_flags"),
    "stopping": ("task", "runnable"),
    "quiescent": ("task", "dequeue_flags"),
    "yield": ("task", "other_task"),
    "core_sched_before": ("task", "other_task"),
    "set_weight": ("task", "weight"),
    "update_idle": ("this_cpu", "idle"),
    "cpu_acquire": ("this_cpu",),
    "cpu_release": ("this_cpu",),
}
"""What the arguments of an operation are."""
_ABOUT_TASKS = frozenset(
    {"tick", "running", "set_cpumask", "set_cmask", "init_task", "exit_task", "enable", "disable"}
)


def explore(object_: ProgramObject, kernel_has: Callable[[str], bool]) -> Behaviour:
    """Return what an object's programs do, or raise ValueError when it has no proper code."""
    return _Explorer(object_, kernel_has).behaviour()


def _united(events: list[Event]) -> tuple[Event, ...]:
    """Return each event once, whatever else the states differed in that led to it."""
    found: dict[Hashable, Event] = {}
    for event in events:
        key = (
            event.operation,
            event.what,
            event.name,
            event.place,
            frozenset(event.arguments.items()),
            event.result,
            event.status,
        )
        known = found.get(key)
        if known is not None:
            path, touched = joined(known.path, event.path), known.touched | event.touched
            event = replace(known, path=path, touched=touched)
        found[key] = event
    return tuple(found.values())


class _Explorer:
    """Explores one object."""

    def __init__(self, object_: ProgramObject, kernel_has: Callable[[str], bool]) -> None:
        self._object, self._terms = object_, Terms()
        self._shop = Workshop(
            object_,
            self._terms,
            Memory(object_, self._terms),
            cache(kernel_has),
            self._graph,
            self._found_callback,
            Budget(_STEPS_MAX),
        )
        self._graphs: dict[tuple[str, int], Graph] = {}
        self._callbacks: dict[tuple[str, Term], Term] = {}
        self._events: list[Event] = []
        self._asked: dict[Asked, None] = {}
        self._gone: dict[Place, set[int]] = {}
        self._unfinished: list[str] = []

    def behaviour(self) -> Behaviour:
        """Explore every operation, then every callback of a timer or work queue."""
        for operation, function in sorted(self._object.table.operations.items()):
            self._operation(operation, function, (self._context(operation),))
        done: set[tuple[str, Term]] = set()
        while len(done) < min(len(self._callbacks), _CALLBACKS_MAX):
            key = next(key for key in self._callbacks if key not in done)
            done.add(key)
            callback = self._function(key[1])
            unknown = self._terms.unknown(frozenset())
            if callback is None:
                self._unfinished.append(key[0])
            else:
                self._operation(key[0], callback, (unknown, unknown, self._callbacks[key]))
        if len(done) < len(self._callbacks):
            self._unfinished.append("callbacks")
        events = _united(self._events)
        if len(events) > _EVENTS_MAX:
            self._unfinished.append("all")
        return Behaviour(
            self._object,
            self._terms,
            events[:_EVENTS_MAX],
            tuple(self._asked)[:_EVENTS_MAX],
            tuple(dict.fromkeys(self._unfinished)),
            self._graphs,
            {place: frozenset(following) for place, following in self._gone.items()},
        )

    def _operation(self, operation: str, function: Function, arguments: tuple[Term, ...]) -> None:
        run = Run(self._shop, operation)
        state = State(self._terms, _BEGINNINGS.get(operation, ()))
        for register, term in enumerate(arguments, 1):
            state.registers[register] = term
        run.explore(function, state)
        self._events += run.events()
        self._asked.update(run.asked)
        for place, following in run.gone:
            self._gone.setdefault(place, set()).add(following)
        if not run.whole:
            self._unfinished.append(operation)

    def _context(self, operation: str) -> Term:
        """Return the context of an operation, whose parts are its arguments."""
        fields = self._object.fields
        roles = _ROLES.get(operation, ("task",) if operation in _ABOUT_TASKS else ())
        arguments = []
        for index, type_id in enumerate(self._object.table.signatures.get(operation, ())):
            role = roles[index] if index < len(roles) else f"{operation}.{index}"
            struct = fields.pointed(type_id) if fields is not None else None
            cpu = role in ("this_cpu", "previous_cpu")
            arguments.append(
                self._terms.make(
                    Role.ARGUMENT,
                    (role, index, struct),
                    sources={f"argument:{role}"},
                    bounds=(0, CPUS_MAX - 1) if cpu else (0, MASK),
                )
            )
        return self._terms.make(Role.CONTEXT, operation, tuple(arguments))

    def _found_callback(self, kind: str, code: Term, root: Term) -> None:
        self._callbacks.setdefault((kind, code), root)

    def _function(self, code: Term) -> Function | None:
        if code.role is not Role.CODE or not isinstance(code.value, tuple):
            return None
        section, slot = code.value
        return self._object.function_at(str(section), int(slot))

    # Graphs

    def _graph(self, function: Function, depth: int = 0) -> Graph:
        key = (function.section, function.first)
        if key not in self._graphs:
            code = self._object.code.get(function.section, {})
            self._graphs[key] = graph(
                function, code, leads_inside, lambda call: self._arity(call, depth + 1)
            )
        return self._graphs[key]

    def _arity(self, call: Instruction, depth: int) -> int:
        """Return how many arguments a call takes; of the object's own functions, what they read."""
        signature = signature_of(call)
        if signature is not None:
            return signature.arity
        reference = call.reference
        callee = None
        if reference is not None and reference.target is Target.FUNCTION:
            callee = self._object.function_at(reference.name, reference.offset)
        if callee is None or depth > _DEPTH_MAX:
            return 5
        live = self._graph(callee, depth).live[callee.first].registers
        return max((register for register in live if 1 <= register <= 5), default=0)
