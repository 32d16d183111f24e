"""Queues by their ids: constants, families with an id for each CPU or group, built-in ones.

Two ids meet when they can be the same queue. Where that depends on the machine, or on something
that is not known, the answer is None.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product

from .arithmetic import MASK, computed, signed
from .effects import CPU_SOURCES, CPUS_MAX
from .influences import Influences
from .terms import Role, Term, linear, stripped

__all__ = ["Queue", "QueueKind", "meet", "possible", "queues_of", "word_of"]

_BUILTIN = 1 << 63
_LOCAL_ON = 3 << 62
_CPU_MASK = (1 << 32) - 1
_FEW = 16
_MANY = 64
_MASK_BITS = 3
_DEPTH = 4
_ORIGINS = ("field:kernfs_node.", "field:cgroup.", "field:task_struct.", "cgroup", "random", "map:")


class QueueKind(StrEnum):
    """How a queue's id is known."""

    NUMBER = "number"
    FAMILY = "family"
    LOCAL = "local"
    LOCAL_ON = "local_on"
    GLOBAL = "global"
    BUILTIN = "built-in"
    MAP = "map"
    """A queue of the object's own, in a map; `name` is the map's."""
    UNKNOWN = "unknown"


_NAMED = {_BUILTIN | 1: QueueKind.GLOBAL, _BUILTIN | 2: QueueKind.LOCAL}


@dataclass(frozen=True)
class Queue:
    """A queue, or a family of queues: `number` plus a multiple of each atom."""

    kind: QueueKind
    number: int = 0
    atoms: tuple[tuple[Term, int], ...] = ()
    one_of: bool = False
    """One of several that the same term can be."""
    name: str = ""
    origins: frozenset[str] = frozenset()
    """What an id that is not one of few comes from: fields, and all that flows into them."""

    @property
    def is_users(self) -> bool:
        """Whether a scheduler has to make it, fill it and empty it."""
        return self.kind in (QueueKind.NUMBER, QueueKind.FAMILY, QueueKind.UNKNOWN)

    @property
    def span(self) -> tuple[int, int]:
        """The least and greatest id of a family."""
        low = high = self.number
        for atom, factor in self.atoms:
            least, most = (factor * bound for bound in atom.bounds)
            low, high = low + min(least, most), high + max(least, most)
        return low, high

    @property
    def is_vague(self) -> bool:
        """Whether only the bounds of some part of the id are known."""
        return any(not atom.named for atom, _ in self.atoms)

    @property
    def is_wide(self) -> bool:
        """Whether the family has more members than a machine has CPUs, so that ids are foreign."""
        low, high = self.span
        return high - low > (CPUS_MAX + 4096) * max((abs(f) for _, f in self.atoms), default=1)

    def __str__(self) -> str:
        match self.kind:
            case QueueKind.NUMBER:
                return f"{self.number:#x}"
            case QueueKind.FAMILY:
                names = " + ".join(
                    f"{'' if factor == 1 else f'{factor} * '}{word_of(atom)}"
                    for atom, factor in self.atoms
                )
                return f"{self.number:#x} + {names}" if self.number else names
            case QueueKind.LOCAL_ON:
                return f"SCX_DSQ_LOCAL_ON | {self.number if not self.atoms else word_of(self.cpu)}"
            case QueueKind.MAP:
                return self.name
            case QueueKind.LOCAL | QueueKind.GLOBAL:
                return f"SCX_DSQ_{self.kind.upper()}"
        return f"a queue that is {self.kind}"

    @property
    def cpu(self) -> Term:
        """The CPU that a local queue is of, where that is a term."""
        return self.atoms[0][0]


def word_of(term: Term) -> str:
    """Return a few words for a term."""
    term = stripped(term)
    value = term.value[0] if isinstance(term.value, tuple) and term.value else term.value
    match term.role:
        case Role.ARGUMENT:
            return str(value).replace("this_cpu", "cpu").replace("_", " ")
        case Role.RESULT:
            return f"{value}()"
        case Role.ELEMENT:
            return "each"
        case Role.FIELD | Role.CELL:
            return str(value)
        case Role.OPERATION if len(term.parts) == 2:
            first, second = (
                hex(p.number) if p.number is not None else word_of(p) for p in term.parts
            )
            return f"({first} {term.value} {second})"
    return "something"


def possible(term: Term, depth: int = _DEPTH) -> frozenset[int] | None:
    """Return the values that a term can have when they are few."""
    number = term.number
    if number is not None:
        return frozenset({number})
    if term.role is Role.CHOICE:
        return _united(term.parts, depth)
    if term.role is Role.OPERATION and len(term.parts) == 2 and depth:
        mask = term.parts[1].number
        if term.value == "&" and mask is not None and mask.bit_count() <= _MASK_BITS:
            return frozenset(_subsets(mask))
        sets = [possible(part, depth - 1) for part in term.parts]
        if all(s is not None for s in sets):
            pairs = list(product(*(s for s in sets if s is not None)))
            if len(pairs) <= _MANY:
                operator = str(term.value)
                return frozenset(computed(operator, x, y) & MASK for x, y in pairs)
    if term.role is Role.OPERATION and len(term.parts) == 1 and depth:
        inner = possible(term.parts[0], depth - 1)
        bits = {"low": 32, "sext32": 32}.get(str(term.value))
        if inner is not None and bits:
            return frozenset(v & _CPU_MASK if term.value == "low" else signed(v, 32) & MASK
                             for v in inner)  # fmt: skip
    low, high = term.bounds
    if high - low < _FEW:
        return frozenset(value & MASK for value in range(low, high + 1))
    return None


def _united(parts: tuple[Term, ...], depth: int) -> frozenset[int] | None:
    found: frozenset[int] = frozenset()
    for part in parts:
        values = possible(part, depth - 1) if depth else None
        if values is None:
            return None
        found |= values
    return found


def _subsets(mask: int) -> Iterator[int]:
    bits = [1 << place for place in range(64) if mask >> place & 1]
    for chosen in product((0, 1), repeat=len(bits)):
        yield sum(bit for bit, taken in zip(bits, chosen, strict=True) if taken)


def queues_of(term: Term, influences: Influences, depth: int = _DEPTH) -> tuple[Queue, ...]:
    """Return every queue that a term can be the id of."""
    if term.role is Role.CHOICE:
        found = [q for part in term.parts for q in queues_of(part, influences, depth)]
        return tuple(dict.fromkeys(replace(q, one_of=True) for q in found))
    if term.role is Role.CELL and depth:
        return _of_cell(term, influences, depth)
    values = possible(term)
    if values is not None and not _is_cpu(term):
        return tuple(_of_number(value, one_of=len(values) > 1) for value in sorted(values))
    atoms, constant = linear(term)
    chosen = _chosen(atoms, influences)
    if chosen is not None:
        return tuple(_of_number((constant + value) & MASK, one_of=True) for value in chosen)
    family = _of_sum(atoms, constant)
    if family.kind is not QueueKind.FAMILY:
        return (family,)
    roots = influences.roots(source for atom in atoms for source in atom.sources)
    origins = frozenset(root for root in roots if root.startswith(_ORIGINS))
    return (replace(family, origins=origins),)


def _chosen(atoms: dict[Term, int], influences: Influences) -> list[int] | None:
    """Return what a sum adds to its constant when that is in a place that programs write."""
    if len(atoms) != 1:
        return None
    ((cell, factor),) = atoms.items()
    if cell.role is not Role.CELL or not isinstance(cell.value, tuple):
        return None
    found = {influences.initial(str(cell.value[0])) or 0}
    for event in influences.all_writes.get(str(cell.value[0]), ()):
        values = possible(event.arguments["value"]) if "value" in event.arguments else None
        if values is None:
            return None
        found |= values
    return sorted(factor * value for value in found) if len(found) <= _FEW else None


def _is_cpu(term: Term) -> bool:
    return bool(term.sources & CPU_SOURCES)


def _of_number(value: int, *, one_of: bool = False) -> Queue:
    if value & _LOCAL_ON == _LOCAL_ON:
        return Queue(QueueKind.LOCAL_ON, value & _CPU_MASK, one_of=one_of)
    if value & _BUILTIN:
        return Queue(_NAMED.get(value, QueueKind.BUILTIN), value, one_of=one_of)
    return Queue(QueueKind.NUMBER, value, one_of=one_of)


def _of_sum(atoms: dict[Term, int], constant: int) -> Queue:
    constant &= MASK
    found = tuple(sorted(atoms.items(), key=lambda item: item[0].serial))
    unchecked = _of_unchecked(found)
    if unchecked is not None:
        return unchecked
    if not atoms or not all(_names_something(atom) for atom in atoms):
        return Queue(QueueKind.UNKNOWN)
    if constant & _LOCAL_ON == _LOCAL_ON and len(found) == 1:
        return Queue(QueueKind.LOCAL_ON, constant & _CPU_MASK, found)
    if constant & _BUILTIN:
        return Queue(QueueKind.UNKNOWN)
    return Queue(QueueKind.FAMILY, constant, found)


def _of_unchecked(atoms: tuple[tuple[Term, int], ...]) -> Queue | None:
    """Return the local queue of a CPU number that may be negative: SCX_DSQ_LOCAL_ON | cpu."""
    if len(atoms) != 1 or atoms[0][1] != 1:
        return None
    atom = atoms[0][0]
    if atom.role is not Role.OPERATION or atom.value != "|":
        return None
    cpu, base = atom.parts
    if base.number is None or base.number & _LOCAL_ON != _LOCAL_ON:
        return None
    return Queue(QueueKind.LOCAL_ON, 0, ((cpu, 1),))


def _names_something(atom: Term) -> bool:
    """Say whether an id that is computed from this is one of a family that can be recognised."""
    if atom.role is Role.OPERATION and atom.value == "|":
        return False
    if atom.named:
        return atom.role is not Role.CELL
    low, high = atom.bounds
    return high - low <= CPUS_MAX


def _of_cell(cell: Term, influences: Influences, depth: int) -> tuple[Queue, ...]:
    """Return the queues that programs wrote into a place, and the one that it began with."""
    name = str(cell.value[0]) if isinstance(cell.value, tuple) else ""
    writes = influences.all_writes.get(name, ())
    if not writes and cell.parts and cell.parts[0].role is not Role.DATA:
        return (Queue(QueueKind.UNKNOWN),)
    found = [
        queue
        for event in writes
        for queue in queues_of(event.arguments.get("value", cell), influences, depth - 1)
    ]
    initial = influences.initial(name)
    if initial is not None:
        found.append(_of_number(initial))
    return tuple(dict.fromkeys(replace(q, one_of=True) for q in found))


def meet(first: Queue, second: Queue) -> bool | None:
    """Say whether two ids can be the same queue: yes, no, or it cannot be told."""
    if QueueKind.UNKNOWN in (first.kind, second.kind):
        return None
    if first.kind is not second.kind:
        return _meet_mixed(first, second)
    if first.kind is QueueKind.NUMBER:
        return first.number == second.number
    if first.kind is QueueKind.FAMILY:
        return _meet_families(first, second)
    return first.name == second.name


def _meet_mixed(first: Queue, second: Queue) -> bool | None:
    if {first.kind, second.kind} != {QueueKind.NUMBER, QueueKind.FAMILY}:
        return False
    family, number = (first, second) if first.kind is QueueKind.FAMILY else (second, first)
    if family.is_wide:
        return None
    low, high = family.span
    return None if low <= number.number <= high else False


def _meet_families(first: Queue, second: Queue) -> bool | None:
    if first.is_wide or second.is_wide:
        same = first.origins & second.origins and first.number == second.number
        return True if same else None
    (low, high), (least, most) = first.span, second.span
    if high < least or most < low:
        return False
    # A number that a loop left behind is one of those that the loop went through.
    if first.is_vague or second.is_vague:
        # A loop's first number is not counted among those that follow.
        inside = least - 1 <= low and high <= most + 1
        around = low - 1 <= least and most <= high + 1
        return True if inside or around else None
    factors = [sorted(factor for _, factor in queue.atoms) for queue in (first, second)]
    return True if first.number == second.number and factors[0] == factors[1] else None
