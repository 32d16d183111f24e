"""What decides: where values come from, through everything that programs write, and facts' worth.

A task that goes to a queue because of its weight can do so for ever; one that goes there because
of what it used of late cannot. The rules on fairness rest on this difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from .conditions import EQ, SLT, ULT, UNDECIDED, Fact, Path, Way
from .effects import Effect
from .events import Behaviour, Event
from .standings import Standing, is_neutral, is_static, standing_of_itself
from .terms import Role, Term, linear

__all__ = ["Influences", "is_shared", "step_of"]

_BEGINNINGS = frozenset({"init", "init_cids", "init_task", "enable", "exit", "exit_task"})
"""Operations at the beginning and the end of a life: what they write is not a course of events."""

_LOADS = frozenset({"init", "init_cids"})
"""Operations that are over before any task is scheduled."""
_HASHES = frozenset({1, 5, 9, 10})
_SIZES = (1, 2, 4, 8)
_ARRIVALS = frozenset({"enqueue", "runnable", "quiescent", "select_cpu", "select_cid"})
_UNSET = frozenset({"field:task_struct.scx.dsq_vtime"})
"""Fields that are zero until somebody writes them."""


class Influences:
    """Where values come from, over all programs of an object; answers are remembered."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._roots: dict[str, frozenset[str]] = {}
        self._standings: dict[Fact, Standing] = {}
        self._ways: dict[Way, Standing] = {}

    @cached_property
    def writes(self) -> Mapping[str, tuple[Event, ...]]:
        """Stores by the name of the place, without those at the beginning of a life."""
        return self._stores(beginnings=False)

    @cached_property
    def all_writes(self) -> Mapping[str, tuple[Event, ...]]:
        """All stores by the name of the place."""
        return self._stores(beginnings=True)

    def _stores(self, *, beginnings: bool) -> dict[str, tuple[Event, ...]]:
        found: dict[str, tuple[Event, ...]] = {}
        for event in self.behaviour.events:
            if event.operation in _BEGINNINGS and not beginnings:
                continue
            if event.what == "store":
                found[event.name] = (*found.get(event.name, ()), event)
            if event.what == Effect.PUSH:
                name = str(event.arguments["map"].value)
                found[name] = (*found.get(name, ()), event)
        return found

    @cached_property
    def counters(self) -> frozenset[str]:
        """The places, not of one task alone, that only ever grow, by a fixed number at a time."""
        found = set()
        for name, events in self.all_writes.items():
            steps = [step_of(name, event) for event in events if event.operation not in _BEGINNINGS]
            if steps and all(step is not None and step > 0 for step in steps):
                found.add(name)
        return frozenset(found)

    def initial(self, name: str) -> int | None:
        """Return what a variable holds before any program runs, None for what is no variable."""
        object_ = self.behaviour.object
        for section, variables in object_.variables.items():
            for variable in variables:
                if variable.name == name and section in object_.data and variable.size in _SIZES:
                    held = object_.data[section][variable.offset :][: variable.size]
                    return int.from_bytes(held, "little")
        return None

    def roots(self, sources: Iterable[str]) -> frozenset[str]:
        """Return all that flows into something, through the places that programs write."""
        return frozenset().union(*(self._roots_of(source) for source in sources))

    def _roots_of(self, source: str) -> frozenset[str]:
        if source not in self._roots:
            found: set[str] = set()
            waiting = [source]
            while waiting:
                current = waiting.pop()
                if current not in found:
                    found.add(current)
                    waiting += self._flows.get(current.partition(":")[2], ())
            self._roots[source] = frozenset(found)
        return self._roots[source]

    @cached_property
    def _flows(self) -> Mapping[str, frozenset[str]]:
        """By place: what decides what is stored there, and whether it is."""
        found: dict[str, frozenset[str]] = {}
        for name, events in self.writes.items():
            sources: set[str] = set()
            for event in events:
                role = "value.held" if event.what == Effect.PUSH else "value"
                if role in event.arguments:
                    sources |= event.arguments[role].sources
                for way in event.path:
                    for (_, a, b), _ in way:
                        sources |= a.sources | b.sources
            found[name] = frozenset(source for source in sources if not source.startswith("@"))
        return found

    # Facts

    def standing(self, path: Path) -> Standing:
        """Return the most lasting of the ways of a path."""
        return max(self.way_standing(way) for way in path)

    def way_standing(self, way: Way) -> Standing:
        """Return how lasting one way is: as lasting as its least lasting fact."""
        if way not in self._ways:
            standings = (self.fact_standing(fact) for fact in way)
            self._ways[way] = min(standings, default=Standing.LASTING)
        return self._ways[way]

    def fact_standing(self, fact: Fact) -> Standing:
        """Return how lasting it is that a fact holds."""
        if fact not in self._standings:
            self._standings[fact] = Standing.CHANGING
            self._standings[fact] = self._fact_standing(fact)
        return self._standings[fact]

    def _fact_standing(self, fact: Fact) -> Standing:
        (name, a, b), holds = fact
        if fact == UNDECIDED:
            return Standing.CHANGING
        if a.role is Role.ENTRY and name == EQ and b.number == 0:
            return self._of_lookup(a, missing=holds)
        own = standing_of_itself(fact)
        if own is not None:
            return own
        if self._is_never_reached(fact) or self._is_unset(fact):
            return Standing.EXCEPTION
        return self.of_sources(s for s in (a.sources | b.sources) if not s.startswith("@"))

    def depends_on(self, path: Path, root: str) -> bool:
        """Say whether every way of a path depends on something."""
        return all(
            any(root in self.roots(a.sources | b.sources) for (_, a, b), _ in way) for way in path
        )

    def varies(self, sources: Iterable[str]) -> bool:
        """Say whether something is not the same for all tasks at all times."""
        return any(
            not is_neutral(source)
            and (source not in _UNSET or source[6:] in self.writes)
            and (not source.startswith("cell:") or source[5:] in self.writes)
            for source in self.roots(sources)
        )

    def of_sources(self, sources: Iterable[str]) -> Standing:
        """Return whether something stays as it is that depends on these alone."""
        roots = self.roots(sources)
        lasting = all(is_neutral(s) or is_static(s) or self._configured(s) for s in roots)
        return Standing.LASTING if lasting else Standing.CHANGING

    def _of_lookup(self, entry: Term, *, missing: bool) -> Standing:
        name = str(entry.value[0]) if isinstance(entry.value, tuple) else ""
        map_ = self.behaviour.object.maps.get(name)
        if map_ is None or map_.kind not in _HASHES:
            return Standing.EXCEPTION if missing else Standing.LASTING
        return self.of_sources(entry.sources)

    def _is_never_reached(self, fact: Fact) -> bool:
        """Say whether a fact is that a count is large, which starts over with tasks that come."""
        (name, a, b), holds = fact
        large, limit = (a, b.number) if not holds else (b, a.number)
        if name not in (ULT, SLT) or limit is None:
            return False
        atoms, _ = linear(large)
        cells = [atom for atom in atoms if atom.role is Role.CELL and atom.parts]
        if len(cells) != 1 or cells[0].parts[0].role is not Role.DATA:
            return False
        place = cells[0].value
        return any(
            event.operation in _ARRIVALS
            and "value" in event.arguments
            and (event.arguments["value"].number or 0) < limit
            and event.arguments["value"].number is not None
            and self.standing(event.path) is Standing.LASTING
            for event in self.writes.get(str(place[0]) if isinstance(place, tuple) else "", ())
        )

    def _is_unset(self, fact: Fact) -> bool:
        """Say whether a fact is that a variable is zero which init sets to something else."""
        (name, a, b), holds = fact
        if name != EQ or not holds or b.number != 0 or a.role is not Role.CELL:
            return False
        place = str(a.value[0]) if isinstance(a.value, tuple) else ""
        events = self.all_writes.get(place, ())
        if not events:
            return bool(self._kept.get(place, frozenset()) & _LOADS)
        return all(
            event.operation in _LOADS
            and "value" in event.arguments
            and event.arguments["value"].bounds[0] > 0
            for event in events
        )

    @cached_property
    def _kept(self) -> Mapping[str, frozenset[str]]:
        """By place: the operations that put an object of the kernel's into it."""
        found: dict[str, frozenset[str]] = {}
        for event in self.behaviour.of(Effect.KEEP):
            if "keeper" not in event.arguments:
                continue
            atoms, offset = linear(event.arguments["keeper"])
            for entry in atoms:
                if entry.role is Role.ENTRY and isinstance(entry.value, tuple):
                    place = f"{entry.value[0]}+{offset}"
                    found[place] = found.get(place, frozenset()) | {event.operation}
        return found

    def _configured(self, source: str) -> bool:
        """Say whether something is only ever written from outside."""
        kind, _, name = source.partition(":")
        if kind == "cell":
            return name not in self.writes
        if kind == "map":
            return not any(
                event.operation not in _BEGINNINGS and event.arguments["map"].value == name
                for event in self.behaviour.of(Effect.UPDATE, Effect.DELETE)
            )
        return False


def step_of(name: str, event: Event) -> int | None:
    """Return by how much a store changes a place that all tasks share, None if not by a number."""
    value = event.arguments.get("value")
    if value is None:
        return None
    atoms, constant = linear(value)
    if len(atoms) != 1:
        return None
    ((atom, factor),) = atoms.items()
    if atom.role is not Role.CELL or factor != 1 or not isinstance(atom.value, tuple):
        return None
    return constant if is_shared(atom) and atom.value[0] == name else None


def is_shared(term: Term) -> bool:
    """Say whether a term is a place that is not of one task alone."""
    if term.role is not Role.CELL or not term.parts:
        return False
    root = term.parts[0]
    return root.role is Role.DATA or (
        root.role is Role.ENTRY and all(part.number is not None for part in root.parts[:1])
    )
