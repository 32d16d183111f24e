"""How a value moves as time goes by: what tells a clock from an account.

The time and clocks that all tasks share go up; a duration does not, nor does what a task has used.
What a task was given by a clock some time ago counts as a clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from .arithmetic import LOW, MASK, signed
from .conditions import Way, refined
from .effects import Effect
from .findings import Scene
from .standings import Standing
from .terms import Role, Term, stripped

__all__ = ["Slopes", "known_bits"]

_DEPTH = 12
_OWN_MAPS = frozenset({29, 32})
_HASHES = frozenset({1, 5, 9, 10})
_VTIME = "task_struct.scx.dsq_vtime"
_NS_MAX = 1 << 62


def known_bits(term: Term) -> int:
    """Return the bits that are surely set in a value."""
    number = term.number
    if number is not None:
        return number
    term = stripped(term)
    if term.role is Role.CHOICE:
        bits = MASK
        for part in term.parts:
            bits &= known_bits(part)
        return bits
    if term.role is Role.OPERATION and term.value == "|":
        return known_bits(term.parts[0]) | known_bits(term.parts[1])
    if term.role is Role.OPERATION and term.value == "&":
        return known_bits(term.parts[0]) & known_bits(term.parts[1])
    if term.role is Role.OPERATION and term.value == "+":
        inner, number = term.parts[0], term.parts[1].number
        low, high = inner.bounds
        if number is not None and low >= 0 and high < (number & -number):
            return number
    return 0


class Slopes:
    """The slopes of terms over all programs of an object."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._known: dict[str, Fraction | None] = {}

    def of(self, term: Term, depth: int = _DEPTH) -> Fraction | None:
        """Return how much a value grows while time goes by one unit, None for what is unknown."""
        term = stripped(term)
        if term.number is not None:
            return Fraction(0)
        if depth <= 0:
            return None
        match term.role:
            case Role.RESULT:
                if any(source.startswith("call:") for source in term.sources):
                    return None
                return Fraction(1) if "time" in term.sources else Fraction(0)
            case Role.CELL | Role.FIELD:
                return self._of_place(term, depth - 1)
            case Role.CHOICE:
                found = [self.of(part, depth - 1) for part in term.parts]
                known = [slope for slope in found if slope is not None]
                return max(known) if len(known) == len(found) else None
            case Role.UNKNOWN | Role.RANGE:
                return self._of_unknown(term)
            case Role.OPERATION if len(term.parts) == 2:
                return self._of_operation(term, depth)
        return Fraction(0)

    def _of_operation(self, term: Term, depth: int) -> Fraction | None:
        first, second = term.parts
        a, b = self.of(first, depth - 1), self.of(second, depth - 1)
        if a is None or b is None:
            return None
        number = second.number
        match term.value:
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * number if number is not None else a or b
            case "<<" if number is not None:
                return a * (1 << number)
            case "/" | "s/":
                return a / number if number else a
            case ">>" | "s>>" if number is not None:
                return a / (1 << number)
            case "&" if number is not None and number >> 40:
                return a
            case "^" if number == MASK:
                return -a
        return Fraction(0)

    def _of_unknown(self, term: Term) -> Fraction | None:
        """A value with a clock among what flowed into it may be one."""
        roots = self._scene.influences.roots(term.sources)
        return (
            None
            if "time" in roots or any(self._is_shared(root) for root in roots)
            else (Fraction(0))
        )

    def _is_shared(self, source: str) -> bool:
        kind, _, name = source.partition(":")
        if kind != "cell":
            return False
        map_ = self._scene.behaviour.object.maps.get(name.partition("+")[0])
        return map_ is None or map_.kind not in _OWN_MAPS

    def _of_place(self, term: Term, depth: int) -> Fraction | None:
        name = str(term.value[0]) if isinstance(term.value, tuple) else ""
        if name.startswith("memory+"):
            return None
        owned = self._is_owned(term)
        if not owned and term.role is Role.FIELD:
            # What belongs to another task, such as the first of a queue, is a measure of all.
            return Fraction(1) if name.startswith("task_struct.") else Fraction(0)
        if name not in self._known:
            self._known[name] = Fraction(0)
            self._known[name] = self._of_writes(name, depth) if owned else self._of_clock(name)
        return self._known[name]

    def _of_clock(self, name: str) -> Fraction:
        """A place that all tasks share is a clock if it changes with what happens."""
        influences = self._scene.influences
        for event in influences.writes.get(name, ()):
            value = event.arguments.get("value")
            if value is None or value.number is not None:
                continue
            others = {source for source in value.sources if source != f"cell:{name}"}
            if influences.of_sources(others) is Standing.CHANGING:
                return Fraction(1)
        return Fraction(0)

    def _of_writes(self, name: str, depth: int) -> Fraction | None:
        """What belongs to a task is a clock if something that is one is written into it."""
        values = [
            event.arguments["value"]
            for event in self._scene.influences.writes.get(name, ())
            if "value" in event.arguments
        ]
        if name == _VTIME:
            values += [
                event.arguments["vtime"]
                for event in self._scene.behaviour.of(Effect.INSERT, Effect.SET_VTIME)
                if "vtime" in event.arguments
            ]
        found = [self.of(value, depth) for value in values]
        if any(slope is not None and slope > 0 for slope in found):
            return Fraction(1)
        if any(slope is not None and slope < 0 for slope in found):
            return Fraction(-1)
        return None if None in found else Fraction(0)

    def _is_owned(self, term: Term) -> bool:
        """Say whether a place belongs to one task or group, the one that is at hand."""
        if not term.parts:
            return False
        root = term.parts[0]
        if term.role is Role.FIELD:
            return root.role is Role.ARGUMENT or "iterator" not in root.sources
        if root.role is not Role.ENTRY or not isinstance(root.value, tuple):
            return root.role is Role.RESULT
        map_ = self._scene.behaviour.object.maps.get(str(root.value[0]))
        if map_ is None:
            return False
        keyed = any(part.number is None for part in root.parts)
        return map_.kind in _OWN_MAPS or (map_.kind in _HASHES and keyed)

    def wraps(self, order: Term) -> bool:
        """Say whether an order that goes with time has room for 32 bits of it only."""
        choices = order.parts if order.role is Role.CHOICE else (order,)
        return any(
            part.bounds[1] <= LOW and part.bounds[0] >= 0 and (self.of(part) or 0) > 0
            for choice in choices
            for part in _summands(choice, cut=False)
        )

    def static_distance(self, order: Term, way: Way, *, least: bool = False) -> int | None:
        """Return how far behind the clock an order can be, or is at least, for what the task is.

        None where the distance depends on more than that.
        """
        total = 0
        for part in _summands(order):
            if part.number is not None:
                total += signed(part.number)
                continue
            slope = self.of(part)
            if slope is None or (part.role is Role.OPERATION and part.value == "-"):
                return None
            if slope > 0:
                continue
            sources = {s for s in part.sources if not s.startswith(("@", "argument:task"))}
            if self._scene.influences.of_sources(sources) is not Standing.LASTING:
                return None
            total += refined(part, way)[0 if least else 1]
        return total if 0 <= total < _NS_MAX else None


def _summands(term: Term, *, cut: bool = True) -> Iterator[Term]:
    """Yield what a sum is of, each as a condition may have asked about it.

    Sums and parts of 32 bits are taken for those of 64, if `cut`.
    """
    whole = stripped(term) if cut else term
    if whole.role is Role.OPERATION and whole.value == "+":
        for part in whole.parts:
            yield from _summands(part, cut=cut)
    else:
        yield whole
