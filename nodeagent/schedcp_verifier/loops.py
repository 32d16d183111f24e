"""Loops of a function, and where each of them is left.

Pure. A loop is what can be gone through again from its first block; blocks that are reached in the
middle of one belong to the loop around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .graphs import Block, Graph
from .instructions import Instruction

__all__ = ["Loop", "calls", "loops"]

_BLOCKS_MAX = 2048
_LOOPS_MAX = 64
_ROUNDS_MAX = 8


@dataclass(frozen=True)
class Loop:
    """A loop by the starts of its blocks; `exits` are the slots of the branches that leave it."""

    header: int
    blocks: frozenset[int]
    exits: tuple[int, ...]
    instructions: tuple[Instruction, ...]


def loops(graph: Graph) -> tuple[Loop, ...] | None:
    """Return a function's loops, the smallest first, None for one that is too large or tangled."""
    above = _dominators(graph) if len(graph.order) <= _BLOCKS_MAX else None
    if above is None:
        return None
    backwards = [
        (start, successor)
        for start in graph.order
        for successor in graph.blocks[start].successors
        if _dominates(successor, start, above)
    ]
    if len(backwards) > _LOOPS_MAX:
        return None
    bodies: dict[int, set[int]] = {}
    before = _predecessors(graph)
    for start, header in backwards:
        bodies.setdefault(header, {header}).update(_body(header, start, before))
    found = [_loop(header, blocks, graph.blocks) for header, blocks in bodies.items()]
    return tuple(sorted(found, key=lambda loop: (len(loop.blocks), loop.header)))


def calls(loop: Loop, name: str) -> bool:
    """Say whether a function is called within a loop."""
    return any(
        instruction.reference is not None and instruction.reference.name == name
        for instruction in loop.instructions
    )


def _loop(header: int, starts: set[int], blocks: Mapping[int, Block]) -> Loop:
    body = [blocks[start] for start in sorted(starts)]
    exits = [
        block.instructions[-1].at
        for block in body
        if any(successor not in starts for successor in block.successors)
    ]
    inside = tuple(instruction for block in body for instruction in block.instructions)
    return Loop(header, frozenset(starts), tuple(exits), inside)


def _predecessors(graph: Graph) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {start: [] for start in graph.order}
    for start in graph.order:
        for successor in graph.blocks[start].successors:
            found[successor].append(start)
    return found


def _body(header: int, last: int, before: Mapping[int, list[int]]) -> set[int]:
    """Return the blocks from which `last` is reached without the header."""
    found, waiting = {header}, [last]
    while waiting:
        start = waiting.pop()
        if start not in found:
            found.add(start)
            waiting += before[start]
    return found


def _dominators(graph: Graph) -> dict[int, int] | None:
    """Return the block, of each, that every way to it goes through last; None if it takes long."""
    order, before = graph.order, _predecessors(graph)
    above = {graph.function.first: graph.function.first}
    inner = sorted((s for s in order if s not in above), key=lambda start: order[start])
    for _ in range(_ROUNDS_MAX):
        changed = False
        for start in inner:
            known = [p for p in before[start] if p in above]
            if not known:
                continue
            nearest = known[0]
            for other in known[1:]:
                nearest = _meet(nearest, other, above, order)
            if above.get(start) != nearest:
                above[start], changed = nearest, True
        if not changed:
            return above
    return None


def _meet(first: int, second: int, above: Mapping[int, int], order: Mapping[int, int]) -> int:
    while first != second:
        if order[first] > order[second]:
            first = above[first]
        else:
            second = above[second]
    return first


def _dominates(upper: int, lower: int, above: Mapping[int, int]) -> bool:
    while lower != upper and above.get(lower, lower) != lower:
        lower = above[lower]
    return lower == upper
