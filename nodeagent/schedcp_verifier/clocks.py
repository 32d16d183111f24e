"""What the clock alone decides: the value of a term at a time, and the times at which it changes.

Pure. A term goes by the clock when nothing flows into it but the time, numbers, and variables that
programs set to a number when the clock says so. Times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterator

from .arithmetic import MASK, computed, signed
from .conditions import EQ, ONCE, ULT, Path, Question
from .findings import Scene
from .standings import Standing
from .terms import Role, Term

__all__ = ["Clock", "moments_of", "periods_of"]

_DEPTH = 24
_FLAGS = 3
"""How many variables may stand between a question and the clock."""
_UNITS_NS = {"bpf_jiffies64": 10**6}
"""What a clock that counts in other units counts, at least."""
_BITS_MAX = 64
_BEGINNINGS = frozenset({"init", "init_cids"})


class Clock:
    """Answers questions of one scheduler as they are at a time."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def answer(self, question: Question, now: int, flags: int = _FLAGS) -> bool | None:
        """Return the answer at a time, None when it is not for the clock alone to say."""
        name, a, b = question
        x, y = self.value(a, now, flags=flags), self.value(b, now, flags=flags)
        if x is None or y is None or name == ONCE:
            return None
        if name == EQ:
            return x == y
        return x < y if name == ULT else signed(x) < signed(y)

    def value(self, term: Term, now: int, depth: int = _DEPTH, flags: int = _FLAGS) -> int | None:
        """Return what a term is at a time, None when that is not for the clock alone to say."""
        if term.number is not None:
            return term.number
        if not depth:
            return None
        match term.role:
            case Role.RESULT if "time" in term.sources and isinstance(term.value, tuple):
                return now // _UNITS_NS.get(str(term.value[0]), 1)
            case Role.OPERATION:
                parts = [self.value(part, now, depth - 1, flags) for part in term.parts]
                known = [part for part in parts if part is not None]
                return _result(str(term.value), known) if len(known) == len(parts) else None
            case Role.CELL:
                return self._of_cell(term, now, flags)
        return None

    def _of_cell(self, cell: Term, now: int, flags: int) -> int | None:
        """Return what is in a variable that is set to numbers only, when the clock says so."""
        name = str(cell.value[0]) if isinstance(cell.value, tuple) else ""
        initial = self._scene.influences.initial(name)
        if initial is None or cell.parts[0].role is not Role.DATA or not flags:
            return None
        found = set()
        for event in self._scene.influences.all_writes.get(name, ()):
            value = event.arguments.get("value")
            if event.operation in _BEGINNINGS and value is not None and _is_time(value):
                # Time counts from when the scheduler was loaded.
                found.add(0)
                continue
            holds = self._holds(event.path, now, flags - 1)
            if value is None or value.number is None or holds is None:
                return None
            if holds:
                found.add(value.number)
        return found.pop() if len(found) == 1 else (None if found else initial)

    def _holds(self, path: Path, now: int, flags: int) -> bool | None:
        """Say whether a path is gone at a time by whoever comes, None when others decide, too."""
        answers: list[bool | None] = []
        for way in path:
            facts: list[bool | None] = []
            for question, holds in way:
                answer = self.answer(question, now, flags)
                if answer is not None:
                    facts.append(answer == holds)
                elif self._scene.influences.fact_standing((question, holds)) < Standing.LASTING:
                    facts.append(None)
            answers.append(None if None in facts and False not in facts else all(facts))
        if True in answers:
            return True
        return None if None in answers else False

    def asks(self, question: Question) -> bool:
        """Say whether a question is one that the clock alone answers, and differently in time."""
        if self.answer(question, 0) is None:
            return False
        roots = self._scene.influences.roots(question[1].sources | question[2].sources)
        return "time" in roots

    def terms(self, question: Question, flags: int = _FLAGS) -> Iterator[tuple[Term, Term]]:
        """Yield what is compared, also where variables are set that a question is about."""
        _, a, b = question
        yield a, b
        for side in (a, b):
            for source in side.sources if flags else ():
                for event in self._scene.influences.all_writes.get(source.partition(":")[2], ()):
                    for way in event.path:
                        for inner, _ in way:
                            if self.answer(inner, 0, flags - 1) is not None:
                                yield from self.terms(inner, flags - 1)


def _is_time(term: Term) -> bool:
    return term.role is Role.RESULT and "time" in term.sources


def _result(operator: str, parts: list[int]) -> int | None:
    if len(parts) == 2:
        return computed(operator, *parts) & MASK
    bits = 32 if operator == "low" else int(operator.removeprefix("sext") or 0)
    return parts[0] & ((1 << 32) - 1) if operator == "low" else signed(parts[0], bits) & MASK


def _unit_of(term: Term) -> int:
    """Return by how much time goes on while a term goes up by one, as far as steps are known."""
    if term.role is Role.RESULT and isinstance(term.value, tuple):
        return _UNITS_NS.get(str(term.value[0]), 1)
    if term.role is not Role.OPERATION or not term.parts:
        return 1
    unit, number = _unit_of(term.parts[0]), term.parts[-1].number
    if len(term.parts) == 1 or not number:
        return unit
    match term.value:
        case "/" | "s/":
            return unit * number
        case ">>" | "s>>":
            return unit << min(number, _BITS_MAX)
    return unit


def periods_of(term: Term) -> set[int]:
    """Return after which times a term begins anew."""
    found: set[int] = set()
    for part in term.parts:
        found |= periods_of(part)
    number = term.parts[-1].number if len(term.parts) == 2 else None
    if term.role is Role.OPERATION and number:
        unit = _unit_of(term.parts[0])
        if term.value in ("%", "s%"):
            found.add(unit * number)
        elif term.value == "&":
            found.add(unit << number.bit_length())
    return found


def moments_of(term: Term, values: set[int]) -> set[int]:
    """Return the times, within its first period, at which a term comes by some values."""
    if term.role is Role.RESULT:
        return {value * _unit_of(term) for value in values if value >= 0}
    number = term.parts[-1].number if len(term.parts) == 2 else None
    if term.role is not Role.OPERATION or not term.parts:
        return set()
    if number is None:
        return set().union(*(moments_of(part, values) for part in term.parts))
    by = signed(number)
    match term.value:
        case "+":
            values = {value - by for value in values}
        case "*" if by:
            values = {value // by for value in values}
        case "/" | "s/":
            values = {value * by for value in values}
        case ">>" | "s>>":
            values = {value << min(by, _BITS_MAX) for value in values}
        case "<<":
            values = {value >> min(by, _BITS_MAX) for value in values}
        case "%" | "s%":
            values = values | {0, by}
        case "&":
            step = number & -number
            count = min(number // step + 2, _BITS_MAX)
            values = values | {step * count_ for count_ in range(count)}
    return moments_of(term.parts[0], values)
