"""What a call does to a state, and the event that it is.

Returns the states that a call leads to: one, or two where an iterator may be at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .annotations import Place
from .arithmetic import MASK, Bounds
from .conditions import refined
from .effects import Effect, Signature
from .events import TIMER, WORK, Event
from .instructions import Instruction, Target
from .iterating import following, iterated, opened
from .memory import Memory
from .programs import ProgramObject
from .signatures import signature_of_helper, signature_of_kfunc
from .states import State, Status, tag_of
from .terms import Role, Term, Terms

__all__ = [
    "DISPATCHING",
    "HANDED_OUT",
    "INSERTED",
    "PENDING",
    "REPORTED",
    "SOME_TRIED",
    "STORED",
    "Caller",
    "signature_of",
]

PENDING, INSERTED, STORED, REPORTED = "pending", "inserted", "stored", "reported"
HANDED_OUT = "handed_out"
DISPATCHING = "dispatching"
"""What became of the operation's task: nothing yet; it is in a queue; in a map (with the result of
the call and the map's name); it does not matter, for the scheduler ends; somebody got it of whom
nothing is known, such as a function of a newer kernel. A dispatch has no task:
its status holds what it has tried, and the ids of the queues."""
SOME_TRIED: Status = (DISPATCHING, frozenset({None}))
"""Some queues were tried, or somebody may have been served: which and whom cannot be told."""

_SERVING = (Effect.INSERT, Effect.REPORT, Effect.SERVE_OTHERS)
_TRIED_MAX = 8
_ARRAYS = frozenset({2, 6})
_VALUE_BYTES = 64
_CREATE = 1
_OF_TASK = ("argument:task", "field:task_struct")


def signature_of(instruction: Instruction) -> Signature | None:
    """Return what is known of a called function; None for one of the object's own."""
    reference = instruction.reference
    if reference is not None and reference.target is Target.KERNEL:
        return signature_of_kfunc(reference.name)
    if reference is not None or instruction.src == 1:
        return None
    return signature_of_helper(instruction.imm)


@dataclass
class Caller:
    """Executes calls of one operation."""

    object: ProgramObject
    terms: Terms
    memory: Memory
    kernel_has: Callable[[str], bool]
    operation: str
    record: Callable[[Event], None]
    callback: Callable[[str, Term, Term], None]
    """Is told of timers' and work queues' callbacks: the kind, the function, the map."""

    def call(self, state: State, instruction: Instruction, place: Place) -> list[State]:
        """Execute a call of the kernel; the states are new or the one that was given."""
        signature = signature_of(instruction)
        if signature is None:
            signature = Signature("?", roles=("-",) * 5, sources=("call:?",))
        tag = tag_of(place, tuple(frame.site for frame in state.frames))
        state.forget(tag)
        self._look_up(state, instruction, place)
        arguments = self._arguments(state, signature)
        result = self._result(signature, arguments, state, tag)
        event = Event(
            self.operation,
            signature.effect,
            signature.name,
            place,
            state.path,
            arguments,
            result,
            state.status,
            state.touched,
        )
        self._apply(state, signature, arguments, event, tag)
        state.registers[1:6] = [state.dead] * 5
        if signature.effect is Effect.NEXT:
            return following(state, self._stack_spot(arguments["iterator"]), tag)
        state.registers[0] = result
        return [state]

    def _look_up(self, state: State, instruction: Instruction, place: Place) -> None:
        """Record a call of a function that the kernel does not have."""
        reference = instruction.reference
        if reference is None or reference.target is not Target.KERNEL:
            return
        name = reference.name.partition("___")[0]
        if not self.kernel_has(name):
            self.record(Event(self.operation, "absent", name, place, state.path))

    def _arguments(self, state: State, signature: Signature) -> dict[str, Term]:
        found: dict[str, Term] = {}
        for index, role in enumerate(signature.roles):
            name = role if role not in found and role != "-" else f"{role}{index}"
            found[name] = state.registers[1 + index]
        if "map" in found:
            found["map"] = self._held_map(found["map"])
        if "key" in found:
            found["key"] = self._key(state, found)
        if "insert_vtime" in found:
            spot = self.memory.spot(found.pop("insert_vtime"))
            for index, name in enumerate(("queue", "slice", "vtime", "flags")):
                inner = type(spot)(spot.root, spot.offset + 8 * index, spot.variable)
                found[name] = self.memory.load(state, inner, 8)
        if signature.effect is Effect.MOVE:
            found["from"] = iterated(state, self._stack_spot(found["iterator"]))
        return found

    def _held_map(self, map_: Term) -> Term:
        """Return, for a map that was looked up in a map of maps, the one that stands for all."""
        held = f"{map_.value[0]}[]" if isinstance(map_.value, tuple) else ""
        if map_.role is not Role.ENTRY or held not in self.object.maps:
            return map_
        return self.terms.make(Role.MAP, held, sources=map_.sources)

    def _key(self, state: State, arguments: dict[str, Term]) -> Term:
        map_ = self.object.maps.get(str(arguments["map"].value))
        size = map_.key_size if map_ is not None else 0
        pointer = arguments["key"]
        if size in (1, 2, 4, 8):
            return self.memory.load(state, self.memory.spot(pointer), size)
        return self.terms.unknown(self._pointed(state, pointer, size or _VALUE_BYTES))

    def _pointed(self, state: State, pointer: Term, size: int) -> frozenset[str]:
        """Return what flowed into the bytes that a pointer is for."""
        spot = self.memory.spot(pointer)
        if spot.root.role is not Role.STACK or not isinstance(spot.root.value, tuple):
            return pointer.sources
        found = state.within(spot.root.value[0], spot.offset, min(size, _VALUE_BYTES))
        return frozenset().union(*(term.sources for _, term in found))

    # Results

    def _result(
        self, signature: Signature, arguments: dict[str, Term], state: State, tag: str
    ) -> Term:
        match signature.effect:
            case Effect.LOOKUP:
                return self._entry(arguments, state)
            case Effect.STORAGE:
                return self._storage(arguments, state)
        sources = set(signature.sources)
        value: tuple[str, ...] = (signature.name,)
        if not signature.pure:
            value, sources = (signature.name, tag), sources | {tag}
        parts = tuple(term for term in arguments.values() if term.role is not Role.UNKNOWN)
        return self.terms.make(Role.RESULT, value, parts, sources=sources, bounds=signature.result)

    def _entry(self, arguments: dict[str, Term], state: State) -> Term:
        name = str(arguments["map"].value)
        map_ = self.object.maps.get(name)
        bounds: Bounds = (0, MASK)
        low, high = refined(arguments["key"], frozenset.intersection(*state.path))
        if map_ is not None and map_.kind in _ARRAYS and low >= 0 and high < map_.entries:
            bounds = (1, MASK)
        version = state.versions.get(f"map:{name}", "")
        parts = tuple(arguments[role] for role in ("key", "cpu") if role in arguments)
        sources = {f"map:{name}"} | ({version} if version else set())
        return self.terms.make(Role.ENTRY, (name, version), parts, sources=sources, bounds=bounds)

    def _storage(self, arguments: dict[str, Term], state: State) -> Term:
        name = str(arguments["map"].value)
        owner = arguments.get("task") or arguments["cgroup"]
        creates = arguments["flags"].number == _CREATE
        version = "create" if creates else state.versions.get(f"map:{name}", "")
        sources = {f"map:{name}"} | ({version} if version.startswith("@") else set())
        return self.terms.make(Role.ENTRY, (name, version), (owner,), sources=sources)

    # Effects

    def _apply(
        self,
        state: State,
        signature: Signature,
        arguments: dict[str, Term],
        event: Event,
        tag: str,
    ) -> None:
        """Change the state as the call does, and record the event."""
        match signature.effect:
            case Effect.NOTHING | Effect.NEXT:
                pass
            case Effect.ITERATE:
                iterator = opened(self.terms, signature.name, arguments, tag)
                self._write(state, arguments["iterator"], 8, iterator)
            case Effect.CLOSE:
                self._write(state, arguments["iterator"], 8, state.dead)
            case Effect.READ:
                self._read(state, arguments)
            case Effect.POP:
                self._write(state, arguments["value"], 8, self._popped(arguments, tag))
            case Effect.FORMAT:
                sources = self._pointed(state, arguments["values"], _VALUE_BYTES)
                unknown = self.terms.unknown(sources | {"text"})
                self._write(state, arguments["to"], _VALUE_BYTES, unknown)
            case Effect.CALLBACK:
                self._register(signature, arguments)
            case Effect.UPDATE | Effect.DELETE:
                state.held = {}
                state.versions[f"map:{arguments['map'].value}"] = tag
                self._stores_of_update(state, arguments, event)
            case Effect.STORAGE if arguments["flags"].number == _CREATE:
                state.versions[f"map:{arguments['map'].value}"] = "create"
        if signature.effect not in (Effect.NOTHING, Effect.NEXT, Effect.CLOSE):
            self.record(self._with_values(state, event))
        state.status = self._status(state, signature, arguments, event, tag)
        if signature.output is not None:
            index, size, bounds = signature.output
            pointer = list(arguments.values())[index]
            written = self.terms.make(
                Role.OUTPUT,
                (signature.name, tag),
                sources={*signature.sources, tag},
                bounds=bounds if size < 8 else (0, MASK),
            )
            self._write(state, pointer, size, written)

    def _popped(self, arguments: dict[str, Term], tag: str) -> Term:
        name = arguments["map"].value
        return self.terms.make(
            Role.OUTPUT, ("popped", tag), sources={tag, f"map:{name}", f"cell:{name}"}
        )

    def _with_values(self, state: State, event: Event) -> Event:
        """Add what flowed into values that a call is given by address."""
        if event.what not in (Effect.PUSH, Effect.UPDATE, Effect.PRINT, Effect.FORMAT):
            return event
        held = {
            f"{role}.held": self.terms.unknown(self._pointed(state, pointer, _VALUE_BYTES))
            for role, pointer in event.arguments.items()
            if pointer.role is Role.STACK
        }
        return replace(event, arguments={**event.arguments, **held})

    def _stores_of_update(self, state: State, arguments: dict[str, Term], event: Event) -> None:
        """Record what an update writes as stores into the map's value."""
        if "value" not in arguments:
            return
        spot = self.memory.spot(arguments["value"])
        if spot.root.role is not Role.STACK or not isinstance(spot.root.value, tuple):
            return
        name = arguments["map"].value
        root = self.terms.make(Role.ENTRY, (str(name), ""), (arguments["key"],))
        found = list(state.within(spot.root.value[0], spot.offset, _VALUE_BYTES))
        for distance, term in found:
            if distance >= 0:
                self.record(
                    Event(
                        self.operation,
                        "store",
                        f"{name}+{distance}",
                        event.place,
                        state.path,
                        {"value": term, "root": root},
                        status=state.status,
                    )
                )

    def _register(self, signature: Signature, arguments: dict[str, Term]) -> None:
        kind = WORK if "wq" in signature.name else TIMER
        spot = self.memory.spot(next(iter(arguments.values())))
        self.callback(kind, arguments["callback"], spot.root)

    def _write(self, state: State, pointer: Term, size: int, value: Term) -> None:
        spot = self.memory.spot(pointer)
        if spot.root.role is not Role.STACK or not isinstance(spot.root.value, tuple):
            return
        frame = spot.root.value[0]
        if spot.variable:
            state.scramble(frame, -512, 512, value.sources)
        elif size in (1, 2, 4, 8):
            state.put(frame, spot.offset, size, value)
        else:
            state.scramble(frame, spot.offset, size, value.sources)

    def _read(self, state: State, arguments: dict[str, Term]) -> None:
        size = arguments["size"].number
        source = self.memory.spot(arguments["from"])
        if size in (1, 2, 4, 8):
            value = self.memory.load(state, source, size)
        else:
            value = self.memory.load(state, source, 8)
            value = self.terms.unknown(value.sources)
        self._write(state, arguments["to"], size or _VALUE_BYTES, value)

    def _status(
        self,
        state: State,
        signature: Signature,
        arguments: dict[str, Term],
        event: Event,
        tag: str,
    ) -> Status:
        before = state.status
        if not before:
            return before
        if before[0] == DISPATCHING:
            return self._tried(before, signature, arguments)
        match signature.effect:
            case Effect.REPORT:
                return (REPORTED,)
            case Effect.INSERT if _is_own(arguments["task"]):
                return (INSERTED, tag)
            case Effect.PUSH | Effect.KEEP if before[0] in (PENDING, STORED):
                return self._stored(state, signature, arguments, event)
            case Effect.UPDATE if before[0] == PENDING:
                return self._stored(state, signature, arguments, event)
            case Effect.NOTHING if before[0] == PENDING and signature.is_unknown:
                if any(_is_own(term) for term in arguments.values()):
                    return (HANDED_OUT, signature.name)
        return before

    @staticmethod
    def _tried(before: Status, signature: Signature, arguments: dict[str, Term]) -> Status:
        """Return the queues that were tried; None among them when somebody may have been served."""
        found = before[1] if isinstance(before[1], frozenset) else frozenset()
        if signature.effect in _SERVING:
            found |= {None}
        elif signature.effect in (Effect.CONSUME, Effect.ITERATE) and "queue" in arguments:
            found |= {(signature.effect, arguments["queue"])}
        elif signature.effect is Effect.MOVE:
            found |= {(signature.effect, arguments["from"])}
        return (DISPATCHING, found) if len(found) <= _TRIED_MAX else SOME_TRIED

    def _stored(
        self, state: State, signature: Signature, arguments: dict[str, Term], event: Event
    ) -> Status:
        """Return that the task is stored, if it is the task that the call stores."""
        held = frozenset().union(
            *(self._pointed(state, term, _VALUE_BYTES) for term in arguments.values())
        )
        ours = any(source.startswith(_OF_TASK) for source in held)
        if not ours and signature.effect is not Effect.KEEP:
            return state.status
        name = arguments["map"].value if "map" in arguments else signature.name
        return (STORED, event.result, str(name), signature.effect)

    def _stack_spot(self, pointer: Term) -> tuple[int, int] | None:
        """Return the frame and offset that an address is, if it is one on the stack."""
        spot = self.memory.spot(pointer)
        if spot.root.role is Role.STACK and isinstance(spot.root.value, tuple):
            return spot.root.value[0], spot.offset
        return None


def _is_own(task: Term) -> bool:
    return task.role is Role.ARGUMENT and isinstance(task.value, tuple) and task.value[0] == "task"
