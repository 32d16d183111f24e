"""The blocks of a canary in pairs, and what those without a figure may mean. Pure."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import binomtest

from schedcp_api.nodestates import Arm
from schedcp_api.runs import BlockFigure

__all__ = ["ALPHA", "Pair", "chance_of_worse", "pairs_of", "silent_pairs", "without_outages"]

ALPHA = 0.05
UNSCRAPED = "PrometheusScrapedNothing"
"""Why a block does not count during which Prometheus was away."""
_FEW_SCRAPES = 2
"""Fewer of each target in a block give no figure."""
_STEADY_SCRAPES = 4
"""With so many in one block, a block of that length in which there are few was an outage."""


@dataclass(frozen=True)
class Pair:
    """An ON and an OFF block that stand side by side, as figures of one metric."""

    on: float
    off: float


def pairs_of(blocks: Iterable[BlockFigure], *, guardrail: str = "") -> tuple[list[Pair], int]:
    """Return the complete pairs of one figure, in order, and how many pairs were scheduled.

    A pair counts only if both of its blocks are valid and have a figure.
    """
    slots = _slots(blocks)
    complete: list[Pair] = []
    for slot in slots.values():
        figures = {arm: _figure(block, guardrail) for arm, block in slot.items()}
        on, off = figures.get(Arm.ON), figures.get(Arm.OFF)
        if on is not None and off is not None:
            complete.append(Pair(on=on, off=off))
    return complete, len(slots)


def _slots(blocks: Iterable[BlockFigure]) -> dict[tuple[str, int], dict[Arm, BlockFigure]]:
    """Return the blocks by node and number of their pair, in order."""
    slots: dict[tuple[str, int], dict[Arm, BlockFigure]] = defaultdict(dict)
    for block in sorted(blocks, key=lambda item: (item.node, item.index)):
        slots[block.node, block.index // 2][block.arm] = block
    return slots


def without_outages(blocks: tuple[BlockFigure, ...]) -> tuple[BlockFigure, ...]:
    """Return the blocks, those no longer valid that have no figure because Prometheus was away.

    Prometheus counts its scrapes whether or not anybody answers: a node that says nothing looks
    different. Where scrapes were not counted, or never steady, nothing is known of outages. Those
    that befall the ON blocks, beyond chance, may be the candidate's doing and are no excuse.
    """
    if max((block.scrapes or 0 for block in blocks), default=0) < _STEADY_SCRAPES:
        return blocks
    lost = {(block.node, block.index // 2, block.arm) for block in blocks if _unscraped(block)}
    on = sum((node, pair, Arm.OFF) not in lost for node, pair, arm in lost if arm is Arm.ON)
    off = sum((node, pair, Arm.ON) not in lost for node, pair, arm in lost if arm is Arm.OFF)
    if on and chance_of_worse(on, off) <= ALPHA:
        return blocks
    return tuple(
        block.replace(valid=False, invalid_reason=UNSCRAPED) if _unscraped(block) else block
        for block in blocks
    )


def _unscraped(block: BlockFigure) -> bool:
    """Whether nothing is known of a block, and Prometheus scraped nothing often enough."""
    silent = not block.value and not any(block.guardrails.values())
    few = block.scrapes is not None and block.scrapes < _FEW_SCRAPES
    return block.valid and silent and few


def chance_of_worse(worse: int, better: int) -> float:
    """Return how likely it is that so many pairs are worse by chance (sign test)."""
    return float(binomtest(worse, worse + better, 0.5, alternative="greater").pvalue)


def silent_pairs(blocks: Iterable[BlockFigure], guardrail: str, arm: Arm) -> list[str]:
    """Name the pairs whose block of `arm` ran as it should and has no figure, while the other has.

    To leave them out would be to leave out the harm.
    """
    other = Arm.OFF if arm is Arm.ON else Arm.ON
    return [
        f"{node} pair {number}"
        for (node, number), slot in _slots(blocks).items()
        if len(slot) == len(Arm)
        and slot[arm].valid
        and _figure(slot[arm], guardrail) is None
        and _figure(slot[other], guardrail) is not None
    ]


def _figure(block: BlockFigure, guardrail: str) -> float | None:
    text = block.guardrails.get(guardrail, "") if guardrail else block.value
    if not block.valid or not text:
        return None
    value = float(text)
    return value if math.isfinite(value) else None
