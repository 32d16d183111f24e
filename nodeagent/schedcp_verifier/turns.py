"""How rarely a way is gone which only a turn opens: once in so many times, or in so much time.

Pure. A turn is a counter that all tasks share, chance, or a time that starts over with each turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from .conditions import EQ, ULT, Fact, Question, Way
from .events import Event
from .findings import Scene
from .influences import is_shared, step_of
from .terms import Role, Term, linear, stripped

__all__ = ["Pause", "pause_of", "rarity", "turns_of"]

_RARE_TIMES = 24
"""Whoever has one turn in as many has at most 4 % of a busy machine."""
_RARE_NS = 100_000_000
"""As much is one turn in twenty, of slices of 5 ms on one CPU; on more CPUs it is less."""


def rarity(scene: Scene, way: Way) -> str:
    """Return how rarely a way is gone, in words, empty when it is not rare or cannot be told."""
    times = turns_of(scene, way)
    if times >= _RARE_TIMES:
        return f"once in {times} times"
    for question, holds in way:
        pause = pause_of(scene, question)
        if pause is not None and holds == pause.over and pause.length_ns >= _RARE_NS:
            return f"once in {pause.length_ns // 10**6} ms"
    return ""


def turns_of(scene: Scene, way: Way) -> int:
    """Return in how many times a way is gone once, as far as turns decide; 1 if none does."""
    return max((_one_in(scene, fact) or _in_a_row(scene, fact) for fact in way), default=0) or 1


def _one_in(scene: Scene, fact: Fact) -> int:
    """Return in how many times a count, or chance, gives a fact once; 0 of all others."""
    (name, a, b), holds = fact
    term = stripped(a)
    if name != EQ or not holds or b.number is None or term.role is not Role.OPERATION:
        return 0
    counted = {f"cell:{cell}" for cell in scene.influences.counters} | {"random"}
    number = term.parts[1].number if len(term.parts) == 2 else None
    if number is None or not counted & term.sources:
        return 0
    if term.value == "%":
        return number
    return 1 << number.bit_count() if term.value == "&" else 0


def _in_a_row(scene: Scene, fact: Fact) -> int:
    """Return in how many times others have had enough in a row; 0 of all other facts."""
    (name, a, b), holds = fact
    streak = stripped(a)
    if name != ULT or holds or b.number is None or not is_shared(streak):
        return 0
    writes = _writes(scene, streak)
    values = [event.arguments.get("value") for event in writes]
    ends = any(value is not None and value.number == 0 for value in values)
    grows = any(step_of(event.name, event) == 1 for event in writes)
    return b.number + 1 if ends and grows else 0


def _writes(scene: Scene, cell: Term) -> tuple[Event, ...]:
    place = str(cell.value[0]) if isinstance(cell.value, tuple) else ""
    return scene.influences.writes.get(place, ())


@dataclass(frozen=True)
class Pause:
    """A question whether so much time has passed since somebody wrote down when it was."""

    stamp: Term
    """Where that is written; every store there is of the clock."""
    length_ns: int
    over: bool
    """The answer once the time has passed."""


def pause_of(scene: Scene, question: Question) -> Pause | None:
    """Return the pause that a question asks about, None of all other questions."""
    name, a, b = question
    if name != ULT:
        return None
    (atoms, constant), (others, limit) = linear(a), linear(b)
    factors = dict(atoms)
    for atom, factor in others.items():
        factors[atom] = factors.get(atom, 0) - factor
    now = [(atom, factor) for atom, factor in factors.items() if _is_now(atom)]
    stamps = [(atom, factor) for atom, factor in factors.items() if _is_stamp(scene, atom)]
    if len(factors) != 2 or len(now) != 1 or len(stamps) != 1:
        return None
    (_, sign), (stamp, other) = now[0], stamps[0]
    if abs(sign) != 1 or other != -sign:
        return None
    return Pause(stamp, (limit - constant) * sign, over=sign < 0)


def _is_now(atom: Term) -> bool:
    return atom.role is Role.RESULT and "time" in atom.sources


def _is_stamp(scene: Scene, atom: Term) -> bool:
    """Say whether a term is a place, not of one task alone, for when something was last done."""
    values = [event.arguments.get("value") for event in _writes(scene, atom)]
    by_clock = all(value is not None and "time" in value.sources for value in values)
    return is_shared(atom) and bool(values) and by_clock
