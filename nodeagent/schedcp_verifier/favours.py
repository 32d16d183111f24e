"""Who is favoured where the others get only as many turns as keep the watchdog quiet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .conditions import EQ, Fact, Question
from .findings import Finding, Placed, Scene, possibly, surely
from .influences import is_shared
from .standings import Standing
from .terms import Role, Term
from .turns import rarity

__all__ = ["Favour"]

_WEIGHTS = ("weight", "prio", "rt_priority", "policy")
"""Ends of the names of what users ask for by nice and cpu.weight."""
_IDENTITIES = frozenset({"field:task_struct.tgid", "field:task_struct.pid", "field:kernfs_node.id"})


@dataclass(frozen=True)
class Favour:
    """One queue before another one, with what puts tasks into each."""

    scene: Scene
    first: list[Placed]
    behind: list[Placed]

    def findings(
        self, turn: str, standing: Standing, *, why: str, lines: list[str]
    ) -> Iterator[Finding]:
        """Q10, Q17: return what is wrong when the queue behind has a rare `turn` only."""
        if all(rarity(self.scene, way) for item in self.behind for way in item.event.path):
            yield surely(
                f"{turn}, and who has to wait there is a matter of chance or of turns: the mean is "
                "good and the tail is not; let whoever has waited longest go first",
                "Q17",
                lines=lines,
            )
        elif standing > Standing.KERNEL:
            named = self._is_by_name()
            # Linux itself gives a task of nice 19 less than that beside one of nice 0.
            certain = (named or standing is Standing.LASTING) and not self._is_by_weight()
            reason = "who goes there is of a process or group that is picked" if named else why
            yield (surely if certain else possibly)(
                f"{turn}, and {reason}: all others have next to nothing of a busy machine; give "
                "them more of the turns, or shares by weight",
                "Q10",
                lines=lines,
            )

    @cached_property
    def _deciding(self) -> frozenset[Fact]:
        """The facts that hold of all who are favoured, and not of some who are not."""
        answers: dict[Question, set[bool]] = {}
        for item in self.first:
            for way in item.event.path:
                for question, holds in way:
                    answers.setdefault(question, set()).add(holds)
        others = {fact for item in self.behind for way in item.event.path for fact in way}
        return frozenset(
            (question, holds)
            for question, found in answers.items()
            for holds in found
            if len(found) == 1 and (question, not holds) in others
        )

    def _is_by_weight(self) -> bool:
        facts = {s for (_, a, b), _ in self._deciding for s in a.sources | b.sources}
        queues = {s for item in self.first for s in item.event.arguments["queue"].sources}
        roots = self.scene.influences.roots(facts | queues)
        return any(source.endswith(_WEIGHTS) for source in roots)

    def _is_by_name(self) -> bool:
        """Say whether the favoured are those of a process or group that a program has picked."""
        return any(
            name == EQ
            and holds
            and ((self._is_name(a) and is_shared(b)) or (self._is_name(b) and is_shared(a)))
            for (name, a, b), holds in self._deciding
        )

    def _is_name(self, term: Term) -> bool:
        """Say whether a term tells which process or group a task is of, by itself or kept."""
        if term.role is Role.FIELD:
            return bool(term.sources & _IDENTITIES)
        kept = term.role is Role.CELL and not is_shared(term)
        return kept and bool(self.scene.influences.roots(term.sources) & _IDENTITIES)
