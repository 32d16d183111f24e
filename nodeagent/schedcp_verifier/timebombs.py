"""What a scheduler becomes in the end: time passes, counters grow, and some switches stay thrown.

A condition on the time since the start, on what is only ever counted, used up or set, has one
answer for ever from some time on. The other rules are asked again about what is left then: whatever
they find is a time bomb, however long its fuse; and may be one where the end is not certain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import replace
from functools import reduce
from itertools import chain

from .conditions import EQ, ONCE, Path, Question, Way, joined
from .effects import Effect
from .endings import Endings
from .events import TIMER, Behaviour
from .findings import Finding, Scene, possibly, surely
from .standings import Standing
from .terms import Role, Term

__all__ = [
    "Rule",
    "certain_words",
    "ends",
    "later",
    "new_findings",
    "shown",
    "without_timers",
]

Rule = Callable[[Scene], Iterator[Finding]]


def later(scene: Scene, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    """T12: nothing is wrong in the end that is not wrong at the beginning."""
    found = ends(scene)
    sure = {asked: answer for asked, (answer, certain) in found.items() if certain}
    likely = {asked: answer for asked, (answer, _) in found.items()}
    if not found:
        return
    known = certain_words(scene, rules)
    for answers, make in ((sure, surely), (likely, possibly)):
        if not answers or (make is possibly and answers == sure):
            continue
        when = f"once {shown(scene, answers)}"
        for finding in new_findings(scene, rules, answers, known):
            known.add(finding.words)
            yield make(f"{when}: {finding.words}", "T12", *finding.failures, lines=finding.lines)


def without_timers(scene: Scene, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    """T12: a timer that others rely on does not end itself."""
    ends_at = _timer_ends(scene)
    if ends_at is None:
        return
    events = tuple(e for e in scene.behaviour.events if e.operation != TIMER)
    changed = Scene(replace(scene.behaviour, events=events), scene.kernel)
    known = certain_words(scene, rules)
    at_once = (finding for rule in rules for finding in rule(changed))
    for finding in chain(at_once, later(changed, rules)):
        if finding.certain and finding.words not in known:
            known.add(finding.words)
            words = f"once the timer has ended itself, and nobody starts it: {finding.words}"
            yield surely(words, "T12", *finding.failures, lines=(ends_at, *finding.lines))


def _timer_ends(scene: Scene) -> str | None:
    """Return where the only timer is started again, if not always and by nobody else."""
    starts = scene.behaviour.of(Effect.START_TIMER)
    callbacks = {e.name for e in scene.behaviour.of("return") if e.operation == TIMER}
    again = any(e.operation not in {TIMER, "init"} for e in starts)
    own = [event for event in starts if event.operation == TIMER]
    if again or len(callbacks) != 1 or not own or not scene.complete:
        return None
    ways = (frozenset({_usual(scene, way)}) for event in own for way in event.path)
    always = frozenset() in reduce(joined, ways)
    return None if always else scene.behaviour.line(own[0])


def _usual(scene: Scene, way: Way) -> Way:
    """Return a way without what holds but for an error."""
    return frozenset(
        (asked, holds)
        for asked, holds in way
        if scene.influences.fact_standing((asked, not holds)) is not Standing.EXCEPTION
    )


def certain_words(scene: Scene, rules: tuple[Rule, ...]) -> set[str]:
    """Return what rules find with certainty, in words."""
    return {finding.words for rule in rules for finding in rule(scene) if finding.certain}


def new_findings(
    scene: Scene, rules: tuple[Rule, ...], answers: Mapping[Question, bool], known: Set[str]
) -> Iterator[Finding]:
    """Yield what rules find with certainty, and had not found, when questions have those answers.

    `known` is looked at for each finding, so that the caller may add to it meanwhile.
    """
    changed = Scene(_filtered(scene.behaviour, answers), scene.kernel)
    for rule in rules:
        for finding in rule(changed):
            if finding.certain and finding.words not in known:
                yield finding


def ends(scene: Scene) -> dict[Question, tuple[bool, bool]]:
    """Return the questions that have one answer for ever from some time on, and surely or not."""
    found: dict[Question, tuple[bool, bool]] = {}
    endings = Endings(scene)
    for asked in scene.behaviour.asked:
        question = asked.question
        if question[0] == ONCE or question in found:
            continue
        latched = _latched(scene, question)
        end = (latched, True) if latched is not None else endings.answer(question)
        if end is not None:
            found[question] = end
    return found


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


def _filtered(behaviour: Behaviour, answers: Mapping[Question, bool]) -> Behaviour:
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


def shown(scene: Scene, answers: dict[Question, bool]) -> str:
    """Return in words what has come to pass."""
    words = set()
    for (_, a, b), _ in answers.items():
        names = [
            source.removeprefix("cell:")
            for source in a.sources | b.sources
            if source.startswith("cell:")
        ]
        # The place that programs write is the one that changed.
        names.sort(key=lambda name: (name not in scene.influences.all_writes, name))
        if "time" in a.sources | b.sources:
            words.add("enough time has passed")
        elif names:
            words.add(f"{names[0]} has its last value")
    return " and ".join(sorted(words)) or "all has come to pass"
