"""Open-coded iterators: what `bpf_for` and its kin yield, and when they end.

Few numbers are counted through one by one. Otherwise the first is told from all later ones, so that
"tried first" and "tried when the one before failed" are two events.
"""

from __future__ import annotations

from .arithmetic import MASK, Bounds, signed
from .conditions import refined
from .states import State
from .terms import Role, Term, Terms

__all__ = ["followed_by", "following", "iterated", "opened"]

_CONCRETE_MAX = 8
_TASKS = frozenset({"scx_dsq", "task", "css_task"})


def opened(terms: Terms, function: str, arguments: dict[str, Term], tag: str) -> Term:
    """Return the iterator that a call opens."""
    kind = function.removeprefix("bpf_iter_").removesuffix("_new")
    parts = tuple(term for role, term in arguments.items() if role != "iterator")
    if kind == "num":
        parts = tuple(terms.extended(term, 32) for term in parts)
    return terms.make(Role.ITERATOR, (kind, tag, 0), parts, sources={tag})


def _iterator(state: State, where: tuple[int, int] | None) -> Term | None:
    found = state.get(*where, 8) if where is not None else None
    return found if found is not None and found.role is Role.ITERATOR else None


def iterated(state: State, where: tuple[int, int] | None) -> Term:
    """Return the queue that an iterator goes through."""
    iterator = _iterator(state, where)
    if iterator is None or not iterator.parts:
        return state.terms.unknown(frozenset({"iterator"}))
    return iterator.parts[0]


def following(state: State, where: tuple[int, int] | None, tag: str) -> list[State]:
    """Return the states after `next`: one with an element, one at the end, or both."""
    terms, iterator = state.terms, _iterator(state, where)
    end = state.copy()
    end.registers[0] = terms.of(0)
    if iterator is None or where is None or not isinstance(iterator.value, tuple):
        state.registers[0] = terms.make(
            Role.RESULT, ("next", tag), sources={tag, "iterator"}, bounds=(1, MASK)
        )
        return [state, end]
    kind, opened_at, taken = iterator.value
    if kind == "num":
        number, count, more, ends = _number(state, iterator, int(taken), tag)
        element = terms.make(
            Role.ELEMENT, ("number", tag, taken), (number,), sources={tag}, bounds=(1, MASK)
        )
    else:
        count, more, ends = 1, True, True
        element = terms.make(
            Role.ELEMENT,
            ("task" if kind in _TASKS else kind, tag, taken),
            iterator.parts,
            sources={tag, "iterator"},
            bounds=(1, MASK),
        )
    state.registers[0] = element
    state.put(
        *where,
        8,
        terms.make(Role.ITERATOR, (kind, opened_at, count), iterator.parts, sources={opened_at}),
    )
    return [*([state] if more else []), *([end] if ends else [])]


def _number(state: State, iterator: Term, taken: int, tag: str) -> tuple[Term, int, bool, bool]:
    """Return the next number, how many were taken then, whether it may be, whether it may not."""
    terms = state.terms
    (least, first), (last, most) = _limits(state, iterator)
    if least == first and last == most and last - first <= _CONCRETE_MAX:
        number = terms.of(first + taken, frozenset({"iteration"}))
        return number, taken + 1, first + taken < last, first + taken >= last
    if not taken:
        lowest = iterator.parts[0]
        if lowest.number is not None:
            lowest = terms.of(lowest.number, lowest.sources | {"iteration"})
        return lowest, 1, least < most, first >= last
    return followed_by(terms, iterator.parts, (least + 1, most - 1), tag), 1, True, True


def followed_by(terms: Terms, parts: tuple[Term, ...], bounds: Bounds, tag: str) -> Term:
    """Return a number that a loop comes to after its first one."""
    low, high = bounds
    return terms.make(
        Role.ELEMENT,
        ("later", tag),
        parts,
        sources={tag, "iteration"},
        bounds=(low, max(low, high)),
    )


def _limits(state: State, iterator: Term) -> tuple[Bounds, Bounds]:
    facts = frozenset.intersection(*state.path)
    found = []
    for term in iterator.parts[:2]:
        number = term.number
        at = signed(number) if number is not None else 0
        found.append(refined(term, facts) if number is None else (at, at))
    return found[0], found[1]
