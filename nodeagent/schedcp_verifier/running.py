"""Explores one operation: a queue of positions, and the states that came to each.

Positions are visited in the order of the control flow, so that what joins has mostly arrived before
the code after it is looked at. Two states that are equal but for their paths are one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from .annotations import Place
from .arithmetic import MASK
from .calling import DISPATCHING, SOME_TRIED, Caller, signature_of
from .conditions import EQ, Question, assumed, refined
from .effects import Effect
from .events import Asked, Event
from .graphs import Graph
from .instructions import Instruction, Kind, Target
from .interpreting import Interpreter
from .iterating import followed_by
from .memory import Memory
from .programs import Function, ProgramObject
from .states import Frame, State, tag_of
from .terms import Role, Term, Terms

__all__ = ["Budget", "Run", "Workshop", "leads_inside"]

_STATES_MAX = 24
_ALIKE_MAX = 8
_SELECTIONS_MAX = 96
_DEPTH_MAX = 8
_LOOPING = (Effect.LOOP, Effect.FOR_EACH)


@dataclass
class Budget:
    """How many instructions may yet be looked at, in all operations together."""

    steps: int


@dataclass(frozen=True)
class Workshop:
    """What all runs of one object share."""

    object: ProgramObject
    terms: Terms
    memory: Memory
    kernel_has: Callable[[str], bool]
    graph: Callable[[Function], Graph]
    callback: Callable[[str, Term, Term], None]
    budget: Budget


@dataclass(frozen=True)
class _Position:
    """A block within a chain of calls; `rank` says when its turn is."""

    function: Function
    start: int
    chain: tuple[Place, ...]
    rank: tuple[int, ...] = field(compare=False)


@dataclass
class _Met:
    """The states that have come to one position; `wide` ones stand for many."""

    states: dict[Hashable, State] = field(default_factory=dict)
    alike: dict[Hashable, int] = field(default_factory=dict)
    """How many of them have the same shape."""
    wide: dict[Hashable, State] = field(default_factory=dict)

    def group(self, state: State) -> Hashable | None:
        """Return with which others a further state is to be taken together, if it is."""
        shape = state.shape()
        alike = self.alike.get(shape, 0)
        if alike < _ALIKE_MAX and len(self.states) < _STATES_MAX:
            self.alike[shape] = alike + 1
            return None
        if shape in self.wide or len(self.wide) < _STATES_MAX:
            return shape
        crowded = (
            len(self.wide) >= _SELECTIONS_MAX and (state.status, state.frames) not in self.wide
        )
        if crowded and state.status[:1] == (DISPATCHING,):
            # A loop that passes over some queues has tried any selection of them.
            state.status = SOME_TRIED
        return state.status, state.frames


@dataclass(frozen=True)
class _Callback:
    """What is to be known of a callback when it returns; nothing for an ordinary function."""

    again: tuple[Term, ...] = ()
    least: int = 0


def leads_inside(instruction: Instruction) -> bool:
    """Say whether a call leads into the object's own code."""
    if instruction.kind is not Kind.CALL:
        return False
    signature = signature_of(instruction)
    return signature is None or signature.effect in _LOOPING


class Run:
    """Explores one operation."""

    def __init__(self, workshop: Workshop, operation: str) -> None:
        self._shop, self._operation = workshop, operation
        self._met: dict[_Position, _Met] = {}
        self._waiting: list[tuple[tuple[int, ...], int]] = []
        self._scheduled: dict[int, tuple[_Position, State]] = {}
        self._serials: dict[int, int] = {}
        self._events: dict[int, list[Event]] = {}
        self._now: list[Event] = []
        self.asked: dict[Asked, None] = {}
        self.gone: set[tuple[Place, int]] = set()
        self.whole = True
        """Whether nothing was left out."""
        record = self._record
        self._caller = Caller(
            workshop.object,
            workshop.terms,
            workshop.memory,
            workshop.kernel_has,
            operation,
            record,
            workshop.callback,
        )
        self._interpreter = Interpreter(
            workshop.object,
            workshop.terms,
            workshop.memory,
            workshop.kernel_has,
            operation,
            record,
            lambda asked: self.asked.setdefault(asked),
            lambda place, following: self.gone.add((place, following)),
        )

    def _record(self, event: Event) -> None:
        self._now.append(event)

    def events(self) -> tuple[Event, ...]:
        """Return all that was seen, in the order in which positions were first come to."""
        return tuple(event for found in self._events.values() for event in found)

    def explore(self, function: Function, state: State) -> None:
        """Follow everything from a function's start."""
        self._arrive(self._position(function, function.first, (), ()), state)
        while self._waiting:
            _, serial = heapq.heappop(self._waiting)
            position, known = self._scheduled.pop(serial)
            block = self._shop.graph(position.function).blocks[position.start]
            # Facts cost as much as instructions: each branch looks at all that hold.
            facts = sum(len(way) for way in known.path)
            self._shop.budget.steps -= len(block.instructions) + facts
            if self._shop.budget.steps < 0:
                self.whole = False
                return
            self._now = []
            self._execute(position, known.copy())
            self._events[serial] = self._now

    # Arrivals

    def _position(
        self, function: Function, start: int, chain: tuple[Place, ...], rank: tuple[int, ...]
    ) -> _Position:
        order = self._shop.graph(function).order.get(start, 0)
        return _Position(function, start, chain, (*rank, order))

    def _arrive(self, position: _Position, state: State) -> None:
        graph = self._shop.graph(position.function)
        state.prune(graph.live[position.start])
        met = self._met.setdefault(position, _Met())
        where = tag_of((position.function.section, position.start), position.chain) + "!"
        key = state.key()
        known = met.states.get(key)
        if known is not None:
            if known.meet(state, where):
                self._schedule(position, known)
            return
        group = met.group(state)
        wide = met.wide.get(group) if group is not None else None
        if group is None:
            met.states[key] = state
        elif wide is None:
            met.wide[group] = state
        elif not wide.widen(state, where, graph.limits if position.start in graph.heads else None):
            return
        self._schedule(position, wide or state)

    def _schedule(self, position: _Position, state: State) -> None:
        serial = self._serials.setdefault(id(state), len(self._serials))
        if serial not in self._scheduled:
            self._scheduled[serial] = (position, state)
            heapq.heappush(self._waiting, (position.rank, serial))

    # Blocks

    def _execute(self, position: _Position, state: State) -> None:
        section = position.function.section
        *body, last = self._shop.graph(position.function).blocks[position.start].instructions
        states = [state]
        for instruction in body:
            states = self._through(states, instruction, (section, instruction.at))
        place = (section, last.at)
        for found in states:
            self._end(position, found, last, place)

    def _through(self, states: list[State], instruction: Instruction, place: Place) -> list[State]:
        if instruction.kind is Kind.CALL:
            return [s for state in states for s in self._caller.call(state, instruction, place)]
        for state in states:
            self._interpreter.step(state, instruction, place)
        return states

    def _end(self, position: _Position, state: State, last: Instruction, place: Place) -> None:
        if last.kind is Kind.EXIT:
            self._exit(position, state, place)
        elif last.kind is Kind.JUMP:
            self._go(position, state, last.target)
        elif last.kind is Kind.MAY_GOTO:
            self._go(position, state.copy(), last.target)
            self._go(position, state, last.following)
        elif last.kind is Kind.BRANCH:
            for other, target in self._interpreter.branches(state, last, place):
                self._go(position, other, target)
        elif leads_inside(last):
            self._enter(position, state, last, place)
        else:
            if last.kind is Kind.CALL_REGISTER:
                self.whole = False
            for other in self._through([state], last, place):
                self._go(position, other, last.following)

    def _go(self, position: _Position, state: State, target: int) -> None:
        rank = position.rank[:-1]
        self._arrive(self._position(position.function, target, position.chain, rank), state)

    # Functions

    def _enter(self, position: _Position, state: State, last: Instruction, place: Place) -> None:
        """Go into a function of the object, or past it where that is possible or too deep."""
        signature = signature_of(last)
        if signature is None:
            reference = last.reference
            callee = (
                self._shop.object.function_at(reference.name, reference.offset)
                if reference is not None and reference.target is Target.FUNCTION
                else None
            )
            self._call(position, state, callee, last, place, callback=_Callback())
            return
        tag = tag_of(place, position.chain)
        state.forget(tag)
        roles = dict(zip(signature.roles, state.registers[1:], strict=False))
        self._record(
            Event(self._operation, signature.effect, signature.name, place, state.path, roles)
        )
        least = self._least_calls(state, signature.effect)
        if not least:
            passed = state.copy()
            passed.registers[0] = self._shop.terms.make(
                Role.RESULT, (signature.name, tag), sources={tag, "iteration"}
            )
            passed.registers[1:6] = [state.dead] * 5
            self._go(position, passed, last.following)
        first, again = self._callback_arguments(state, signature.effect, tag)
        code = state.registers[2]
        callee = None
        if code.role is Role.CODE and isinstance(code.value, tuple):
            callee = self._shop.object.function_at(*code.value)
        state.registers[1:6] = [*first, *[state.dead] * (5 - len(first))]
        frame = _Callback(again, max(least - 1, 0))
        self._call(position, state, callee, last, place, callback=frame)

    @staticmethod
    def _least_calls(state: State, effect: Effect) -> int:
        """Return how often a callback is called at least; two stands for more."""
        if effect is not Effect.LOOP:
            return 0
        facts = frozenset.intersection(*state.path)
        return max(min(refined(state.registers[1], facts)[0], 2), 0)

    def _callback_arguments(
        self, state: State, effect: Effect, tag: str
    ) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
        """Return the arguments of a callback's first call, and of all later ones."""
        terms = self._shop.terms
        counted, _, context = state.registers[1:4]
        if effect is Effect.LOOP:
            most = refined(counted, frozenset.intersection(*state.path))[1]
            later = followed_by(terms, (terms.of(0), counted), (1, most - 1), tag)
            return (terms.of(0), context), (later, context)
        value = terms.make(
            Role.ENTRY, (str(counted.value), "each"), sources={tag}, bounds=(1, MASK)
        )
        key = terms.unknown(frozenset({"iteration"}))
        return (counted, key, value, context), (counted, key, value, context)

    def _call(
        self,
        position: _Position,
        state: State,
        callee: Function | None,
        last: Instruction,
        place: Place,
        *,
        callback: _Callback,
    ) -> None:
        if callee is None or len(state.frames) >= _DEPTH_MAX:
            self.whole = False
            state.registers[0] = self._shop.terms.unknown(frozenset({"call:?"}))
            state.registers[1:6] = [state.dead] * 5
            self._go(position, state, last.following)
            return
        live = self._shop.graph(position.function).live[last.following].registers
        saved = tuple(
            state.registers[register] if register in live else state.dead
            for register in range(6, 10)
        )
        frame = Frame(
            place, position.function, last.following, saved, callback.again, callback.least
        )
        state.enter(frame)
        chain = (*position.chain, place)
        self._arrive(self._position(callee, callee.first, chain, position.rank), state)

    def _exit(self, position: _Position, state: State, place: Place) -> None:
        if not state.frames:
            self._record(
                Event(
                    self._operation,
                    "return",
                    position.function.name,
                    place,
                    state.path,
                    {"value": state.registers[0]},
                    status=state.status,
                    touched=state.touched,
                )
            )
            return
        value = state.registers[0]
        frame = state.leave()
        rank = position.rank[:-1]
        if frame.again:
            self._repeat(position, state.copy(), frame, value)
            if value.number == 0 and frame.least:
                return
            value = self._shop.terms.unknown(value.sources | {"iteration"})
        state.registers[0] = value
        back = self._position(frame.function, frame.following, position.chain[:-1], rank[:-1])
        self._arrive(back, state)

    def _repeat(self, position: _Position, state: State, frame: Frame, value: Term) -> None:
        """Call a callback once more, if it returned zero."""
        if value.named:
            zero: Question = (EQ, value, self._shop.terms.of(0))
            path = assumed(state.path, zero, True) if value.number is None else state.path
            if path is None or value.number:
                return
            state.path = path
        state.enter(replace(frame, least=max(frame.least - 1, 0)))
        padding = [state.dead] * (5 - len(frame.again))
        state.registers[0:6] = [state.dead, *frame.again, *padding]
        function, rank = position.function, position.rank[:-1]
        self._arrive(self._position(function, function.first, position.chain, rank), state)
