"""The state of a program at one place on some path: registers, stack, what was stored, the path.

A state is changed while one block is executed and copied where ways part; between blocks it is
compared by its `key`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from .annotations import Place
from .conditions import ANY_WAY, ONCE, Fact, Path, joined
from .graphs import Live
from .programs import Function
from .terms import Role, Term, Terms

__all__ = ["Frame", "State", "Status", "tag_of"]

Status = tuple[Hashable, ...]
"""What became of the operation's task so far; see `calling`."""

_REGISTERS = 11
_SAVED = range(6, 10)
_TRIES = frozenset(
    {
        "scx_bpf_dsq_move_to_local",
        "scx_bpf_dsq_move_to_local___v2",
        "scx_bpf_consume",
        "bpf_map_pop_elem",
    }
)
"""Calls whose failure leads on to the next try."""
_CELL_BYTES = 8
_FRAME_BYTES = 512


def tag_of(place: Place, chain: tuple[Place, ...] = ()) -> str:
    """Return the name, among a term's sources, of the place that the term comes from."""
    return "@" + ">".join(f"{section}+{slot}" for section, slot in (*chain, place))


@dataclass(frozen=True)
class Frame:
    """A caller that waits: where it goes on, and its registers from r6 to r9."""

    site: Place
    function: Function
    following: int
    saved: tuple[Term, ...]
    again: tuple[Term, ...] = ()
    """Arguments of a callback that is to be called once more."""
    least: int = 0
    """How often the callback is called yet, at least, unless it says that it has had enough."""


class State:
    """See the module."""

    __slots__ = (
        "frames",
        "held",
        "path",
        "registers",
        "stack",
        "status",
        "terms",
        "touched",
        "versions",
    )

    def __init__(self, terms: Terms, status: Status) -> None:
        self.terms = terms
        dead = terms.unknown(frozenset())
        self.registers = [dead] * _REGISTERS
        self.registers[10] = terms.make(Role.STACK, (0, 0))
        self.stack: dict[tuple[int, int], tuple[int, Term]] = {}
        self.versions: dict[str, str] = {}
        """Where each place in memory was last written, if it was."""
        self.held: dict[tuple[str, Term], tuple[int, Term]] = {}
        """What was stored there, by place and owner: its size and value."""
        self.touched: frozenset[str] = frozenset()
        """The places in memory that were written before the task was handled."""
        self.path: Path = ANY_WAY
        self.status = status
        self.frames: tuple[Frame, ...] = ()

    def copy(self) -> State:
        """Return a state that can be changed without changing this one."""
        other = State.__new__(State)
        other.terms = self.terms
        other.registers = list(self.registers)
        other.stack = dict(self.stack)
        other.versions = dict(self.versions)
        other.path, other.status, other.frames = self.path, self.status, self.frames
        other.touched = self.touched
        other.held = dict(self.held)
        return other

    @property
    def dead(self) -> Term:
        """What a register holds that nobody reads."""
        return self.terms.unknown(frozenset())

    # The stack

    def put(self, frame: int, offset: int, size: int, value: Term) -> None:
        """Store a value on the stack."""
        for (other, at), (length, _) in list(self.stack.items()):
            if other == frame and at < offset + size and offset < at + length:
                del self.stack[other, at]
        if -_FRAME_BYTES <= offset < 0:
            self.stack[frame, offset] = (size, self.terms.masked(value, size))

    def get(self, frame: int, offset: int, size: int) -> Term:
        """Load from the stack; what was not stored as a whole is not known."""
        found = self.stack.get((frame, offset))
        if found is not None and found[0] >= size:
            return self.terms.masked(found[1], size)
        sources = frozenset().union(*(term.sources for _, term in self.within(frame, offset, size)))
        bounds = (0, (1 << 8 * size) - 1)
        return self.terms.unknown(sources | {"stack"}, bounds)

    def within(self, frame: int, offset: int, size: int) -> Iterator[tuple[int, Term]]:
        """Yield what is stored in a part of the stack, and how far from its beginning."""
        for (other, at), (length, term) in self.stack.items():
            if other == frame and at < offset + size and offset < at + length:
                yield at - offset, term

    def scramble(self, frame: int, offset: int, size: int, sources: frozenset[str]) -> None:
        """Forget a part of the stack that somebody else writes."""
        unknown = self.terms.unknown(sources)
        for at in range(max(offset, -_FRAME_BYTES), min(offset + size, 0), _CELL_BYTES):
            self.put(frame, at, min(_CELL_BYTES, offset + size - at), unknown)

    def enter(self, frame: Frame) -> None:
        """Begin a function; the arguments stay where they are."""
        self.frames = (*self.frames, frame)
        self.registers[0] = self.dead
        self.registers[6:10] = [self.dead] * 4
        self.registers[10] = self.terms.make(Role.STACK, (len(self.frames), 0))

    def leave(self) -> Frame:
        """Drop the current frame and return its caller."""
        depth = len(self.frames)
        self.stack = {key: value for key, value in self.stack.items() if key[0] < depth}
        frame = self.frames[-1]
        self.frames = self.frames[:-1]
        self.registers[1:6] = [self.dead] * 5
        self.registers[6:10] = frame.saved
        self.registers[10] = self.terms.make(Role.STACK, (depth - 1, 0))
        return frame

    def remember(self, name: str, root: Term, size: int, value: Term, version: str) -> None:
        """Note what was stored outside of the stack; of another owner's place nothing is known."""
        self.held = {key: kept for key, kept in self.held.items() if key[0] != name}
        self.held[name, root] = (size, value)
        self.versions[name] = version

    # What is known

    def forget(self, tag: str) -> None:
        """A place is executed once more: what it gave before is not what it gives now."""
        self.registers = [self._older(term, tag) for term in self.registers]
        self.stack = {
            key: (size, self._older(term, tag)) for key, (size, term) in self.stack.items()
        }
        self.held = {key: (size, self._older(term, tag)) for key, (size, term) in self.held.items()}
        self.path = frozenset(
            frozenset(fact for item in way if (fact := self._older_fact(item, tag)) is not None)
            for way in self.path
        )

    def _older(self, term: Term, tag: str) -> Term:
        if tag not in term.sources or term.role in (Role.STACK, Role.ITERATOR):
            return term
        return self.terms.unknown(term.sources - {tag}, term.bounds)

    def _older_fact(self, fact: Fact, tag: str) -> Fact | None:
        (name, a, b), holds = fact
        if tag not in a.sources and tag not in b.sources:
            return fact
        if a.role is not Role.RESULT or b.number is None or name == ONCE:
            return None
        if not isinstance(a.value, tuple) or a.value[0] not in _TRIES:
            return None
        # "The call before this one failed" says in which order a loop tries.
        before = self.terms.make(
            Role.RESULT,
            ("before", a.value[0]),
            a.parts,
            sources=(a.sources - {tag}) | {"before"},
            bounds=a.bounds,
        )
        return (name, before, b), holds

    # Comparing

    def prune(self, live: Live) -> None:
        """Forget what the code can read no more."""
        dead = self.dead
        depth = len(self.frames)
        for register in range(10):
            if register not in live.registers:
                self.registers[register] = dead
        lowest = self._lowest_reachable()
        kept = {}
        for key, value in self.stack.items():
            frame, offset = key
            cell = offset // _CELL_BYTES
            reachable = offset + value[0] > lowest.get(frame, 1)
            if reachable or (frame == depth and cell in live.cells) or frame < depth:
                kept[key] = value
        self.stack = kept

    def _lowest_reachable(self) -> dict[int, int]:
        """Return, for each frame, the lowest address that some register or place holds."""
        found: dict[int, int] = {}
        held = [*self.registers[:10], *(term for _, term in self.stack.values())]
        held += [term for frame in self.frames for term in (*frame.saved, *frame.again)]
        for term in held:
            if term.role is Role.STACK and isinstance(term.value, tuple):
                frame, offset = term.value
                found[frame] = min(found.get(frame, 0), offset)
        return found

    def key(self) -> Hashable:
        """Return what two states must have in common to be one."""
        stack = frozenset(self.stack.items())
        return tuple(self.registers), stack, self.status, self.frames

    def shape(self) -> Hashable:
        """Return the key without numbers: what the turns of a loop that counts have in common."""
        registers = tuple(_shape(term) for term in self.registers)
        stack = frozenset((key, size, _shape(term)) for key, (size, term) in self.stack.items())
        return registers, stack, self.status, self.frames

    def meet(self, other: State, where: str) -> bool:
        """Take in a state with the same key; say whether this one became another thereby."""
        before = (self.path, self.touched, dict(self.versions), self.held)
        self.held = {key: kept for key, kept in self.held.items() if other.held.get(key) == kept}
        self.path = joined(self.path, other.path)
        self.touched |= other.touched
        for name, version in other.versions.items():
            if self.versions.get(name) != version:
                self.versions[name] = where
        for name in self.versions.keys() - other.versions.keys():
            self.versions[name] = where
        return (self.path, self.touched, self.versions, self.held) != before

    def widen(self, other: State, where: str, limits: tuple[int, ...] | None) -> bool:
        """Take in a state with another key; say whether this one became another thereby.

        With limits a loop begins here: what grows is taken to grow on, up to one of them.
        """

        def widened(a: Term, b: Term) -> Term:
            return self.terms.widened(a, b, limits)

        registers = [widened(a, b) for a, b in zip(self.registers, other.registers, strict=True)]
        stack = {
            key: (value[0], widened(value[1], other.stack[key][1]))
            for key, value in self.stack.items()
            if key in other.stack and other.stack[key][0] == value[0]
        }
        changed = (registers, stack) != (self.registers, self.stack)
        self.registers, self.stack = registers, stack
        return self.meet(other, where) or changed


def _shape(term: Term) -> Hashable:
    if term.role in (Role.NUMBER, Role.RANGE):
        return None
    if term.role is Role.ITERATOR and isinstance(term.value, tuple):
        return term.value[:2]
    return term
