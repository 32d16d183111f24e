"""What a scheduler becomes in the end: time passes, counters grow, and some switches stay thrown.

A condition on the time since the start, on a counter that only grows, or on a variable that is only
ever set, has one answer for ever from some time on. The other rules are asked again about what is
left then: whatever they find is a time bomb, however long its fuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from .conditions import EQ, ONCE, SLT, ULT, Path, Question
from .events import Behaviour
from .findings import Finding, Scene, surely
from .terms import Role, Term, linear

__all__ = ["Rule", "filtered", "later"]

Rule = Callable[[Scene], Iterator[Finding]]


def later(scene: Scene, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    """T12: nothing is wrong in the end that is not wrong at the beginning."""
    answers = _final_answers(scene)
    if not answers:
        return
    final = Scene(filtered(scene.behaviour, answers), scene.kernel)
    before = {finding.words for rule in rules for finding in rule(scene) if finding.certain}
    for rule in rules:
        for finding in rule(final):
            if finding.certain and finding.words not in before:
                yield surely(
                    f"once {_shown(answers)}: {finding.words}",
                    "T12",
                    *finding.failures,
                    lines=finding.lines,
                )


def _final_answers(scene: Scene) -> dict[Question, bool]:
    """Return the questions that have one answer for ever from some time on."""
    found: dict[Question, bool] = {}
    for asked in scene.behaviour.asked:
        answer = _final(scene, asked.question)
        if answer is not None:
            found[asked.question] = answer
    return found


def _final(scene: Scene, question: Question) -> bool | None:
    name, a, b = question
    if name == ONCE:
        return None
    latched = _latched(scene, question)
    if latched is not None:
        return latched
    if name not in (ULT, SLT):
        return None
    growth = [_growth(scene, side) for side in (a, b)]
    if None in growth or growth[0] == growth[1]:
        return None
    if b.number is None and name == SLT:
        return None
    return (growth[0] or 0) < (growth[1] or 0)


def _growth(scene: Scene, term: Term) -> int | None:
    """Return 1 for what grows without end, 0 for what stays, None for everything else."""
    atoms, _ = linear(term)
    total = 0
    for atom, factor in atoms.items():
        if atom.role is Role.RESULT and "time" in atom.sources:
            total += factor
        elif atom.role is Role.CELL and isinstance(atom.value, tuple):
            name = str(atom.value[0])
            if name in scene.influences.counters:
                total += factor
            elif name in scene.influences.writes or not _is_variable(atom):
                return None
        else:
            return None
    return None if total < 0 else min(total, 1)


def _is_variable(cell: Term) -> bool:
    return cell.parts[0].role is Role.DATA


def _latched(scene: Scene, question: Question) -> bool | None:
    """Return the answer of a question about a variable that is only ever set to one value."""
    name, a, b = question
    number = b.number
    if name != EQ or number is None or a.role is not Role.CELL or not isinstance(a.value, tuple):
        return None
    place = str(a.value[0])
    events = scene.influences.writes.get(place, ())
    values = {e.arguments["value"].number for e in events if "value" in e.arguments}
    before = scene.influences.initial(place)
    if len(values) != 1 or None in values or not _is_shared(a) or before in values:
        return None
    (value,) = values
    return value == number


def _is_shared(cell: Term) -> bool:
    """Say whether a place is one and the same for all tasks."""
    root = cell.parts[0]
    if root.role is Role.DATA:
        return len(cell.parts) == 1
    return root.role is Role.ENTRY and all(part.number is not None for part in root.parts)


def filtered(behaviour: Behaviour, answers: Mapping[Question, bool]) -> Behaviour:
    """Return what programs do when questions have those answers."""
    events = []
    for event in behaviour.events:
        path: Path = frozenset(
            way
            for way in event.path
            if not any((asked, not answer) in way for asked, answer in answers.items())
        )
        if path:
            settled = frozenset(
                frozenset(fact for fact in way if fact[0] not in answers) for way in path
            )
            events.append(replace(event, path=settled))
    return replace(behaviour, events=tuple(events))


def _shown(answers: dict[Question, bool]) -> str:
    """Return in words what has come to pass."""
    words = set()
    for (_, a, b), _ in answers.items():
        names = sorted(
            source.removeprefix("cell:")
            for source in a.sources | b.sources
            if source.startswith("cell:")
        )
        if "time" in a.sources | b.sources:
            words.add("enough time has passed")
        elif names:
            words.add(f"{names[0]} has its last value")
    return " and ".join(sorted(words)) or "all has come to pass"
