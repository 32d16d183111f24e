"""Where places end: what programs do to a number again and again, and what it is for ever then.

Pure. A place of which every store is a step the same way (a sum, a shift, a bit, a maximum) arrives
somewhere and stays: above any number, at nothing, or where the steps' own condition stops them.
What is written at the beginning of a life only is where it starts, not a step.
"""

from __future__ import annotations

from dataclasses import dataclass

from .arithmetic import MASK, signed
from .conditions import EQ, SLT, ULT, Question
from .effects import Effect
from .events import Event
from .findings import Scene
from .standings import Standing
from .steps import GROWING, Step, guard, step_of_store, stops_elsewhere
from .terms import Role, Term, linear, stripped

__all__ = ["End", "Endings"]

FOREVER = 1 << 200
"""Further than any number, also after it was divided by one."""
_UNKNOWN = 1 << 64
_DEPTH = 8
_LOADS = frozenset({"init", "init_cids", "exit", "dump", "dump_cpu", "dump_task"})
_LIVES = frozenset({"init_task", "enable", "disable", "exit_task", "cgroup_init", "cgroup_exit"})
_OWN_MAPS = frozenset({29, 32})
_HASHES = frozenset({1, 5, 9, 10})
_ARRAYS = frozenset({2, 6})
_BIRTHS = frozenset({"task_struct.start_time", "task_struct.start_boottime"})


@dataclass(frozen=True)
class End:
    """What a value is within for ever, from some time on."""

    low: int
    high: int
    certain: bool = True
    """Whether it surely comes to that; else it depends on what happens."""
    set: int = 0
    """Bits that are set in the end."""
    cleared: int = 0
    """Bits that are cleared in the end."""

    @property
    def unending(self) -> bool:
        """Whether it goes beyond any number."""
        return abs(self.low) >= FOREVER >> 64

    @property
    def stays(self) -> bool:
        """Whether it is a value that nobody writes, or a number more or less than one."""
        return self.high - self.low == 2 * _UNKNOWN


STAYS = End(-_UNKNOWN, _UNKNOWN)
"""What is never written: some number, and always the same."""
_UP = End(FOREVER, FOREVER)


class Endings:
    """The ends of the places that the programs of one object write."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._known: dict[str, End | None] = {}

    def of(self, term: Term, depth: int = _DEPTH) -> End | None:
        """Return what a term is in the end, None for what comes and goes."""
        atoms, constant = linear(term)
        low = high = constant
        certain, unending = True, set()
        for atom, factor in atoms.items():
            end = self._of_atom(atom, depth)
            if end is None:
                return None
            if end.unending:
                unending.add((end.low > 0) == (factor > 0))
            ends = (end.low * factor, end.high * factor)
            low, high = low + min(ends), high + max(ends)
            certain = certain and end.certain
        if len(unending) > 1:
            return None
        return End(low, high, certain)

    def answer(self, question: Question) -> tuple[bool, bool] | None:
        """Return the answer for ever, and whether it surely is; None for one that changes."""
        name, a, b = question
        if name == EQ and b.number is not None and a.role is Role.OPERATION and a.value == "&":
            return self._of_mask(a, b.number)
        if name == SLT and b.number is None:
            return None
        x, y = self._side(a, name), self._side(b, name)
        if x is None or y is None:
            return self._used_up(question)
        if x.unending and y.unending:
            return None
        certain = x.certain and y.certain
        if name == EQ:
            if x.high < y.low or y.high < x.low:
                return False, certain
            return (True, certain) if x.low == x.high == y.low == y.high else None
        if name not in (ULT, SLT) or (name == ULT and _is_negative(x, y)):
            return None
        if x.high < y.low or x.low >= y.high:
            return x.high < y.low, certain
        return None

    def _used_up(self, question: Question) -> tuple[bool, bool] | None:
        """Return the answer to the very question that steps of a place depend on: they end."""
        name, a, b = question
        if name not in (ULT, SLT):
            return None
        for side, other, below in ((a, b, True), (b, a, False)):
            (atoms, _), rest = linear(side), self.of(other)
            cell = next(iter(atoms), None)
            if rest is None or len(atoms) != 1 or cell is None:
                continue
            if not rest.stays and other.number is None:
                continue
            for holds in (True, False):
                if self._leads_away(cell, question, holds=holds, upwards=below == holds):
                    return not holds, True
        return None

    def _leads_away(self, cell: Term, question: Question, *, holds: bool, upwards: bool) -> bool:
        """Say whether a place is changed only while a question has an answer, and to end that."""
        if cell.role is not Role.CELL or not isinstance(cell.value, tuple):
            return False
        name, root = str(cell.value[0]), cell.parts[0]
        steps = [] if self._is_changed_unseen(name, root) else self._steps(name, root)
        return bool(steps) and all(
            step.kind == ("up" if upwards else "down")
            and step.certain
            and all((question, holds) in way for way in event.path)
            for event, step in steps
        )

    def _side(self, term: Term, name: int) -> End | None:
        if term.number is None:
            return self.of(term)
        number = term.number if name == ULT else signed(term.number)
        return End(number, number)

    def _of_mask(self, term: Term, number: int) -> tuple[bool, bool] | None:
        """Return whether some bits have a value in the end."""
        mask = term.parts[1].number
        end = self._of_atom(stripped(term.parts[0]), _DEPTH)
        if mask is None or end is None:
            return None
        ones, zeros = end.set & mask, end.cleared & mask
        if number & zeros or ones & ~number:
            return False, end.certain
        return (True, end.certain) if ones | zeros == mask else None

    def _of_atom(self, atom: Term, depth: int) -> End | None:
        if not depth:
            return None
        match atom.role:
            case Role.RESULT if "time" in atom.sources:
                return _UP
            case Role.FIELD if isinstance(atom.value, tuple):
                name = str(atom.value[0])
                return _UP if name in GROWING else STAYS if name in _BIRTHS else None
            case Role.CELL if isinstance(atom.value, tuple):
                return self.of_place(str(atom.value[0]), atom.parts[0])
            case Role.OPERATION if atom.value in ("/", ">>"):
                number = atom.parts[1].number
                inner = self.of(atom.parts[0], depth - 1)
                if not number or inner is None or inner.low < 0:
                    return None
                by = number if atom.value == "/" else 1 << number
                return End(inner.low // by, inner.high // by, inner.certain)
        return None

    def of_place(self, name: str, root: Term) -> End | None:
        """Return what is in a place in the end."""
        if name not in self._known:
            self._known[name] = self._of_place(name, root)
        return self._known[name]

    def _of_place(self, name: str, root: Term) -> End | None:
        events = self.recurring(name, root)
        if self._is_changed_unseen(name, root):
            return None
        if not events:
            set_once = root.role is Role.DATA or self._is_array(root) or self.is_own(root)
            return STAYS if set_once else None
        found = self._steps(name, root)
        return _ended(self._scene, name, found) if found else None

    def _steps(self, name: str, root: Term) -> list[tuple[Event, Step]]:
        """Return what stores do to a place, nothing when one of them may do anything."""
        found = []
        for event in self.recurring(name, root):
            step = step_of_store(self._scene, name, event)
            if step is None:
                return []
            if step.kind != "none":
                found.append((event, step))
        return found

    def recurring(self, name: str, root: Term) -> list[Event]:
        """Return the stores into a place but for those at the beginning and end of its life."""
        once = _LOADS | _LIVES if self.is_own(root) else _LOADS
        events = self._scene.influences.all_writes.get(name, ())
        return [event for event in events if event.operation not in once]

    def is_own(self, root: Term) -> bool:
        """Say whether a place is one of a task, a group or another key's own."""
        if root.role is not Role.ENTRY or not isinstance(root.value, tuple):
            return False
        map_ = self._scene.behaviour.object.maps.get(str(root.value[0]))
        keyed = any(part.number is None for part in root.parts)
        return map_ is not None and (map_.kind in _OWN_MAPS or (map_.kind in _HASHES and keyed))

    def _is_array(self, root: Term) -> bool:
        if root.role is not Role.ENTRY or not isinstance(root.value, tuple):
            return False
        map_ = self._scene.behaviour.object.maps.get(str(root.value[0]))
        known = all(part.number is not None for part in root.parts[:1])
        return map_ is not None and map_.kind in _ARRAYS and known

    def _is_changed_unseen(self, name: str, root: Term) -> bool:
        """Say whether a place is written under another name, or with all around it."""
        if root.role not in (Role.DATA, Role.ENTRY):
            return True
        stem, offset = _parted(name)
        for other, events in self._scene.influences.all_writes.items():
            beside, before = _parted(other)
            if beside != stem or other == name:
                continue
            if "[]" in other or "[]" in name:
                return True
            if 0 < offset - before < max(_size_of(event) for event in events):
                return True
        once = _LOADS | _LIVES if self.is_own(root) else _LOADS
        return root.role is Role.ENTRY and any(
            event.operation not in once and _map_of(event) == stem
            for event in self._scene.behaviour.of(Effect.UPDATE, Effect.DELETE)
        )


def _is_negative(*ends: End) -> bool:
    """Say whether a value without a sign may have gone below zero."""
    return any(end.low < 0 and not end.stays for end in ends)


def _parted(name: str) -> tuple[str, int]:
    """Return the variable or map that a place is in, and how far in."""
    stem, _, offset = name.replace("[]", "").partition("+")
    return stem, int(offset or 0)


def _size_of(store: Event) -> int:
    return store.arguments["size"].number or 0 if "size" in store.arguments else 0


def _map_of(event: Event) -> str:
    return str(event.arguments["map"].value) if "map" in event.arguments else ""


def _ended(scene: Scene, name: str, found: list[tuple[Event, Step]]) -> End | None:
    """Return where steps of one kind lead."""
    kinds = {step.kind for _, step in found}
    happens = any(scene.standing(event.path) > Standing.EXCEPTION for event, _ in found)
    certain = happens and all(step.certain for _, step in found)
    if kinds in ({"set"}, {"clear"}):
        return _of_bits(kinds.pop(), found, certain=certain)
    if any(stops_elsewhere(name, event) for event, _ in found):
        return None
    guards = [guard(name, event) for event, _ in found]
    steps = [step for _, step in found]
    if kinds <= {"up", "double"}:
        return _risen(steps, [high for _, high in guards], certain=certain)
    if kinds <= {"down", "halve"}:
        return _fallen(steps, [low for low, _ in guards], certain=certain)
    return None


def _of_bits(kind: str, found: list[tuple[Event, Step]], *, certain: bool) -> End:
    bits = 0
    for _, step in found:
        bits |= step.by
    if kind == "set":
        return End(bits or 1, MASK, certain, set=bits)
    return End(0, MASK & ~bits, certain, cleared=bits)


def _risen(steps: list[Step], limits: list[int], *, certain: bool) -> End:
    """Return where steps upwards lead, each of which is made up to a limit."""
    highest = max(limits)
    if highest >= MASK >> 1:
        doubled = all(step.kind == "double" for step in steps)
        return End(0, 0, certain) if doubled else End(FOREVER, FOREVER, certain)
    known = all(step.by for step in steps)
    most = max(highest * step.by if step.kind == "double" else highest + step.by for step in steps)
    return End(highest + 1, most if known else MASK, certain)


def _fallen(steps: list[Step], limits: list[int], *, certain: bool) -> End:
    """Return where steps downwards lead, each of which is made down to a limit."""
    lowest, halved = min(limits), all(step.kind == "halve" for step in steps)
    if halved:
        return End(0, max(lowest - 1, 0), certain)
    if lowest <= 0:
        return End(-FOREVER, -FOREVER, certain)
    known = all(step.by for step in steps)
    least = lowest - max(step.by for step in steps) if known else -_UNKNOWN
    return End(least, lowest - 1, certain)
