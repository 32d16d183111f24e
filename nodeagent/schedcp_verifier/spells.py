"""What a scheduler is for a while, again and again or once: when the clock alone decides.

A condition on the time of day, or on the time since the start, has one answer for some time on end.
The other rules are asked about what is left then: what they find holds for as long as the spell
lasts, which a task survives or does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from .clocks import Clock, moments_of, periods_of
from .conditions import Question
from .findings import Finding, Scene, possibly, surely
from .timebombs import Rule, certain_words, new_findings

__all__ = ["while_it_lasts"]

_SECOND = 10**9
_NOTICED_NS = _SECOND
"""A shorter spell is a turn."""
_PATIENCE_NS = 10 * _SECOND
"""The watchdog's time-out as schedulers are loaded, unless they ask for more."""
_HORIZON_NS = 400 * 24 * 3600 * _SECOND
_REPEATS_MAX = 256
_SAMPLES = 64
_MOMENTS_MAX = 20_000
_QUESTIONS_MAX = 12
_SPELLS_MAX = 8

Answers = tuple[bool | None, ...]


def while_it_lasts(scene: Scene, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    """T12: nothing is wrong at some times that is not wrong at others."""
    found = _spells(scene)
    if not found:
        return
    known = certain_words(scene, rules)
    patience = max(scene.behaviour.object.table.numbers.get("timeout_ms", 0) * 10**6, _PATIENCE_NS)
    for answers, lasting in found:
        make = surely if lasting >= patience else possibly
        span = f"for {(lasting + _SECOND // 2) // _SECOND} s on end, when the clock says so"
        for finding in new_findings(scene, rules, answers, known):
            yield make(f"{span}: {finding.words}", "T12", *finding.failures, lines=finding.lines)


def _spells(scene: Scene) -> list[tuple[Mapping[Question, bool], int]]:
    """Return what the clock answers for some time on end, and how long it does at most."""
    clock = Clock(scene)
    asked = dict.fromkeys(a.question for a in scene.behaviour.asked)
    questions = [question for question in asked if clock.asks(question)][:_QUESTIONS_MAX]
    periods = {question: _periods(clock, question) for question in questions}
    horizon = max((_reach(clock, q, periods[q]) for q in questions), default=0)
    slow = [q for q in questions if min(periods[q], default=horizon) * _REPEATS_MAX >= horizon]
    if not slow:
        return []
    moments = sorted(_moments(clock, slow, periods, horizon))[:_MOMENTS_MAX]
    longest: dict[Answers, int] = {}
    run: tuple[Answers, int] | None = None
    for begin, end in pairwise(moments):
        middle = (begin + end) // 2
        answers = tuple(clock.answer(question, middle) for question in slow)
        run = (answers, run[1] if run is not None and run[0] == answers else begin)
        longest[answers] = max(longest.get(answers, 0), end - run[1])
    spells = sorted(longest.items(), key=lambda item: -item[1])
    return [
        ({q: answer for q, answer in zip(slow, answers, strict=True) if answer is not None}, length)
        for answers, length in spells[:_SPELLS_MAX]
        if length >= _NOTICED_NS
    ]


def _periods(clock: Clock, question: Question) -> set[int]:
    return {
        period
        for sides in clock.terms(question)
        for side in sides
        for period in periods_of(side)
        if period <= _HORIZON_NS
    }


def _first(clock: Clock, question: Question) -> set[int]:
    """Return the times at which an answer changes, within the first period."""
    found: set[int] = set()
    for a, b in clock.terms(question):
        for one, other in ((a, b), (b, a)):
            if other.number is not None:
                found |= moments_of(one, {0, other.number, other.number + 1})
    return {moment for moment in found if 0 <= moment <= _HORIZON_NS}


def _reach(clock: Clock, question: Question, periods: set[int]) -> int:
    return 2 * max(periods | _first(clock, question), default=0)


def _moments(
    clock: Clock, questions: list[Question], periods: Mapping[Question, set[int]], horizon: int
) -> set[int]:
    """Return the times between which no answer changes."""
    found = {horizon * sample // _SAMPLES for sample in range(_SAMPLES + 1)}
    for question in questions:
        first = _first(clock, question) | {0}
        for period in periods[question] or {horizon + 1}:
            for begin in range(0, horizon + 1, period)[: _REPEATS_MAX + 1]:
                found |= {begin + moment for moment in first}
    return {moment for moment in found if moment <= horizon}
