"""What one instruction does to a state: arithmetic, loads, stores, and the ways out of a branch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .annotations import Access, Place
from .calling import PENDING, STORED
from .conditions import EQ, ONCE, ULT, Question, assumed, decided, question, refined
from .events import Asked, Event
from .instructions import Instruction, Kind, Operation, Target
from .memory import Memory, Spot, offset_source
from .programs import ProgramObject
from .states import State, tag_of
from .terms import Role, Term, Terms

__all__ = ["Interpreter"]

_NOTHING: frozenset[str] = frozenset()


@dataclass
class Interpreter:
    """Executes the instructions of one operation that are no calls."""

    object: ProgramObject
    terms: Terms
    memory: Memory
    kernel_has: Callable[[str], bool]
    operation: str
    record: Callable[[Event], None]
    ask: Callable[[Asked], None]
    go: Callable[[Place, int], None]
    """Told of a branch that needs no question: where it is, and where it goes on."""

    def step(self, state: State, instruction: Instruction, place: Place) -> None:
        """Execute an instruction that neither calls nor jumps."""
        access = self.object.annotations.accesses.get(place)
        registers = state.registers
        match instruction.kind:
            case Kind.ALU:
                registers[instruction.dst] = self._computed(state, instruction, access)
            case Kind.SWAP:
                before = registers[instruction.dst]
                registers[instruction.dst] = self.terms.unknown(before.sources)
            case Kind.CAST:
                registers[instruction.dst] = registers[instruction.src]
            case Kind.WIDE:
                registers[instruction.dst] = self._address(instruction, access)
            case Kind.LOAD:
                spot = self.memory.spot(registers[instruction.src], instruction.offset)
                loaded = self.memory.load(state, spot, instruction.size, access)
                if instruction.signed_bits:
                    loaded = self.terms.extended(loaded, instruction.signed_bits)
                registers[instruction.dst] = loaded
            case Kind.STORE:
                value = self._operand(state, instruction)
                spot = self.memory.spot(registers[instruction.dst], instruction.offset)
                self._store(state, spot, instruction.size, value, place, access)
            case Kind.ATOMIC:
                self._atomic(state, instruction, place, access)
            case Kind.PACKET:
                registers[0] = self.terms.unknown(frozenset({"packet"}))

    def _operand(self, state: State, instruction: Instruction) -> Term:
        if instruction.immediate:
            return self.terms.of(instruction.imm)
        return state.registers[instruction.src]

    def _computed(self, state: State, instruction: Instruction, access: Access | None) -> Term:
        value, narrow = self._operand(state, instruction), instruction.narrow
        if access is not None and instruction.immediate:
            value = self._relocated(value, access)
        before = state.registers[instruction.dst]
        if instruction.operation is Operation.MOV:
            if instruction.signed_bits:
                value = self.terms.extended(value, instruction.signed_bits)
            return self.terms.low(value) if narrow else value
        if instruction.operation is Operation.NEG:
            return self.terms.operation("-", self.terms.of(0), before, narrow=narrow)
        operator = str(instruction.operation)
        return self.terms.operation(operator, before, value, narrow=narrow)

    def _relocated(self, value: Term, access: Access) -> Term:
        """Return a number that CO-RE adapts to the kernel."""
        if access.kind == Access.FIELD_OFFSET:
            return self.terms.of(value.number or 0, frozenset({offset_source(access)}))
        flavoured = self.object.fields is not None and "___" in (
            self.object.fields.type(access.type_id).name
        )
        if access.asks_existence and flavoured:
            return self.terms.make(
                Role.RESULT,
                ("exists", access.type_id, access.path),
                sources={"kernel"},
                bounds=(0, 1),
            )
        return value

    def _address(self, instruction: Instruction, access: Access | None) -> Term:
        reference = instruction.reference
        if reference is None:
            number = self.terms.of(instruction.imm)
            return self._relocated(number, access) if access is not None else number
        match reference.target:
            case Target.MAP:
                return self.terms.make(Role.MAP, reference.name, bounds=(1, (1 << 64) - 1))
            case Target.DATA:
                place: tuple[str, int] = (reference.name, reference.offset)
                return self.terms.make(Role.DATA, place)
            case Target.FUNCTION:
                return self.terms.make(Role.CODE, (reference.name, reference.offset))
        exists = self.kernel_has(reference.name.partition("___")[0])
        return self.terms.of(int(exists), frozenset({f"kernel:{reference.name}"}))

    def _store(
        self,
        state: State,
        spot: Spot,
        size: int,
        value: Term,
        place: Place,
        access: Access | None,
    ) -> None:
        root = spot.root
        if root.role is Role.STACK and isinstance(root.value, tuple):
            frame = root.value[0]
            if spot.variable:
                state.scramble(frame, -512, 512, value.sources)
            else:
                state.put(frame, spot.offset, size, value)
            return
        name = self.memory.place_of(spot, access)
        tag = tag_of(place, tuple(frame.site for frame in state.frames))
        value = self.terms.masked(value, size)
        index = {"index": spot.variable[0]} if len(spot.variable) == 1 else {}
        self.record(
            Event(
                self.operation,
                "store",
                name,
                place,
                state.path,
                {"value": value, "root": root, "size": self.terms.of(size), **index},
                status=state.status,
            )
        )
        state.forget(tag)
        if spot.variable:
            state.versions[name] = tag
        else:
            state.remember(name, root, size, value, tag)
        if state.status and state.status[0] in (PENDING, STORED):
            state.touched |= {name}

    def _atomic(
        self, state: State, instruction: Instruction, place: Place, access: Access | None
    ) -> None:
        operation = instruction.operation
        pointer = instruction.src if operation is Operation.LOAD_ACQUIRE else instruction.dst
        spot = self.memory.spot(state.registers[pointer], instruction.offset)
        before = self.memory.load(state, spot, instruction.size, access)
        value = state.registers[instruction.src]
        if operation is Operation.LOAD_ACQUIRE:
            state.registers[instruction.dst] = before
            return
        if operation is Operation.CMPXCHG:
            after = self.terms.choice(before, value)
            state.registers[0] = before
        elif operation in (Operation.XCHG, Operation.STORE_RELEASE):
            after = value
        else:
            after = self.terms.operation(str(operation), before, value)
        self._store(state, spot, instruction.size, after, place, access)
        if instruction.fetch and operation is not Operation.CMPXCHG:
            state.registers[instruction.src] = before

    # Branches

    def branches(
        self, state: State, instruction: Instruction, place: Place
    ) -> Iterator[tuple[State, int]]:
        """Yield the states after a branch, and where each goes on."""
        a = state.registers[instruction.dst]
        b = self._operand(state, instruction)
        operation = instruction.operation or Operation.EQ
        asked, jumps = question(self.terms, operation, a, b, narrow=instruction.narrow)
        if not isinstance(asked, bool):
            self.ask(Asked(self.operation, asked, place))
            asked = _counted(asked)
        if isinstance(asked, bool):
            following = instruction.target if asked == jumps else instruction.following
            self.go(place, following)
            yield state, following
            return
        for answer in (True, False):
            other = state.copy() if answer else state
            if self._suppose(other, asked, answer):
                yield other, instruction.target if answer == jumps else instruction.following

    def _suppose(self, state: State, asked: Question, answer: bool) -> bool:
        """Let a question have an answer; say whether it can."""
        _, a, b = asked
        if a.named and b.named:
            path = assumed(state.path, asked, answer)
        elif decided(asked, _NOTHING_KNOWN) == (not answer):
            path = None
        else:
            path = assumed(state.path, (ONCE, a, b), answer)
            self._narrow(state, asked, answer)
        if path is None:
            return False
        state.path = path
        return True

    def _narrow(self, state: State, asked: Question, answer: bool) -> None:
        """A value without a name is known by its bounds only: keep what a branch says of them."""
        _, term, number = asked
        if term.role not in (Role.RANGE, Role.UNKNOWN) or number.number is None:
            return
        low, high = refined(term, frozenset({(asked, answer)}))
        if low > high or (low, high) == term.bounds:
            return
        narrowed = self.terms.unknown(term.sources, (low, high))
        state.registers = [narrowed if held is term else held for held in state.registers]
        state.stack = {
            key: (size, narrowed if held is term else held)
            for key, (size, held) in state.stack.items()
        }


_NOTHING_KNOWN: frozenset[tuple[Question, bool]] = frozenset()


def _counted(asked: Question) -> Question | bool:
    """A loop's counter is below the loop's bound."""
    name, a, b = asked
    if name not in (EQ, ONCE) and a.role is Role.ELEMENT and len(a.parts) > 1 and b is a.parts[1]:
        return True
    first = a.number == 0 and name == ULT and b.bounds[0] > 0
    return True if first else asked
