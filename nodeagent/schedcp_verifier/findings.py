"""What a rule of the bytecode analysis found, and what all rules look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from .conditions import Path
from .effects import Effect
from .events import Behaviour, Event
from .influences import Influences
from .kernelfacts import KernelFacts
from .queueids import Queue, QueueKind, queues_of
from .standings import Standing
from .terms import Term

__all__ = ["Finding", "Placed", "Scene", "possibly", "surely"]


_ENQ_EXITING = 1 << 2


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that could not be told."""

    certain: bool
    words: str
    """What is wrong, and how to repair it."""
    failures: tuple[str, ...]
    """The kinds of failure that it is, as the project counts them."""
    lines: tuple[str, ...] = ()


def surely(words: str, *failures: str, lines: Iterable[str] = ()) -> Finding:
    """Return something that is wrong whatever happens."""
    return Finding(True, words, failures, tuple(lines))


def possibly(words: str, *failures: str, lines: Iterable[str] = ()) -> Finding:
    """Return something that the code does not decide."""
    return Finding(False, words, failures, tuple(lines))


@dataclass(frozen=True)
class Placed:
    """An event with one of the queues that it is about."""

    event: Event
    queue: Queue


@dataclass(frozen=True)
class Scene:
    """All that a rule may look at."""

    behaviour: Behaviour
    kernel: KernelFacts

    @cached_property
    def influences(self) -> Influences:
        """Where values come from."""
        return Influences(self.behaviour)

    def placed(self, *effects: Effect, role: str = "queue") -> tuple[Placed, ...]:
        """Return the events of some kinds by queue."""
        return tuple(
            Placed(event, queue)
            for event in self.behaviour.of(*effects)
            if role in event.arguments
            for queue in self.queues(event.arguments[role])
        )

    def queues(self, term: Term) -> tuple[Queue, ...]:
        """Return every queue that a term can be the id of; answers are remembered."""
        if term not in self._queues:
            self._queues[term] = queues_of(term, self.influences)
        return self._queues[term]

    @cached_property
    def _queues(self) -> dict[Term, tuple[Queue, ...]]:
        return {}

    @cached_property
    def inserts(self) -> tuple[Placed, ...]:
        """Everything that puts a task into a queue."""
        return self.placed(Effect.INSERT, Effect.MOVE)

    @cached_property
    def consumers(self) -> tuple[Placed, ...]:
        """Everything that takes a task out of a queue."""
        return (*self.placed(Effect.CONSUME), *self.placed(Effect.MOVE, role="from"))

    @cached_property
    def created(self) -> tuple[Placed, ...]:
        """Every queue that is made."""
        return self.placed(Effect.CREATE)

    @cached_property
    def waiting(self) -> tuple[Placed, ...]:
        """Everything after which a task waits, also in a map of the object's own."""
        pushes = [e for e in self.behaviour.of(Effect.PUSH) if e.operation == "enqueue"]
        return (*self.inserts, *(Placed(event, _map_of(event)) for event in pushes))

    @cached_property
    def takers(self) -> tuple[Placed, ...]:
        """Everything that takes a task out of a queue, also out of a map of the object's own."""
        pops = self.behaviour.of(Effect.POP)
        return (*self.consumers, *(Placed(event, _map_of(event)) for event in pops))

    @property
    def hands_over_exiting(self) -> bool:
        """Whether the kernel shall hand over tasks that are on their way out."""
        return bool(self.behaviour.object.table.numbers.get("flags", 0) & _ENQ_EXITING)

    @property
    def complete(self) -> bool:
        """Whether what was not seen does not happen."""
        return self.behaviour.complete

    def standing(self, path: Path) -> Standing:
        """Return how lasting a path is."""
        return self.influences.standing(path)

    def lines(self, placed: Iterable[Placed]) -> list[str]:
        """Return where some events are."""
        return self.behaviour.lines(item.event for item in placed)


def _map_of(event: Event) -> Queue:
    return Queue(QueueKind.MAP, name=str(event.arguments["map"].value))
