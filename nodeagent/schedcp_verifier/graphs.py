"""Control-flow graphs of functions: basic blocks, an order to visit them in, and what is live.

Pure. What is live matters because two ways into a block are the same way when all that the code
may still read is equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from .instructions import Instruction, Kind, Operation
from .programs import Function

__all__ = ["Block", "Graph", "Live", "graph"]

_FRAME = 10
_ARGUMENTS = range(1, 6)
_CLOBBERED = frozenset(range(6))
_CELL_BYTES = 8
_FRAME_BYTES = 512
_ROUNDS_MAX = 64
_LIMIT_MOST = 1 << 16
_LIMITS_MAX = 36
_ENDS = (Kind.JUMP, Kind.BRANCH, Kind.MAY_GOTO, Kind.EXIT)


@dataclass(frozen=True)
class Block:
    """A run of instructions that is entered at its start only; `successors` are starts."""

    start: int
    instructions: tuple[Instruction, ...]
    successors: tuple[int, ...]


@dataclass(frozen=True)
class Live:
    """What may be read from here on: registers, and 8-byte cells of the stack by number."""

    registers: frozenset[int]
    cells: frozenset[int]


@dataclass(frozen=True)
class Graph:
    """A function as a graph; `order` counts blocks so that most edges go upwards."""

    function: Function
    blocks: Mapping[int, Block]
    order: Mapping[int, int]
    live: Mapping[int, Live]

    @cached_property
    def heads(self) -> frozenset[int]:
        """The blocks with which loops begin; the first one may be that of a callback's loop."""
        back = {
            successor
            for start, at in self.order.items()
            for successor in self.blocks[start].successors
            if self.order[successor] <= at
        }
        return frozenset({self.function.first, *back})

    @cached_property
    def limits(self) -> tuple[int, ...]:
        """The numbers that something is compared with, in order: where loops may end."""
        found = {
            number
            for block in self.blocks.values()
            for instruction in block.instructions
            if instruction.kind is Kind.BRANCH and instruction.immediate
            for number in (instruction.imm - 1, instruction.imm, instruction.imm + 1)
            if 0 < number <= _LIMIT_MOST
        }
        return tuple(sorted(found)[-_LIMITS_MAX:])


def graph(
    function: Function,
    code: Mapping[int, Instruction],
    splits: Callable[[Instruction], bool],
    arity: Callable[[Instruction], int],
) -> Graph:
    """Return a function's graph, or raise ValueError when control leaves the function.

    `splits` says which calls end a block, `arity` how many arguments a call takes.
    """
    body = tuple(_body(function, code))
    starts = _starts(function, body, splits)
    blocks = dict(_blocks(body, starts))
    order = _order(function.first, blocks)
    return Graph(function, blocks, order, _liveness(blocks, order, arity))


def _body(function: Function, code: Mapping[int, Instruction]) -> Iterator[Instruction]:
    at = function.first
    while at < function.end:
        instruction = code.get(at)
        if instruction is None:
            raise ValueError(f"{function.name} is cut off at {at}")
        yield instruction
        at = instruction.following
    if at != function.end or function.first >= function.end:
        raise ValueError(f"{function.name} has no end")


def _starts(
    function: Function, body: tuple[Instruction, ...], splits: Callable[[Instruction], bool]
) -> set[int]:
    places = {instruction.at for instruction in body}
    starts = {function.first}
    for instruction in body:
        if instruction.kind in (Kind.JUMP, Kind.BRANCH, Kind.MAY_GOTO):
            if instruction.target not in places:
                raise ValueError(f"{function.name} jumps out of itself at {instruction.at}")
            starts.add(instruction.target)
        if instruction.kind in _ENDS or splits(instruction):
            starts.add(instruction.following)
    return starts


def _blocks(body: tuple[Instruction, ...], starts: set[int]) -> Iterator[tuple[int, Block]]:
    run: list[Instruction] = []
    for position, instruction in enumerate(body):
        run.append(instruction)
        last = position + 1 == len(body)
        if not last and instruction.following not in starts:
            continue
        yield run[0].at, Block(run[0].at, tuple(run), _successors(instruction, last=last))
        run = []


def _successors(instruction: Instruction, *, last: bool) -> tuple[int, ...]:
    match instruction.kind:
        case Kind.EXIT:
            return ()
        case Kind.JUMP:
            return (instruction.target,)
        case Kind.BRANCH | Kind.MAY_GOTO:
            found: tuple[int, ...] = (instruction.target, instruction.following)
        case _:
            found = (instruction.following,)
    if last:
        raise ValueError(f"control falls out of the function at {instruction.at}")
    return found


def _order(first: int, blocks: Mapping[int, Block]) -> dict[int, int]:
    """Number the blocks in reverse postorder; what cannot be reached has no number."""
    seen, done = {first}, []
    stack = [(first, iter(blocks[first].successors))]
    while stack:
        start, successors = stack[-1]
        following = next((s for s in successors if s not in seen), None)
        if following is None:
            done.append(start)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(blocks[following].successors)))
    return {start: number for number, start in enumerate(reversed(done))}


def _reads(instruction: Instruction, arity: Callable[[Instruction], int]) -> frozenset[int]:
    match instruction.kind:
        case Kind.ALU:
            own = {instruction.dst} if instruction.operation is not Operation.MOV else set()
            return frozenset(own if instruction.immediate else own | {instruction.src})
        case Kind.SWAP:
            return frozenset({instruction.dst})
        case Kind.BRANCH | Kind.STORE:
            both = (
                {instruction.dst} if instruction.immediate else {instruction.dst, instruction.src}
            )
            return frozenset(both)
        case Kind.LOAD | Kind.CAST:
            return frozenset({instruction.src})
        case Kind.ATOMIC:
            return frozenset({instruction.dst, instruction.src, 0})
        case Kind.CALL:
            return frozenset(_ARGUMENTS[: arity(instruction)])
        case Kind.CALL_REGISTER:
            return frozenset({*_ARGUMENTS, instruction.dst})
        case Kind.EXIT:
            return frozenset({0})
        case Kind.PACKET:
            return frozenset({6, instruction.src})
    return frozenset()


def _writes(instruction: Instruction) -> frozenset[int]:
    match instruction.kind:
        case Kind.ALU | Kind.SWAP | Kind.LOAD | Kind.WIDE | Kind.CAST:
            return frozenset({instruction.dst})
        case Kind.CALL | Kind.CALL_REGISTER | Kind.PACKET:
            return _CLOBBERED
    return frozenset()


def _cells(offset: int, size: int) -> range:
    return range(offset // _CELL_BYTES, (offset + size - 1) // _CELL_BYTES + 1)


def _effect(block: Block, arity: Callable[[Instruction], int]) -> tuple[Live, Live]:
    """Return what a block reads before it writes, and what it writes."""
    reads: set[int] = set()
    read_cells: set[int] = set()
    writes: set[int] = set()
    written_cells: set[int] = set()
    frame_in = -1
    for instruction in block.instructions:
        reads |= _reads(instruction, arity) - writes
        writes |= _writes(instruction)
        if instruction.kind is Kind.LOAD and instruction.src == _FRAME:
            read_cells |= set(_cells(instruction.offset, instruction.size)) - written_cells
        if instruction.kind is Kind.STORE and instruction.dst == _FRAME and instruction.size == 8:
            written_cells |= set(_cells(instruction.offset, 8))
        if instruction.kind is Kind.ALU and instruction.dst == frame_in:
            # The address of an object: all from there upwards may be read through it.
            lowest = max(instruction.imm, -_FRAME_BYTES)
            read_cells |= set(_cells(lowest, max(-lowest, 1))) - written_cells
        moved = instruction.operation is Operation.MOV and not instruction.immediate
        frame_in = instruction.dst if moved and instruction.src == _FRAME else -1
    return (
        Live(frozenset(reads - {_FRAME}), frozenset(read_cells)),
        Live(frozenset(writes), frozenset(written_cells)),
    )


def _liveness(
    blocks: Mapping[int, Block],
    order: Mapping[int, int],
    arity: Callable[[Instruction], int],
) -> dict[int, Live]:
    effects = {start: _effect(blocks[start], arity) for start in order}
    live = {start: reads for start, (reads, _) in effects.items()}
    backwards = sorted(order, key=lambda start: -order[start])
    for _ in range(max(_ROUNDS_MAX, len(blocks))):
        changed = False
        for start in backwards:
            reads, writes = effects[start]
            after = [live[successor] for successor in blocks[start].successors]
            registers = frozenset().union(*(found.registers for found in after))
            cells = frozenset().union(*(found.cells for found in after))
            found = Live(
                reads.registers | (registers - writes.registers),
                reads.cells | (cells - writes.cells),
            )
            changed |= found != live[start]
            live[start] = found
        if not changed:
            return live
    raise ValueError("what is live does not settle")
