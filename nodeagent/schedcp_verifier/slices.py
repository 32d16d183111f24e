"""Slices end, and not at once: nobody keeps a CPU for ever, nobody is switched all the time."""

from __future__ import annotations

from collections.abc import Iterator

from .arithmetic import LOW, MASK, computed
from .conditions import refined
from .effects import Effect
from .events import Event
from .findings import Finding, Scene, possibly, surely
from .queueids import possible
from .slopes import known_bits
from .standings import Standing
from .terms import Role, Term, linear, stripped

__all__ = ["slices_end", "slices_last", "ticks_leave"]

_SLICE_FIELD = "task_struct.scx.slice"
_SHORTEST_NS = 100_000
_LONGEST_NS = 10 * 10**9
"""Longer than this is the watchdog's time-out, as it is mostly set."""
_CROWD = 64
"""So many tasks wait in one queue on any machine that is busy."""
_ENDLESS = LOW
"""No queue is longer."""
_TRUNCATED_INFINITE = LOW
_ALWAYS = Standing.LASTING
_WEIGHT_FIELD = "task_struct.scx.weight"
_USUAL_WEIGHT = 100
_ARITHMETIC = frozenset({"+", "-", "*", "/", "<<", ">>"})


def _slices(scene: Scene) -> Iterator[tuple[Event, Term]]:
    """Yield everything that gives a task a slice."""
    for event in scene.behaviour.of(Effect.INSERT, Effect.SET_SLICE):
        yield event, event.arguments["slice"]
    for event in scene.behaviour.of("store"):
        if event.name == _SLICE_FIELD:
            yield event, event.arguments["value"]


def slices_end(scene: Scene) -> Iterator[Finding]:
    """T07, L09: a slice without end, or of many seconds, is ended by somebody."""
    for event, slice_ in _slices(scene):
        if scene.standing(event.path) is Standing.EXCEPTION:
            continue
        lines = [scene.behaviour.line(event)]
        known = _bounds(event, slice_)[1] if _is_known(scene, event, slice_) else 0
        longest = max(known, min((n or 0 for n in _from_table(scene, slice_)), default=0))
        if slice_.number == _TRUNCATED_INFINITE:
            yield surely(
                "a slice of 0xffffffff ns: SCX_SLICE_INF was cut to 32 bits; keep it in a u64",
                "L09",
                lines=lines,
            )
        elif _grows(scene, slice_):
            yield surely(
                "a slice that only ever grows: some day it is longer than anybody waits; bound it",
                "T12",
                "T07",
                lines=lines,
            )
        elif longest >= _LONGEST_NS and not _preempts(scene):
            words = "without end" if longest == MASK else f"of up to {longest // 10**9} s"
            yield surely(
                f"slices {words}, and nobody ends them: others wait until the kernel loses "
                "patience; use SCX_SLICE_DFL, or kick CPUs with SCX_KICK_PREEMPT from a timer",
                "T07",
                lines=lines,
            )


def _grows(scene: Scene, slice_: Term) -> bool:
    """Say whether a slice is in a place that grows, with nothing that stops it."""
    if slice_.role is not Role.CELL or not isinstance(slice_.value, tuple):
        return False
    name = str(slice_.value[0])
    events = scene.influences.writes.get(name, ())
    return bool(events) and all(_adds(name, event) for event in events)


def _adds(name: str, event: Event) -> bool:
    """Say whether a store makes a place larger, however large it is."""
    atoms, constant = linear(event.arguments["value"])
    own = [a for a in atoms if a.role is Role.CELL and isinstance(a.value, tuple)
           and a.value[0] == name]  # fmt: skip
    more = {atom: count for atom, count in atoms.items() if atom not in own}
    grows = all(count > 0 for count in more.values()) and constant >= 0 and (more or constant)
    asked = any(atom in (a, b) for way in event.path for (_, a, b), _ in way for atom in own)
    return len(own) == 1 and atoms[own[0]] == 1 and bool(grows) and not asked


def _from_table(scene: Scene, slice_: Term) -> list[int | None]:
    """Return all that is ever written into the entry of a map that a slice is read from.

    None is something that is not a number in the code; without a known entry there is nothing.
    """
    if slice_.role is not Role.CELL or not isinstance(slice_.value, tuple):
        return []
    key, place = _key_of(slice_.parts[0]), str(slice_.value[0])
    if key is None:
        return []
    unseen = [
        None
        for event in scene.behaviour.of(Effect.UPDATE)
        if str(event.arguments["map"].value) == place.partition("+")[0]
        and event.arguments["value"].role is not Role.STACK
    ]
    return unseen + [
        store.arguments["value"].number
        for store in scene.influences.all_writes.get(place, ())
        if "root" in store.arguments and _key_of(store.arguments["root"]) in (key, None)
    ]


def _most_of_table(scene: Scene, slice_: Term, *, at_least: int) -> int:
    """Return the most that a slice out of a map can be, if all that is written there is known."""
    written = _from_table(scene, slice_)
    known = [number for number in written if number is not None and number >= at_least]
    return max(known) if known and None not in written else MASK


def _usual(scene: Scene, term: Term) -> int | None:
    """Return the most that a slice is for a task of weight 100, None where more decides than what
    is written into tables."""
    term = stripped(term)
    if term.number is not None:
        return term.number
    if term.role is Role.FIELD and _name(term) == _WEIGHT_FIELD:
        return _USUAL_WEIGHT
    if term.role is Role.CELL:
        return _most_written(scene, _name(term))
    if term.role is not Role.OPERATION or len(term.parts) != 2 or term.value not in _ARITHMETIC:
        return None
    first, second = (_usual(scene, part) for part in term.parts)
    if first is None or not second:
        return None
    return computed(str(term.value), first, second)


def _most_written(scene: Scene, place: str) -> int | None:
    """Return the greatest number that is ever written into a place, None where others are, too."""
    if any(
        str(event.arguments["map"].value) == place.partition("+")[0]
        for event in scene.behaviour.of(Effect.UPDATE)
    ):
        return None
    events = scene.influences.all_writes.get(place, ())
    numbers = [event.arguments["value"].number for event in events]
    known = [number for number in numbers if number]
    return max(known) if known and len(known) == len(numbers) else None


def _name(term: Term) -> str:
    return str(term.value[0]) if isinstance(term.value, tuple) else ""


def _key_of(root: Term) -> int | None:
    return root.parts[0].number if root.role is Role.ENTRY and root.parts else None


def _bounds(event: Event, slice_: Term) -> tuple[int, int]:
    values = possible(slice_)
    if values is not None:
        return min(values), max(values)
    found = [refined(slice_, way) for way in event.path]
    return min(low for low, _ in found), max(high for _, high in found)


def _is_known(scene: Scene, event: Event, slice_: Term) -> bool:
    """Say whether the upper bound is one that the value can reach."""
    if possible(slice_) is not None:
        return True
    fixed = not any(source.startswith(("cell:", "map:")) for source in slice_.sources)
    lasting = scene.influences.of_sources(slice_.sources) is Standing.LASTING
    return fixed and lasting and _bounds(event, slice_)[1] < MASK >> 8 and bool(slice_.parts)


def _preempts(scene: Scene) -> bool:
    """Say whether something takes CPUs away: a kick, an insert that preempts, a tick."""
    preempt_kick = 2
    for event in scene.behaviour.of(Effect.KICK):
        if known_bits(event.arguments["flags"]) & preempt_kick:
            return True
    preempt = scene.kernel.flag("SCX_ENQ_PREEMPT")
    for event in scene.behaviour.of(Effect.INSERT):
        if known_bits(event.arguments["flags"]) & preempt:
            return True
    return any(
        _bounds(event, slice_)[0] < _SHORTEST_NS
        for event, slice_ in _slices(scene)
        if event.what != Effect.INSERT
    )


def _shared_out(slice_: Term) -> bool:
    """Say whether a slice is something divided by the length of a queue."""
    slice_ = stripped(slice_)
    if slice_.role is not Role.OPERATION:
        return False
    if slice_.value in ("/", "s/"):
        return "queue" in slice_.parts[1].sources
    return slice_.value == "+" and any(_shared_out(part) for part in slice_.parts)


def _among(slice_: Term, waiting: int) -> int | None:
    """Return what a slice that is shared out is when so many wait, None if more decides."""
    slice_ = stripped(slice_)
    if slice_.number is not None:
        return slice_.number
    if slice_.role is not Role.OPERATION or len(slice_.parts) != 2:
        return None
    whole, by = slice_.parts
    if slice_.value == "+":
        parts = [_among(part, waiting) for part in slice_.parts]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None
    atoms, constant = linear(by)
    lengths = all(
        a.role is Role.RESULT and n > 0 and "queue" in a.sources for a, n in atoms.items()
    )
    if slice_.value not in ("/", "s/") or whole.number is None or not atoms or not lengths:
        return None
    return whole.number // max(sum(atoms.values()) * waiting + constant, 1)


def ticks_leave(scene: Scene) -> Iterator[Finding]:
    """Q09: a tick does not take away what is left of every slice."""
    for event, slice_ in _slices(scene):
        if event.operation != "tick" or event.what == Effect.INSERT:
            continue
        lasting = scene.standing(event.path) is Standing.LASTING
        if lasting and _bounds(event, slice_)[1] < _SHORTEST_NS:
            yield surely(
                "tick takes away what is left of every slice, so that no slice is longer than a "
                "tick: ask whether somebody waits, or how long the task has run",
                "Q09",
                lines=[scene.behaviour.line(event)],
            )


def _is_cut(scene: Scene, event: Event) -> bool:
    """Say whether everybody who begins to run has its slice cut to what is written."""
    own = f"field:{_SLICE_FIELD}"
    return event.operation == "running" and any(
        all(
            own in a.sources or scene.influences.fact_standing(((name, a, b), holds)) is _ALWAYS
            for (name, a, b), holds in way
        )
        for way in event.path
    )


def slices_last(scene: Scene) -> Iterator[Finding]:
    """T07, Q09: no slice is zero, or so short that a CPU only switches."""
    kept = any(event.what != Effect.INSERT for event, _ in _slices(scene))
    for event, slice_ in _slices(scene):
        if event.what != Effect.INSERT and not _is_cut(scene, event):
            continue
        low, high = _bounds(event, slice_)
        high = min(high, _most_of_table(scene, slice_, at_least=low))
        if low <= _SHORTEST_NS <= high and slice_.role is Role.OPERATION:
            high = _usual(scene, slice_) or high
        floor = _among(slice_, _ENDLESS) or 0
        if _shared_out(slice_) and max(low, floor) < _SHORTEST_NS:
            shortest = _among(slice_, _CROWD)
            soon = shortest is not None and shortest < _SHORTEST_NS
            found = surely if soon and scene.standing(event.path) is _ALWAYS else possibly
            yield found(
                "a slice that is divided by how many wait: it becomes as short as you like; do "
                f"not let it fall below {_SHORTEST_NS} ns",
                "Q09",
                lines=[scene.behaviour.line(event)],
            )
        if high >= _SHORTEST_NS or low < 0:
            continue
        if high == 0 and kept and event.what == Effect.INSERT:
            continue
        words = "of zero" if high == 0 else f"of at most {high} ns"
        if scene.standing(event.path) is Standing.EXCEPTION:
            continue
        yield surely(
            f"a slice {words}: the task is switched out at the next tick, and the CPU does little "
            f"else than switching; give it {_SHORTEST_NS} ns at least, or SCX_SLICE_DFL",
            "Q09" if high else "T07",
            lines=[scene.behaviour.line(event)],
        )
