"""Conditions: questions about terms, facts that hold on a path, and paths as sets of facts.

Pure. A path condition is a set of ways, each a set of facts; two ways that differ in one answer
become one without it, so that code behind an `if` that both branches join does not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable

from .arithmetic import LOW, MASK, Bounds, signed
from .instructions import Operation
from .terms import Role, Term, Terms, stripped

__all__ = [
    "ANY_WAY",
    "EQ",
    "ONCE",
    "SLT",
    "ULT",
    "UNDECIDED",
    "Fact",
    "Path",
    "Question",
    "Way",
    "assumed",
    "decided",
    "joined",
    "question",
    "refined",
]

EQ, ULT, SLT, ONCE = range(4)
"""Equal, unsigned less, signed less; ONCE is asked of terms that do not name one value, so that no
other question has the same answer. Numbers, because their order in a set is always the same."""

Question = tuple[int, Term, Term]
Fact = tuple[Question, bool]
Way = frozenset[Fact]
Path = frozenset[Way]
ANY_WAY: Path = frozenset({frozenset()})

_WAYS_MAX = 16
_FACTS_MAX = 64
_SIGN = 1 << 63
_EMPTY = Terms()
UNDECIDED: Fact = ((ONCE, _EMPTY.unknown(frozenset({"?"})), _EMPTY.of(0)), True)
"""Stands in a way for conditions that were too many to be kept."""

_SIGNED = frozenset({Operation.SGT, Operation.SGE, Operation.SLT, Operation.SLE})
_FORMS: dict[Operation, tuple[int, bool, bool]] = {
    Operation.EQ: (EQ, False, True),
    Operation.NE: (EQ, False, False),
    Operation.SET: (EQ, False, False),
    Operation.GT: (ULT, True, True),
    Operation.LE: (ULT, True, False),
    Operation.LT: (ULT, False, True),
    Operation.GE: (ULT, False, False),
    Operation.SGT: (SLT, True, True),
    Operation.SLE: (SLT, True, False),
    Operation.SLT: (SLT, False, True),
    Operation.SGE: (SLT, False, False),
}
"""How a comparison is asked: the question, whether operands change sides, and the answer."""


def question(
    terms: Terms, operation: Operation, a: Term, b: Term, *, narrow: bool
) -> tuple[Question | bool, bool]:
    """Return the question that a branch asks, or its answer, and the answer on which it jumps."""
    if operation is Operation.SET:
        a, b = terms.operation("&", a, b, narrow=narrow), terms.of(0)
    if narrow:
        a, b = (_narrowed(terms, term, operation in _SIGNED) for term in (a, b))
        if a.number is not None or b.number is not None:
            a, b = _same_sign(a, b), _same_sign(b, a)
    name, swapped, jumps = _FORMS[operation]
    if swapped:
        a, b = b, a
    found, flipped = _canonical(terms, name, a, b)
    return found, jumps != flipped


def _narrowed(terms: Terms, term: Term, is_signed: bool) -> Term:
    """Return the operand of a 32-bit comparison as 64 bits that compare alike."""
    number = term.number
    if number is not None:
        return terms.of(signed(number, 32) if is_signed else number & LOW, term.sources)
    inner = stripped(term)
    low, high = inner.bounds
    if is_signed:
        fits = low >= -(1 << 31) and high < 1 << 31
        return inner if fits else terms.extended(term, 32)
    return inner if low >= 0 and high <= LOW else terms.low(term)


def _same_sign(term: Term, other: Term) -> Term:
    """Undo the extension of a value that is known to fit, for a comparison with a number."""
    inner, number = stripped(term), other.number
    fits = inner.bounds[0] >= -(1 << 31) and inner.bounds[1] < 1 << 31
    return inner if fits and number is not None and number < 1 << 31 else term


def _canonical(terms: Terms, name: int, a: Term, b: Term) -> tuple[Question | bool, bool]:
    """Return the one form of a question, and whether its answer is the other one."""
    x, y = a.number, b.number
    if x is not None and y is not None:
        return _answer(name, x, y), False
    if a is b and a.named:
        return name == EQ, False
    if name == EQ:
        return _equality(terms, a, b)
    if x is not None:
        if name == ULT:
            if x == MASK:
                return False, False
            return _below(terms, name, b, terms.of(x + 1, a.sources), flipped=True)
        if signed(x) == _SIGN - 1:
            return False, False
        return _below(terms, name, b, terms.of(signed(x) + 1, a.sources), flipped=True)
    if y is not None:
        return _below(terms, name, a, b, flipped=False)
    if a.named and b.named:
        return (name, a, b), False
    return (ONCE, terms.operation("-", a, b), terms.of(0)), False


def _below(
    terms: Terms, name: int, term: Term, limit: Term, *, flipped: bool
) -> tuple[Question | bool, bool]:
    """Return the question whether a term is below a number."""
    if name == ULT and limit.number == 0:
        return False, flipped
    if name == ULT and limit.number == 1:
        found, other = _equality(terms, term, terms.of(0, limit.sources))
        return found, other != flipped
    return (name, term, limit), flipped


def _equality(terms: Terms, a: Term, b: Term) -> tuple[Question | bool, bool]:
    if a.number is not None:
        a, b = b, a
    number = b.number
    if number is not None and a.role is Role.OPERATION:
        first, second = a.parts[0], a.parts[-1]
        constant = second.number
        if a.value == "+" and constant is not None:
            moved = terms.of(number - constant, b.sources | second.sources)
            return _equality(terms, first, moved)
        if a.value in ("-", "^") and number == 0:
            return _equality(terms, first, second)
        if a.value == "&" and constant == number and number and not number & (number - 1):
            found, flipped = _equality(terms, a, terms.of(0))
            return found, not flipped
    if a.bounds == (0, 1) and number == 1:
        return (EQ, a, terms.of(0)), True
    if number is None and b.serial < a.serial:
        a, b = b, a
    return (EQ, a, b), False


def _answer(name: int, x: int, y: int) -> bool:
    if name == EQ:
        return x == y
    return x < y if name == ULT else signed(x) < signed(y)


def refined(term: Term, facts: Iterable[Fact]) -> Bounds:
    """Return the bounds of a term where some facts hold."""
    low, high = term.bounds
    for (name, a, b), holds in facts:
        number = b.number
        if a is not term or number is None or name == ONCE:
            continue
        value = number if low >= 0 and name != SLT else signed(number)
        if name == EQ and holds:
            low = high = value
        elif name == EQ:
            low, high = low + (low == value), high - (high == value)
        elif name == ULT and holds and (low >= 0 or number <= _SIGN):
            low, high = max(low, 0), min(high, number - 1)
        elif name == ULT and not holds and low >= 0:
            low = max(low, number)
        elif name == SLT and holds and high < _SIGN:
            high = min(high, value - 1)
        elif name == SLT and not holds and (high < _SIGN or value >= 0):
            low, high = max(low, value), min(high, _SIGN - 1)
    return low, high


def decided(asked: Question, facts: Way) -> bool | None:
    """Return the answer that the facts leave, or None when they leave both."""
    if (asked, True) in facts:
        return True
    if (asked, False) in facts:
        return False
    name, a, b = asked
    if name == ONCE:
        return None
    first, second = refined(a, facts), refined(b, facts)
    if first[0] > first[1] or second[0] > second[1]:
        return None
    number = b.number
    if number is not None and (name == SLT or first[0] < 0):
        second = (signed(number), signed(number))
    unsigned = first[0] >= 0 and second[0] >= 0
    small = first[1] < _SIGN and second[1] < _SIGN
    if name == EQ and (unsigned or small):
        if first[1] < second[0] or second[1] < first[0]:
            return False
        return True if first[0] == first[1] == second[0] == second[1] else None
    if (name == ULT and unsigned) or (name == SLT and small):
        if first[1] < second[0]:
            return True
        return False if first[0] >= second[1] else None
    return None


def assumed(path: Path, asked: Question, holds: bool) -> Path | None:
    """Return the path on which a question has that answer, or None when there is no such."""
    ways = []
    opposite = (asked, not holds)
    for way in path:
        answer = decided(asked, way)
        if asked[0] == ONCE:
            ways.append(way - {opposite} | {(asked, holds)})
        elif answer is None:
            ways.append(way | {(asked, holds)})
        elif answer == holds:
            ways.append(way)
    return _simplified(ways) if ways else None


def joined(first: Path, second: Path) -> Path:
    """Return the path for whoever comes by one of two."""
    if first is second or first >= second:
        return first
    if second >= first:
        return second
    return _simplified([*first, *second])


def _simplified(ways: list[Way]) -> Path:
    kept: list[Way] = []
    waiting = [way if len(way) <= _FACTS_MAX else _bounded(way) for way in ways]
    while waiting:
        way = waiting.pop()
        if any(_covers(other, way) for other in kept):
            continue
        kept = [other for other in kept if not _covers(way, other)]
        merged = next((m for other in kept if (m := _merged(way, other)) is not None), None)
        if merged is None:
            kept.append(way)
        else:
            waiting.append(merged)
    if len(kept) > _WAYS_MAX:
        return frozenset({frozenset.intersection(*kept) | {UNDECIDED}})
    return frozenset(kept)


def _covers(first: Way, second: Way) -> bool:
    """Say whether whoever comes the second way is counted by the first.

    A way with undecided conditions covers all that have its facts; else paths would never settle.
    """
    return first <= second or (UNDECIDED in first and first - {UNDECIDED} <= second)


def _merged(first: Way, second: Way) -> Way | None:
    """Return two ways as one when they differ in the answer to one question only."""
    if len(first) != len(second):
        return None
    differing = first - second
    if len(differing) != 1:
        return None
    ((asked, holds),) = differing
    return first & second if (asked, not holds) in second else None


def _bounded(way: Way) -> Way:
    ordered = sorted(way, key=lambda fact: (fact[0][1].serial, fact[0][2].serial, fact[0][0]))
    return frozenset(ordered[:_FACTS_MAX]) | {UNDECIDED}
