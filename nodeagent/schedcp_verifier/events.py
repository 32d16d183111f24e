"""What programs do, as the exploration saw it: one event for each call, store and return.

An event holds under its path only. The rules look at events, never at instructions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .annotations import Place
from .conditions import Path, Question
from .effects import Effect
from .graphs import Graph
from .loops import Loop, loops
from .programs import ProgramObject
from .states import Status
from .terms import Term, Terms

__all__ = ["TIMER", "WORK", "Asked", "Behaviour", "Event"]

TIMER, WORK = "timer", "work"
"""What the callbacks of timers and of work queues are called among the operations."""


@dataclass(frozen=True)
class Event:
    """One call, store or return."""

    operation: str
    """The member of the table, `timer` or `work`."""
    what: Effect | str
    """The effect of a call, `store`, `return`, or `absent` for a function that the kernel lacks."""
    name: str
    """The function that is called, or the place that is written."""
    place: Place
    path: Path
    arguments: Mapping[str, Term] = field(default_factory=dict)
    """By role; a store has `value`, `root` and `size`, and `index` where one is added to the place
    that is not known; a return has `value`."""
    result: Term | None = None
    status: Status = ()
    """What had become of the operation's task before."""
    touched: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Asked:
    """A branch: the question, and where it was asked."""

    operation: str
    question: Question
    place: Place


@dataclass(frozen=True)
class Behaviour:
    """All that the programs of an object do."""

    object: ProgramObject
    terms: Terms
    events: tuple[Event, ...]
    asked: tuple[Asked, ...]
    unfinished: tuple[str, ...] = ()
    """Operations that were too much to be explored; what they do is not known in full."""
    graphs: Mapping[tuple[str, int], Graph] = field(default_factory=dict)
    """The functions that were walked through, by section and first slot."""
    gone: Mapping[Place, frozenset[int]] = field(default_factory=dict)
    """Branches that needed no question, and the slots at which they went on."""

    @property
    def complete(self) -> bool:
        """Whether what is not among the events does not happen."""
        return not self.unfinished

    def of(self, *kinds: Effect | str) -> tuple[Event, ...]:
        """Return the events of some kinds."""
        return tuple(event for kind in kinds for event in self._by_kind.get(kind, ()))

    @cached_property
    def _by_kind(self) -> Mapping[Effect | str, list[Event]]:
        found: dict[Effect | str, list[Event]] = {}
        for event in self.events:
            found.setdefault(event.what, []).append(event)
        return found

    def within(self, *operations: str) -> tuple[Event, ...]:
        """Return the events of some operations."""
        return tuple(event for event in self.events if event.operation in operations)

    def line(self, event: Event | Asked) -> str:
        """Return where an event is: the operation, and the line of the source."""
        return f"{event.operation} at {self.object.line(event.place)}"

    def lines(self, events: Iterable[Event | Asked]) -> list[str]:
        """Return where events are, each place once."""
        return list(dict.fromkeys(self.line(event) for event in events))

    def loops_at(self, place: Place) -> tuple[Loop, ...] | None:
        """Return the loops of the function that a place is in, None if that is not known."""
        key = self._function_of(place)
        if key is None:
            return None
        if key not in self._loops:
            self._loops[key] = loops(self.graphs[key])
        return self._loops[key]

    def calls_near(self, place: Place, name: str) -> list[int]:
        """Return the slots at which the function that a place is in calls another."""
        key = self._function_of(place)
        if key is None:
            return []
        return [
            instruction.at
            for block in self.graphs[key].blocks.values()
            for instruction in block.instructions
            if instruction.reference is not None and instruction.reference.name == name
        ]

    def _function_of(self, place: Place) -> tuple[str, int] | None:
        section, slot = place
        for key, graph in self.graphs.items():
            if key[0] == section and graph.function.first <= slot < graph.function.end:
                return key
        return None

    @cached_property
    def _loops(self) -> dict[tuple[str, int], tuple[Loop, ...] | None]:
        return {}

    @cached_property
    def questions(self) -> Mapping[Place, list[Question]]:
        """What is asked, by place."""
        found: dict[Place, list[Question]] = {}
        for asked in self.asked:
            found.setdefault(asked.place, []).append(asked.question)
        return found
