"""Terms: what a register or a place in memory holds, as an expression over what is not known.

Pure. Equal terms are one object within a `Terms`, so that they are compared by identity. A term
knows its bounds, and the names of everything that flowed into it, also when it has become too large
to be kept and is only "unknown".
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from enum import StrEnum

from .arithmetic import FULL, LOW, MASK, Bounds, computed, result_bounds, signed
from .effects import CPU_SOURCES

__all__ = ["Role", "Term", "Terms", "linear", "stripped"]

_SIZE_MAX = 48
_CHOICES_MAX = 16
_STEPS = (8191, LOW, MASK)
"""Where a value that grows in a loop is taken to stop: the last CPU, 32 bits, 64."""
_CPUS_MANY = 512
"""Whoever cuts the number of a CPU off at as many, or more, only says that it is in bounds."""
_NOTHING: frozenset[str] = frozenset()


class Role(StrEnum):
    """What a term stands for."""

    NUMBER = "number"
    """`value` is a 64-bit pattern; knobs that it comes from are among its sources."""
    ARGUMENT = "argument"
    """An argument of the operation; `value` is (role, index)."""
    CONTEXT = "context"
    STACK = "stack"
    """An address on the stack; `value` is (frame, offset)."""
    MAP = "map"
    DATA = "data"
    """An address in a data section; `value` is (section, offset)."""
    CODE = "code"
    """A function of the object; `value` is (section, slot)."""
    ENTRY = "entry"
    """The address of a map's value, or NULL; `value` is the map, `parts` the key."""
    RESULT = "result"
    """What a call returned; `value` is the name, and its place where calls differ."""
    OUTPUT = "output"
    """What a call wrote through one of its arguments."""
    FIELD = "field"
    """A field of one of the kernel's structs; `value` is (struct, path, version)."""
    CELL = "cell"
    """A place that programs write: a variable, or a field of a map's value."""
    ITERATOR = "iterator"
    """An open iterator; `value` is (kind, place, how many were taken)."""
    ELEMENT = "element"
    """What an iterator yields: a number, or a task."""
    OPERATION = "operation"
    CHOICE = "choice"
    """One of `parts`."""
    RANGE = "range"
    """Some number within the bounds."""
    UNKNOWN = "unknown"


_ADDRESSES = frozenset({Role.STACK, Role.DATA, Role.ENTRY, Role.ARGUMENT, Role.ELEMENT})
"""Terms to which a distance is added to reach a place; the place is known, if not the distance."""
NAMELESS = frozenset({Role.CHOICE, Role.RANGE, Role.UNKNOWN})
"""Terms that do not name one value: two of them that are equal may differ in value."""


class Term:
    """A term; make it with `Terms`."""

    __slots__ = ("bounds", "named", "parts", "role", "serial", "size", "sources", "value")

    def __init__(
        self,
        role: Role,
        value: Hashable,
        parts: tuple[Term, ...],
        sources: frozenset[str],
        bounds: Bounds,
        serial: int,
    ) -> None:
        self.role = role
        self.value = value
        self.parts = parts
        self.sources = sources
        self.bounds = bounds
        self.serial = serial
        self.size: int = 1 + sum(part.size for part in parts)
        self.named: bool = role not in NAMELESS and all(part.named for part in parts)

    @property
    def number(self) -> int | None:
        """The 64-bit pattern of a number, None for everything else."""
        return self.value if self.role is Role.NUMBER and isinstance(self.value, int) else None

    def __hash__(self) -> int:
        # Not the address: sets of terms are to have the same order in every process.
        return self.serial

    def __repr__(self) -> str:
        if self.role is Role.NUMBER:
            return f"{signed(self.number or 0):#x}"
        inner = ", ".join(repr(part) for part in self.parts)
        if self.role is Role.OPERATION:
            return f"({self.value} {inner})"
        return f"{self.role}:{self.value}({inner})" if inner else f"{self.role}:{self.value}"


class Terms:
    """Makes terms, and computes with them."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Term] = {}

    def make(
        self,
        role: Role,
        value: Hashable,
        parts: tuple[Term, ...] = (),
        *,
        sources: Iterable[str] = (),
        bounds: Bounds = FULL,
    ) -> Term:
        """Return the term of that description."""
        own = frozenset(sources)
        key = (role, value, parts, own, bounds)
        found = self._known.get(key)
        if found is None:
            for part in parts:
                own = own | part.sources
            found = Term(role, value, parts, own, bounds, len(self._known))
            if found.size > _SIZE_MAX:
                found = self.unknown(own, bounds)
            self._known[key] = found
        return found

    def of(self, value: int, sources: frozenset[str] = _NOTHING) -> Term:
        """Return a number."""
        value &= MASK
        return self.make(Role.NUMBER, value, sources=sources, bounds=(value, value))

    def unknown(self, sources: frozenset[str], bounds: Bounds = FULL) -> Term:
        """Return a term of which nothing is known but its bounds and what flowed into it."""
        role = Role.UNKNOWN if bounds == FULL else Role.RANGE
        return self.make(role, None, sources=sources, bounds=bounds)

    def choice(self, first: Term, second: Term) -> Term:
        """Return a term for either of two values."""
        parts: list[Term] = []
        for term in (first, second):
            for part in term.parts if term.role is Role.CHOICE else (term,):
                if part not in parts:
                    parts.append(part)
        if len(parts) == 1:
            return parts[0]
        bounds = _union(*(part.bounds for part in parts))
        size = sum(part.size for part in parts)
        if len(parts) > _CHOICES_MAX or size >= _SIZE_MAX or any(not p.named for p in parts):
            return self.unknown(frozenset().union(*(part.sources for part in parts)), bounds)
        return self.make(Role.CHOICE, None, tuple(parts), bounds=bounds)

    def widened(self, before: Term, after: Term, limits: tuple[int, ...] | None) -> Term:
        """Return a term for both that has as few forms as it takes for a loop to settle.

        What grows is taken to stop at one of the limits; without any it is taken as it is.
        """
        vague: tuple[Role, ...] = (Role.RANGE, Role.UNKNOWN)
        if before is after:
            return before
        if _are_one_iterator(before, after):
            return max(before, after, key=lambda term: _taken(term))
        if Role.NUMBER in (before.role, after.role) and before.number != after.number:
            vague = (*vague, Role.NUMBER)
        if before.role not in vague and after.role not in vague:
            return self.choice(before, after)
        (low, high), (least, most) = before.bounds, after.bounds
        sources = before.sources | after.sources
        if limits is None:
            return self.unknown(sources, (min(low, least), max(high, most)))
        if least < low and least < 0:
            return self.unknown(sources)
        highest = next(s for s in sorted({*limits, *_STEPS}) if s >= max(high, most))
        bounds = (low if low <= least else 0, high if high >= most else highest)
        return self.unknown(sources, bounds)

    def low(self, term: Term) -> Term:
        """Return the lower 32 bits, zero-extended."""
        number = term.number
        if number is not None:
            return self.of(number & LOW, term.sources)
        lowest, highest = term.bounds
        if lowest >= 0 and highest <= LOW:
            return term
        if term.role is Role.OPERATION and term.value in ("low", "sext32"):
            return self._low_of(term.parts[0])
        return self._low_of(term)

    def _low_of(self, term: Term) -> Term:
        lowest, highest = term.bounds
        if lowest >= 0 and highest <= LOW:
            return term
        if not term.named:
            return self.unknown(term.sources, (0, LOW))
        return self.make(Role.OPERATION, "low", (term,), bounds=(0, LOW))

    def extended(self, term: Term, bits: int) -> Term:
        """Return the lower bits with their sign extended to 64."""
        number = term.number
        if number is not None:
            return self.of(signed(number, bits), term.sources)
        inner = term
        if bits == 32 and term.role is Role.OPERATION and term.value == "low":
            inner = term.parts[0]
        least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        lowest, highest = inner.bounds
        if least <= lowest and highest <= most:
            return inner
        if not inner.named:
            return self.unknown(inner.sources, (least, most))
        return self.make(Role.OPERATION, f"sext{bits}", (inner,), bounds=(least, most))

    def masked(self, term: Term, size: int) -> Term:
        """Return what is left of a value in a place of so many bytes."""
        if size >= 8:
            return term
        if size == 4:
            return self.low(term)
        return self.operation("&", term, self.of((1 << 8 * size) - 1))

    def operation(self, operator: str, a: Term, b: Term, *, narrow: bool = False) -> Term:
        """Return `a operator b`; a narrow one looks at 32 bits and returns 32, zero-extended."""
        if not narrow:
            return self._wide(operator, a, b)
        if operator in ("+", "-", "*", "&", "|", "^"):
            return self.low(self._wide(operator, stripped(a), stripped(b)))
        if operator == "<<":
            return self.low(self._wide(operator, stripped(a), self._shift(b, 31)))
        if operator == ">>":
            return self._wide(operator, self.low(a), self._shift(b, 31))
        if operator == "s>>":
            return self.low(self._wide(operator, self.extended(a, 32), self._shift(b, 31)))
        if operator in ("s/", "s%"):
            return self.low(self._wide(operator, self.extended(a, 32), self.extended(b, 32)))
        return self._wide(operator, self.low(a), self.low(b))

    def _shift(self, term: Term, mask: int) -> Term:
        return self._wide("&", term, self.of(mask))

    def _wide(self, operator: str, a: Term, b: Term) -> Term:
        if operator in ("<<", ">>", "s>>"):
            b = self._shift(b, 63)
        x, y = a.number, b.number
        if x is not None and y is not None:
            return self.of(computed(operator, x, y), a.sources | b.sources)
        if operator == "-" and y is not None:
            return self._wide("+", a, self.of(-y, b.sources))
        if operator in ("+", "*", "&", "|", "^") and x is not None:
            a, b, x, y = b, a, y, x
        if x == 0 and operator in ("/", "%", "<<", ">>", "s>>"):
            return self.of(0, a.sources)
        simple = self._simplified(operator, a, b, y)
        if simple is not None:
            return simple
        if operator in ("+", "*", "&", "|", "^") and y is None and b.serial < a.serial:
            a, b = b, a
        bounds = result_bounds(operator, a.bounds, b.bounds, y)
        address = operator == "+" and (a.role in _ADDRESSES or b.role in _ADDRESSES)
        if not (a.named and b.named) and not address:
            return self._vague(operator, a, b, bounds)
        return self.make(Role.OPERATION, operator, (a, b), bounds=bounds)

    def _vague(self, operator: str, a: Term, b: Term, bounds: Bounds) -> Term:
        """Return the result for operands without a name: a choice of few, or its bounds."""
        if a.role is not Role.CHOICE or not b.named:
            return self.unknown(a.sources | b.sources, bounds)
        found = self._wide(operator, a.parts[0], b)
        for part in a.parts[1:]:
            found = self.choice(found, self._wide(operator, part, b))
        return found

    def _simplified(self, operator: str, a: Term, b: Term, y: int | None) -> Term | None:
        if y is None:
            return self.of(0) if operator in ("-", "^") and a is b and a.named else None
        if y == 0 and operator in ("+", "|", "^", "<<", ">>", "s>>"):
            return a
        if (y == 0 and operator in ("*", "&")) or (y == 1 and operator == "%"):
            return self.of(0, b.sources)
        if y == 1 and operator in ("*", "/"):
            return a
        low, high = a.bounds
        if operator == "+":
            return self._moved(a, y, b.sources)
        if operator == "|" and low >= 0 and high < (y & -y):
            return self._wide("+", a, b)
        if operator == "&":
            if y == LOW:
                return self.low(a)
            if low >= 0 and not high & (high + 1) and high & ~y == 0:
                return a
            if low >= 0 and not y & (y + 1) and (high <= y or _is_cpu_below(a, y)):
                return a
        if operator in (">>", "s>>") and y == 32:
            inner = self._unshifted(a)
            if inner is not None:
                return self.low(inner) if operator == ">>" else self.extended(inner, 32)
        return None

    def _unshifted(self, term: Term) -> Term | None:
        """Return x of `x << 32`, also where a constant was added afterwards."""
        if term.role is not Role.OPERATION or len(term.parts) != 2:
            return None
        first, second = term.parts
        number = second.number
        if term.value == "<<":
            return first if number == 32 else None
        if term.value != "+" or number is None or number & LOW:
            return None
        inner = self._unshifted(first)
        return self._wide("+", inner, self.of(number >> 32)) if inner is not None else None

    def _moved(self, a: Term, distance: int, sources: frozenset[str]) -> Term | None:
        """Return `a + distance` where there is a simpler form for it."""
        if a.role in (Role.STACK, Role.DATA) and isinstance(a.value, tuple):
            where, offset = a.value
            return self.make(a.role, (where, offset + signed(distance)), sources=a.sources)
        if a.role is Role.OPERATION and a.value == "+":
            inner, before = a.parts
            if before.number is not None:
                total = self.of(before.number + distance, before.sources | sources)
                return self._wide("+", inner, total)
        return None


def _are_one_iterator(first: Term, second: Term) -> bool:
    """Say whether both are an iterator that was opened once, after some turns and after more."""
    return (
        first.role is second.role is Role.ITERATOR
        and first.parts == second.parts
        and isinstance(first.value, tuple)
        and isinstance(second.value, tuple)
        and first.value[:2] == second.value[:2]
    )


def _taken(iterator: Term) -> int:
    return int(iterator.value[2]) if isinstance(iterator.value, tuple) else 0


def _is_cpu_below(term: Term, limit: int) -> bool:
    """Say whether a term is the number of a CPU, and a limit higher than machines have of them."""
    return (
        limit >= _CPUS_MANY - 1
        and term.named
        and bool(term.sources & CPU_SOURCES)
        and (term.role in (Role.ARGUMENT, Role.RESULT))
    )


def stripped(term: Term) -> Term:
    """Return what a term was before its upper half was cleared or filled with the sign."""
    if term.role is Role.OPERATION and term.value in ("low", "sext32"):
        return term.parts[0]
    return term


def linear(term: Term) -> tuple[dict[Term, int], int]:
    """Return a term as a sum: how often each atom counts, and a constant."""
    atoms: dict[Term, int] = {}
    constant = 0
    waiting = [(term, 1, False)]
    for _ in range(256):
        if not waiting:
            break
        whole, factor, narrow = waiting.pop()
        found = stripped(whole)
        narrow = narrow or found is not whole
        number = found.number
        if number is not None:
            # In 32 bits these are a little below zero.
            constant += factor * signed(number, 32 if narrow and number >> 16 == 0xFFFF else 64)
        elif found.role is Role.OPERATION and found.value in ("+", "-"):
            first, second = found.parts
            waiting.append((first, factor, narrow))
            waiting.append((second, factor if found.value == "+" else -factor, narrow))
        elif found.value in ("*", "<<") and (by := found.parts[1].number) is not None:
            by = by if found.value == "*" else 1 << by
            waiting.append((found.parts[0], factor * by, narrow))
        else:
            atoms[found] = atoms.get(found, 0) + factor
    return {atom: count for atom, count in atoms.items() if count}, constant


def _union(*bounds: Bounds) -> Bounds:
    return min(low for low, _ in bounds), max(high for _, high in bounds)
