"""Terms compute what the machine computes, and what is concluded from a path holds on it."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from schedcp_verifier.arithmetic import LOW, MASK, computed, result_bounds, signed
from schedcp_verifier.conditions import ANY_WAY, UNDECIDED, assumed, joined, question, refined
from schedcp_verifier.instructions import Operation
from schedcp_verifier.terms import Role, Term, Terms

OPERATORS = ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "s>>", "s/", "s%")
SHIFTS = ("<<", ">>", "s>>")
COMPARISONS = (
    Operation.EQ, Operation.NE, Operation.GT, Operation.GE, Operation.LT, Operation.LE,
    Operation.SGT, Operation.SGE, Operation.SLT, Operation.SLE, Operation.SET,
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(0, 20),
    st.integers(0, MASK),
    st.sampled_from([MASK, LOW, 1 << 31, 1 << 63, (1 << 31) - 1, 3 << 62, MASK - 1]),
)
BOUNDS = st.sampled_from(
    [
        *((0, 1), (0, 255), (0, LOW), (0, MASK), (0, 8191), (1, 8192)),
        *((-4095, 8191), (-(1 << 31), (1 << 31) - 1)),
    ]
)
Known = tuple[Term, int]
"""A term, and the pattern that it stands for in one run."""


def narrow(operator: str, x: int, y: int) -> int:
    """Return what a 32-bit operation leaves in a register."""
    if operator in SHIFTS:
        y &= 31
    if operator in ("s/", "s%"):
        return computed(operator, signed(x, 32) & MASK, signed(y, 32) & MASK) & LOW
    if operator == "s>>":
        return signed(x, 32) >> y & LOW
    return computed(operator, x & LOW, y & LOW) & LOW


def wide(operator: str, x: int, y: int) -> int:
    """Return what a 64-bit operation leaves in a register."""
    return computed(operator, x, y & 63 if operator in SHIFTS else y) & MASK


@st.composite
def runs(draw: st.DrawFn) -> tuple[Terms, list[Known]]:
    """Return terms with the values that they have in one run of a straight program."""
    terms = Terms()
    known: list[Known] = []
    for index in range(3):
        low, high = draw(BOUNDS)
        value = draw(st.integers(low, high)) & MASK
        name = (f"v{index}", index, None)
        known.append((terms.make(Role.ARGUMENT, name, bounds=(low, high)), value))
    for _ in range(draw(st.integers(1, 7))):
        known.append(draw(steps(terms, known)))
    return terms, known


@st.composite
def steps(draw: st.DrawFn, terms: Terms, known: list[Known]) -> Known:
    """Return what one more instruction computes."""
    term, x = draw(st.sampled_from(known))
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return terms.low(term), x & LOW
    if kind == 1:
        bits = draw(st.sampled_from([8, 16, 32]))
        return terms.extended(term, bits), signed(x, bits) & MASK
    if kind == 2:
        size = draw(st.sampled_from([1, 2, 4]))
        return terms.masked(term, size), x & (1 << 8 * size) - 1
    other, y = draw(operands(terms, known))
    operator, short = draw(st.sampled_from(OPERATORS)), draw(st.booleans())
    value = narrow(operator, x, y) if short else wide(operator, x, y)
    return terms.operation(operator, term, other, narrow=short), value


@st.composite
def operands(draw: st.DrawFn, terms: Terms, known: list[Known]) -> Known:
    """Return a number, or something that is known already."""
    if draw(st.booleans()):
        number = draw(NUMBERS)
        return terms.of(number), number
    return draw(st.sampled_from(known))


def evaluated(term: Term, values: Mapping[object, int]) -> int | None:
    """Return what a term stands for, None for one that says only what flowed into it."""
    if term.number is not None:
        return term.number
    if term.role is Role.ARGUMENT:
        return values[term.value]
    if term.role is not Role.OPERATION:
        return None
    parts = [evaluated(part, values) for part in term.parts]
    if None in parts:
        return None
    first, second = parts[0] or 0, parts[-1] or 0
    if term.value == "low":
        return first & LOW
    if str(term.value).startswith("sext"):
        return signed(first, int(str(term.value)[4:])) & MASK
    return computed(str(term.value), first, second) & MASK


def within(value: int, bounds: tuple[int, int]) -> bool:
    """Say whether a pattern is within bounds, taken as a number with or without a sign."""
    return bounds[0] <= value <= bounds[1] or bounds[0] <= signed(value) <= bounds[1]


@settings(max_examples=400)
@given(runs())
def test_a_term_stands_for_what_the_machine_computes(run: tuple[Terms, list[Known]]) -> None:
    _, known = run
    values = {term.value: value for term, value in known[:3]}
    for term, value in known[3:]:
        assert evaluated(term, values) in (value, None)
        assert within(value, term.bounds)


@settings(max_examples=400)
@given(runs(), st.data())
def test_what_a_path_says_holds_on_it(run: tuple[Terms, list[Known]], data: st.DataObject) -> None:
    terms, known = run
    path = ANY_WAY
    for _ in range(data.draw(st.integers(1, 6))):
        term, x = data.draw(st.sampled_from(known))
        other, y = data.draw(operands(terms, known))
        operation, short = data.draw(st.sampled_from(COMPARISONS)), data.draw(st.booleans())
        asked, jumps = question(terms, operation, term, other, narrow=short)
        jumped = taken(operation, x, y, 32 if short else 64)
        if isinstance(asked, bool):
            assert (asked == jumps) == jumped
            continue
        gone = assumed(path, asked, jumped == jumps)
        assert gone is not None
        path = joined(path, gone) if data.draw(st.integers(0, 4)) == 0 else gone
        facts = frozenset.intersection(*path)
        assert all(within(value, refined(found, facts)) for found, value in known)


def taken(operation: Operation, x: int, y: int, bits: int) -> bool:
    """Say whether the machine jumps."""
    x, y = x & (1 << bits) - 1, y & (1 << bits) - 1
    a, b = signed(x, bits), signed(y, bits)
    return {
        Operation.EQ: x == y, Operation.NE: x != y, Operation.SET: bool(x & y),
        Operation.GT: x > y, Operation.GE: x >= y, Operation.LT: x < y, Operation.LE: x <= y,
        Operation.SGT: a > b, Operation.SGE: a >= b, Operation.SLT: a < b, Operation.SLE: a <= b,
    }[operation]  # fmt: skip


@given(st.sampled_from(OPERATORS), st.data())
def test_bounds_hold_what_is_computed(operator: str, data: st.DataObject) -> None:
    values, limits = [], []
    for _ in range(2):
        low, high = data.draw(BOUNDS)
        values.append(data.draw(st.integers(low, high)) & MASK)
        limits.append((low, high))
    number = values[1] if data.draw(st.booleans()) else None
    if number is not None:
        limits[1] = (number, number)
        if operator in SHIFTS:
            number &= 63
    found = result_bounds(operator, limits[0], limits[1], number)
    assert within(wide(operator, values[0], values[1]), found)


def test_ways_that_differ_in_one_answer_are_one() -> None:
    terms = Terms()
    first, second = (terms.make(Role.ARGUMENT, (n, 0, None)) for n in ("a", "b"))
    asked = [
        question(terms, Operation.EQ, t, terms.of(0), narrow=False)[0] for t in (first, second)
    ]
    assert not any(isinstance(found, bool) for found in asked)
    yes, no = (assumed(ANY_WAY, asked[0], answer) for answer in (True, False))  # type: ignore[arg-type]
    assert yes is not None
    assert no is not None
    assert joined(yes, no) == ANY_WAY
    further = assumed(no, asked[1], True)  # type: ignore[arg-type]
    assert further is not None
    assert len(joined(yes, further)) == 2


def test_too_many_ways_are_undecided_and_stay_so() -> None:
    terms = Terms()
    path = None
    for index in range(40):
        term = terms.make(Role.ARGUMENT, (f"a{index}", index, None))
        asked, _ = question(terms, Operation.EQ, term, terms.of(7), narrow=False)
        assert not isinstance(asked, bool)
        way = assumed(ANY_WAY, asked, True)
        assert way is not None
        path = way if path is None else joined(path, way)
        assert len(path) <= 17
    assert path is not None
    assert any(UNDECIDED in way for way in path)
    assert joined(path, path) == path
