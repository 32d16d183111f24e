"""The judge: block figures in, an outcome out. Pure, exact, and never a pass without data.

The unit is a pair of neighbouring blocks, one ON and one OFF in random order. Under the null
hypothesis the scheduler changes nothing, so swapping a pair's arms changes nothing either: every
sign pattern of the pairs' log ratios is equally likely. The one-sided p value is the share of sign
patterns whose sum is at least the observed one; nothing about distributions is assumed.

Inverting the test needs no search. Flipping the signs of a set A of pairs keeps the sum as large
exactly when the mean over A is at most the hypothesised shift, so p(shift) counts the subset means
up to it, and the interval's ends are order statistics of the subset means.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schedcp_api.base import percent_text, percent_value
from schedcp_api.nodestates import Arm
from schedcp_api.policies import BuiltinMetric, Direction, Guardrail, MetricSource
from schedcp_api.policies import SchedulerPolicySpec as Spec
from schedcp_api.runs import BlockFigure, Outcome, OutcomeKind, RailFinding

from .pairing import ALPHA, Pair, chance_of_worse, pairs_of, silent_pairs, without_outages

MINIMUM_PAIRS = 5
"""Fewer pairs cannot reach ALPHA: the smallest p value is 2 ** -pairs."""
LARGEST_LOST_SHARE = 0.25
"""A canary that lost more of its pairs than this is not judged."""
_MOST_UNITS = 14
"""With more pairs, neighbouring ones are flipped together: a subgroup, hence still exact."""

_SEVERITY = (
    OutcomeKind.IMPROVED,
    OutcomeKind.NO_EFFECT,
    OutcomeKind.INCONCLUSIVE,
    OutcomeKind.WORSE,
)
"""Of objective and guard rails the worst wins, the objective among equals."""

_FLOORS = {
    BuiltinMetric.CPU_PRESSURE: 0.01,
    BuiltinMetric.NEIGHBOUR_CPU_PRESSURE: 0.01,
}
"""Added to both arms where a figure may well be 0: ratios of next to nothing mean nothing."""


@dataclass(frozen=True)
class Estimate:
    """What the pairs say, as log ratios; positive is an improvement."""

    effect: float
    low: float
    high: float
    p_better: float
    p_worse: float
    detectable: float
    """The smallest effect that this noise would have let through as significant."""
    pairs: int


def estimate(gains: Iterable[float]) -> Estimate:
    """Return effect, interval (one-sided ALPHA at each end) and p values of `gains`.

    `gains` are the pairs' log ratios in the order of their blocks, positive for better.
    """
    values = np.asarray(list(gains), dtype=np.float64)
    if values.size == 0:
        raise ValueError("there must be at least one pair")
    means = _subset_means(values)
    patterns = means.size + 1
    effect = float(values.mean())
    low, high = _limits(means, patterns)
    return Estimate(
        effect=effect,
        low=low,
        high=high,
        p_better=(1 + _count(means, 0.0)) / patterns,
        p_worse=(1 + _count(-means, 0.0)) / patterns,
        detectable=effect - low,
        pairs=int(values.size),
    )


def _subset_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over every non-empty subset of the flip units."""
    units = np.array_split(values, min(_MOST_UNITS, values.size))
    sums = np.zeros(1)
    sizes = np.zeros(1)
    for unit in units:
        sums = np.concatenate([sums, sums + unit.sum()])
        sizes = np.concatenate([sizes, sizes + unit.size])
    return np.asarray(sums[1:] / sizes[1:])


def _count(means: NDArray[np.float64], shift: float) -> int:
    """Count the subset means up to `shift`, ties (within rounding) counted against the finding."""
    return int(np.count_nonzero(means <= shift + 1e-12))


def _limits(means: NDArray[np.float64], patterns: int) -> tuple[float, float]:
    """Return the shifts at which the test stops rejecting, from below and from above."""
    rejecting = math.floor(ALPHA * patterns) - 1
    if rejecting < 0:
        return -math.inf, math.inf
    ordered = np.sort(means)
    return float(ordered[rejecting]), float(ordered[-1 - rejecting])


def gains_of(
    pairs: Iterable[Pair], direction: Direction, *, metric: MetricSource
) -> list[float] | None:
    """Return the pairs' log ratios, positive for better; None when a figure is not positive."""
    floor = _FLOORS.get(metric.builtin, 0.0) if metric.builtin else 0.0
    gains: list[float] = []
    for pair in pairs:
        on, off = pair.on + floor, pair.off + floor
        if on <= 0 or off <= 0:
            return None
        gains.append(_gain(on, off, direction))
    return gains


def _gain(on: float, off: float, direction: Direction) -> float:
    ratio = math.log(on / off)
    return -ratio if direction is Direction.MINIMIZE else ratio


def percent_change(gain: float, direction: Direction) -> float:
    """Return a log-ratio gain as the percentage by which the figure got better.

    Halving a latency is 50 %, doubling a throughput 100 %.
    """
    if math.isinf(gain):
        return math.copysign(9999.0, gain)
    if direction is Direction.MINIMIZE:
        return 100 * -math.expm1(-gain)
    return 100 * math.expm1(gain)


def judge(blocks: tuple[BlockFigure, ...], spec: Spec, *, scheduled_pairs: int) -> Outcome:
    """Return the outcome of a canary that was scheduled with so many pairs on all its nodes."""
    objective = spec.objective
    blocks = without_outages(blocks)
    measured = _measured(
        blocks, scheduled_pairs, direction=objective.direction, metric=objective.metric
    )
    found = measured if isinstance(measured, Estimate) else None
    outcomes = [_verdict(measured, spec) if isinstance(measured, Estimate) else measured]
    findings: list[RailFinding] = []
    for rail in spec.guardrails:
        outcome, finding = _railed(rail, blocks, scheduled_pairs)
        outcomes += [outcome] if outcome is not None else []
        findings += [finding] if finding is not None else []
    worst = max(outcomes, key=lambda outcome: _SEVERITY.index(outcome.kind))
    if found is not None:
        worst = _described(worst, found, spec)
    return worst.replace(metric=objective.metric.name, guardrails=tuple(findings))


def _measured(
    blocks: tuple[BlockFigure, ...],
    scheduled: int,
    *,
    direction: Direction,
    metric: MetricSource,
    rail: str = "",
) -> Estimate | Outcome:
    """Return what the blocks say of the objective or of a rail, or why they say nothing."""
    pairs, _ = pairs_of(blocks, guardrail=rail)
    lost = _silenced(blocks, pairs, direction, name=rail)
    lost = lost or _too_little(blocks, len(pairs), scheduled, name=rail)
    if lost is not None:
        return lost
    gains = gains_of(pairs, direction, metric=metric)
    if gains is not None:
        return estimate(gains)
    what = f"guard rail {rail}" if rail else metric.name
    message = f"{what} has values that are not positive, so ratios mean nothing"
    return _inconclusive("NotPositive", message, pairs=len(pairs))


def _silenced(
    blocks: tuple[BlockFigure, ...], complete: list[Pair], direction: Direction, *, name: str
) -> Outcome | None:
    """Return what ON blocks without a figure mean, None when there are none.

    No figure counts as the worst there is (a worst-rank score), in either arm. With a silent ON
    block nothing is ever better, and it is worse if that many pairs are by a sign test.
    """
    silent = silent_pairs(blocks, name, Arm.ON)
    if not silent:
        return None
    gains = [_gain(pair.on, pair.off, direction) for pair in complete if min(pair.on, pair.off) > 0]
    worse = len(silent) + sum(gain < 0 for gain in gains)
    better = len(silent_pairs(blocks, name, Arm.OFF)) + sum(gain > 0 for gain in gains)
    chance = chance_of_worse(worse, better)
    whose = f" of guard rail {name}" if name else ""
    message = (
        f"{len(silent)} ON blocks{whose} have no figure although their partners have one"
        f" ({', '.join(silent[:4])}): what keeps a workload, the agent that measures it, or"
        f" Prometheus from running leaves no figure; as the worst there is, {worse} pairs are worse"
        f" and {better} better (p = {chance:.4f})"
    )
    if chance <= ALPHA:
        return Outcome(kind=OutcomeKind.WORSE, reason="Silenced", message=message)
    return _inconclusive("SilentBlocks", message, pairs=len(complete))


def _too_little(
    blocks: tuple[BlockFigure, ...], complete: int, scheduled: int, *, name: str
) -> Outcome | None:
    whose = f" of guard rail {name}" if name else ""
    needed = max(MINIMUM_PAIRS, math.ceil(scheduled * (1 - LARGEST_LOST_SHARE)))
    if complete >= needed:
        return None
    invalid = sorted({block.invalid_reason for block in blocks if not block.valid})
    message = f"{complete} of {scheduled} pairs{whose} are complete; {needed} are needed"
    if invalid:
        message += f"; blocks did not count because: {', '.join(invalid)}"[:1024]
        return _inconclusive("InvalidBlocks", message, pairs=complete)
    return _inconclusive("NoData", message, pairs=complete)


def _railed(
    rail: Guardrail, blocks: tuple[BlockFigure, ...], scheduled: int
) -> tuple[Outcome | None, RailFinding | None]:
    """Return the outcome that a guard rail forces, None when it is shown to hold, and its figures.

    It holds when the interval of the harm ends within the margin. Harm beyond the margin is Worse
    when it is significant; what may or may not be beyond it is Inconclusive.
    """
    found = _measured(
        blocks, scheduled, direction=rail.direction, metric=rail.metric, rail=rail.name
    )
    if isinstance(found, Outcome):
        return found, None
    margin = percent_value(rail.margin)
    harm, most = (-percent_change(gain, rail.direction) for gain in (found.effect, found.low))
    finding = RailFinding(
        name=rail.name,
        harm=percent_text(harm),
        harm_at_most=percent_text(most),
        margin=rail.margin,
    )
    said = f"guard rail {rail.name} got {harm:.1f} % worse; the margin is {rail.margin}"
    if most <= margin:
        return None, finding
    if harm > margin and found.p_worse <= ALPHA:
        return Outcome(kind=OutcomeKind.WORSE, reason="GuardrailViolated", message=said), finding
    unclear = f"{said}, and by its noise it may be {most:.1f} %"
    return _inconclusive("GuardrailUnclear", unclear), finding


def _verdict(found: Estimate, spec: Spec) -> Outcome:
    objective = spec.objective
    smallest = percent_value(objective.minimum_effect)
    effect = percent_change(found.effect, objective.direction)
    name = objective.metric.name
    if found.p_better <= ALPHA and effect >= smallest:
        message = f"{name} got {effect:.1f} % better (p = {found.p_better:.4f})"
        return Outcome(kind=OutcomeKind.IMPROVED, reason="Improved", message=message)
    if found.p_worse <= ALPHA:
        message = f"{name} got {-effect:.1f} % worse (p = {found.p_worse:.4f})"
        return Outcome(kind=OutcomeKind.WORSE, reason="Worse", message=message)
    detectable = percent_change(found.detectable, objective.direction)
    most = percent_change(found.high, objective.direction)
    small = most < max(smallest, 0.01)
    if small and found.p_better <= ALPHA:
        message = f"{name} got {effect:.1f} % better, less than the {smallest:g} % asked for"
        return Outcome(kind=OutcomeKind.NO_EFFECT, reason="BelowMinimumEffect", message=message)
    if small:
        message = f"{name} got at most {most:.1f} % better; {smallest:g} % were asked for"
        return Outcome(kind=OutcomeKind.NO_EFFECT, reason="NoEffect", message=message)
    message = (
        f"{found.pairs} pairs with this much noise show effects from {detectable:.1f} %;"
        f" {smallest:g} % were asked for: take more pairs or longer blocks"
    )
    return _inconclusive("NotEnoughPower", message)


def _described(outcome: Outcome, found: Estimate, spec: Spec) -> Outcome:
    direction = spec.objective.direction
    return outcome.replace(
        metric=spec.objective.metric.name,
        effect=percent_text(percent_change(found.effect, direction)),
        interval_low=percent_text(percent_change(found.low, direction)),
        interval_high=percent_text(percent_change(found.high, direction)),
        p_value=f"{found.p_better:.6f}",
        smallest_detectable=percent_text(percent_change(found.detectable, direction)),
        pairs=found.pairs,
    )


def _inconclusive(reason: str, message: str, *, pairs: int = 0) -> Outcome:
    return Outcome(kind=OutcomeKind.INCONCLUSIVE, reason=reason, message=message, pairs=pairs)


def harm_percent(before: float, after: float, direction: Direction, metric: MetricSource) -> float:
    """Return by how many percent a figure got worse from `before` to `after`; negative is better.

    Doubling what should be small and halving what should be large are both 100 %. Both figures
    must be finite. A figure that came from nothing is infinitely worse or better.
    """
    floor = _FLOORS.get(metric.builtin, 0.0) if metric.builtin else 0.0
    first, second = max(before, 0.0) + floor, max(after, 0.0) + floor
    if first == second:
        return 0.0
    if first == 0 or second == 0:
        grew = second > first
        return math.inf if grew == (direction is Direction.MINIMIZE) else -math.inf
    return 100 * math.expm1(-_gain(second, first, direction))
