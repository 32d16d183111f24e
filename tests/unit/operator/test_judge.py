import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcp_api.nodestates import Arm
from schedcp_api.policies import (
    BuiltinMetric,
    Direction,
    Guardrail,
    MetricSource,
    Objective,
    SchedulerPolicySpec,
)
from schedcp_api.runs import BlockFigure, OutcomeKind, RailFinding
from schedcp_operator.assignments import switchback
from schedcp_operator.judge import (
    estimate,
    gains_of,
    harm_percent,
    judge,
    percent_change,
)
from schedcp_operator.pairing import ALPHA, pairs_of
from schedcp_operator.views import Run
from support.operator_nouns import figures, policy_spec, run

LATENCY = MetricSource(builtin=BuiltinMetric.WAKEUP_LATENCY_P99)
PRESSURE = MetricSource(builtin=BuiltinMetric.NEIGHBOUR_CPU_PRESSURE)
RAIL = Guardrail(name="neighbours", metric=PRESSURE)


def brute_p(gains: list[float]) -> float:
    """The definition, enumerated."""
    seen = sum(gains)
    patterns = list(itertools.product((1, -1), repeat=len(gains)))
    as_large = sum(
        sum(sign * gain for sign, gain in zip(signs, gains, strict=True)) >= seen - 1e-9
        for signs in patterns
    )
    return as_large / len(patterns)


gain_lists = st.lists(
    st.integers(-1000, 1000).map(lambda value: value / 500), min_size=1, max_size=8
)


@given(gain_lists)
def test_p_value_is_the_share_of_sign_patterns(gains: list[float]) -> None:
    assert estimate(gains).p_better == pytest.approx(brute_p(gains))
    assert estimate(gains).p_worse == pytest.approx(brute_p([-gain for gain in gains]))


@given(st.lists(st.integers(-1000, 1000).map(lambda v: v / 500), min_size=5, max_size=8))
def test_interval_is_the_test_inverted(gains: list[float]) -> None:
    found = estimate(gains)
    below = [gain - (found.low - 1e-6) for gain in gains]
    above = [gain - (found.low + 1e-6) for gain in gains]
    assert brute_p(below) <= ALPHA < brute_p(above)
    assert found.low <= found.effect + 1e-9
    assert found.effect <= found.high + 1e-9


def test_four_pairs_can_prove_nothing() -> None:
    found = estimate([1.0, 1.0, 1.0, 1.0])
    assert found.p_better == 1 / 16
    assert (found.low, found.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("pairs", [5, 8, 12, 20, 40])
def test_false_alarms_stay_within_alpha_on_null_data(pairs: int) -> None:
    draw = np.random.default_rng(pairs)
    rounds = 2000 if pairs <= 12 else 400
    alarms = sum(
        estimate(draw.standard_t(3, size=pairs) * 0.3).p_better <= ALPHA for _ in range(rounds)
    )
    slack = 3 * math.sqrt(ALPHA * (1 - ALPHA) / rounds)
    assert alarms / rounds <= ALPHA + slack


@pytest.mark.parametrize(("pairs", "effect", "power"), [(5, 0.7, 0.95), (8, 0.2, 0.9)])
def test_effects_are_found(pairs: int, effect: float, power: float) -> None:
    draw = np.random.default_rng(1)
    rounds = 300
    hits = sum(
        estimate(effect + draw.normal(size=pairs) * 0.1).p_better <= ALPHA for _ in range(rounds)
    )
    assert hits / rounds >= power


def test_detectable_effect_is_the_smallest_that_would_have_been_significant() -> None:
    gains = [0.02, -0.05, 0.04, 0.01, -0.03, 0.02]
    found = estimate(gains)
    centred = [gain - found.effect for gain in gains]
    assert estimate([g + found.detectable + 1e-6 for g in centred]).p_better <= ALPHA
    assert estimate([g + found.detectable - 1e-6 for g in centred]).p_better > ALPHA


@given(st.integers(15, 64), st.floats(0.3, 0.6))
@settings(max_examples=20)
def test_many_pairs_are_flipped_in_groups_and_still_decide(pairs: int, effect: float) -> None:
    gains = [effect + 0.05 * math.sin(index) for index in range(pairs)]
    found = estimate(gains)
    assert found.p_better == 2**-14
    assert found.effect == pytest.approx(sum(gains) / pairs)
    assert 0 < found.low <= found.effect <= found.high


GOOD = [(0.5, 1.0), (0.52, 1.0), (0.5, 1.01), (0.49, 1.0), (0.51, 0.98)]
BAD = [(off, on) for on, off in GOOD]
FLAT = [(1.0, 1.001), (1.001, 1.0), (1.0, 1.0005), (1.0005, 1.0), (1.0, 1.0)]
NOISY = [(1.0, 2.0), (2.0, 1.0), (1.5, 1.0), (1.0, 1.6), (1.0, 1.0)]
SMALL = [(0.96, 1.0), (0.99, 1.0), (0.93, 1.0), (0.98, 1.0), (0.95, 1.0)]
TINY = [(0.98, 1.0), (0.981, 1.0), (0.979, 1.0), (0.98, 1.0), (0.98, 1.0)]


@pytest.mark.parametrize(
    ("pairs", "kind", "reason"),
    [
        (GOOD, OutcomeKind.IMPROVED, "Improved"),
        (BAD, OutcomeKind.WORSE, "Worse"),
        (FLAT, OutcomeKind.NO_EFFECT, "NoEffect"),
        (TINY, OutcomeKind.NO_EFFECT, "BelowMinimumEffect"),
        (SMALL, OutcomeKind.INCONCLUSIVE, "NotEnoughPower"),
        (NOISY, OutcomeKind.INCONCLUSIVE, "NotEnoughPower"),
        ([], OutcomeKind.INCONCLUSIVE, "NoData"),
        (GOOD[:4], OutcomeKind.INCONCLUSIVE, "NoData"),
        ([(0.0, 1.0)] * 5, OutcomeKind.INCONCLUSIVE, "NotPositive"),
    ],
)
def test_outcomes(pairs: list[tuple[float, float]], kind: OutcomeKind, reason: str) -> None:
    outcome = judge(figures(pairs), policy_spec(), scheduled_pairs=5)
    assert (outcome.kind, outcome.reason) == (kind, reason)


def test_outcome_says_what_it_rests_on() -> None:
    outcome = judge(figures(GOOD), policy_spec(), scheduled_pairs=5)
    assert outcome.metric == "WakeupLatencyP99"
    assert outcome.effect == "49.51%"
    assert outcome.p_value == "0.031250"
    assert outcome.pairs == 5
    assert outcome.interval_low is not None
    assert outcome.smallest_detectable is not None


def test_throughput_is_better_when_it_grows() -> None:
    spec = policy_spec(objective=Objective(direction=Direction.MAXIMIZE))
    assert judge(figures(BAD), spec, scheduled_pairs=5).kind is OutcomeKind.IMPROVED
    assert judge(figures(GOOD), spec, scheduled_pairs=5).kind is OutcomeKind.WORSE


@pytest.mark.parametrize(
    ("rail", "kind", "reason"),
    [
        ((0.5, 0.5), OutcomeKind.IMPROVED, "Improved"),
        ((0.51, 0.5), OutcomeKind.IMPROVED, "Improved"),
        ((0.9, 0.5), OutcomeKind.WORSE, "GuardrailViolated"),
        ((0.1, 0.5), OutcomeKind.IMPROVED, "Improved"),
        ((0.0, 0.0), OutcomeKind.IMPROVED, "Improved"),
    ],
)
def test_guard_rails(rail: tuple[float, float], kind: OutcomeKind, reason: str) -> None:
    spec = policy_spec(guardrails=(RAIL,))
    outcome = judge(figures(GOOD, guardrails={"neighbours": rail}), spec, scheduled_pairs=5)
    assert (outcome.kind, outcome.reason) == (kind, reason)


def test_harm_that_may_be_noise_is_not_a_pass() -> None:
    blocks = list(figures(GOOD, guardrails={"neighbours": (0.5, 0.5)}))
    blocks[0] = blocks[0].replace(guardrails={"neighbours": "0.95"})
    spec = policy_spec(guardrails=(RAIL,))
    outcome = judge(tuple(blocks), spec, scheduled_pairs=5)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.INCONCLUSIVE, "GuardrailUnclear")


def test_harm_within_the_margin_that_may_be_more_is_not_a_pass() -> None:
    blocks = list(figures(GOOD, guardrails={"neighbours": (0.5, 0.5)}))
    for index, value in enumerate(("0.55", "0.45", "0.56", "0.46", "0.53")):
        blocks[2 * index] = blocks[2 * index].replace(guardrails={"neighbours": value})
    outcome = judge(tuple(blocks), policy_spec(guardrails=(RAIL,)), scheduled_pairs=5)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.INCONCLUSIVE, "GuardrailUnclear")


def test_a_rail_that_is_really_violated_seldom_passes() -> None:
    draw = np.random.default_rng(7)
    spec = policy_spec(guardrails=(RAIL,))
    rounds, passed = 400, 0
    for _ in range(rounds):
        blocks = list(figures(GOOD, guardrails={"neighbours": (0.5, 0.5)}))
        for index, noise in enumerate(draw.normal(math.log(1.22), 0.25, size=5)):
            harmed = f"{0.5 * math.exp(noise)}"
            blocks[2 * index] = blocks[2 * index].replace(guardrails={"neighbours": harmed})
        passed += judge(tuple(blocks), spec, scheduled_pairs=5).kind is OutcomeKind.IMPROVED
    assert passed / rounds <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / rounds)


def test_a_worse_objective_is_said_before_a_rail_without_data() -> None:
    outcome = judge(figures(BAD), policy_spec(guardrails=(RAIL,)), scheduled_pairs=5)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.WORSE, "Worse")


def test_a_violated_rail_is_said_before_an_objective_without_data() -> None:
    blocks = figures([(math.nan, math.nan)] * 5, guardrails={"neighbours": (0.9, 0.5)})
    outcome = judge(blocks, policy_spec(guardrails=(RAIL,)), scheduled_pairs=5)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.WORSE, "GuardrailViolated")
    assert (outcome.metric, outcome.effect) == ("WakeupLatencyP99", None)


def test_the_outcome_says_how_much_harm_there_may_be() -> None:
    blocks = list(figures(GOOD, guardrails={"neighbours": (0.5, 0.5)}))
    blocks[0] = blocks[0].replace(guardrails={"neighbours": "0.52"})
    outcome = judge(tuple(blocks), policy_spec(guardrails=(RAIL,)), scheduled_pairs=5)
    assert outcome.kind is OutcomeKind.IMPROVED
    assert outcome.guardrails == (
        RailFinding(name="neighbours", harm="0.77%", harm_at_most="3.92%", margin="5%"),
    )


def test_the_examples_rail_holds_at_the_noise_of_real_nodes(repository: Path) -> None:
    """Neighbours that lose 4 % with a spread of 8 % between pairs, as short blocks have."""
    body = yaml.safe_load((repository / "examples" / "schedulerpolicy.yaml").read_text())
    spec = SchedulerPolicySpec.model_validate(body["spec"])
    pairs = spec.canary.pairs
    draw = np.random.default_rng(3)
    passed = 0
    for _ in range(100):
        blocks = []
        for block in figures([(0.5 + 0.01 * i, 1.0) for i in range(pairs)]):
            lost = 0.04 if block.arm is Arm.ON else 0.0
            value = math.exp(-lost + draw.normal() * 0.08 / math.sqrt(2))
            blocks.append(block.replace(guardrails={"neighbours": f"{value:.6f}"}))
        outcome = judge(tuple(blocks), spec, scheduled_pairs=pairs)
        passed += outcome.kind is OutcomeKind.IMPROVED
    assert passed >= 90


def test_a_silent_on_block_is_no_reason_to_look_away() -> None:
    blocks = list(figures([*GOOD, *GOOD]))
    blocks[0] = blocks[0].replace(value="")
    outcome = judge(tuple(blocks), policy_spec(), scheduled_pairs=10)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.INCONCLUSIVE, "SilentBlocks")
    assert "node-1 pair 0" in outcome.message
    off = list(figures([*GOOD, *GOOD]))
    off[1] = off[1].replace(value="")
    assert judge(tuple(off), policy_spec(), scheduled_pairs=10).kind is OutcomeKind.IMPROVED


def test_a_workload_that_is_silent_whenever_the_candidate_runs_is_worse_off() -> None:
    blocks = tuple(
        block.replace(value="") if block.arm is Arm.ON else block for block in figures(GOOD)
    )
    outcome = judge(blocks, policy_spec(), scheduled_pairs=5)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.WORSE, "Silenced")
    assert "p = 0.0312" in outcome.message
    lost = list(blocks)
    lost[0] = figures(GOOD)[0]
    lost[1] = lost[1].replace(value="")
    mixed = judge(tuple(lost), policy_spec(), scheduled_pairs=5)
    assert (mixed.kind, mixed.reason) == (OutcomeKind.INCONCLUSIVE, "SilentBlocks")


def test_silent_on_blocks_count_as_the_worst_beside_those_that_were_measured() -> None:
    """Two silent ON blocks and three that are worse are five pairs of five, in either order."""
    for silent in ((0, 2), (1, 4)):
        blocks = tuple(
            block.replace(value="") if block.arm is Arm.ON and block.index // 2 in silent else block
            for block in figures(BAD)
        )
        outcome = judge(blocks, policy_spec(), scheduled_pairs=5)
        assert (outcome.kind, outcome.reason) == (OutcomeKind.WORSE, "Silenced")
        assert "5 pairs are worse and 0 better (p = 0.0312)" in outcome.message


def test_silent_on_blocks_beside_better_ones_are_undecided() -> None:
    blocks = tuple(
        block.replace(value="") if block.arm is Arm.ON and block.index // 2 < 3 else block
        for block in figures(GOOD)
    )
    outcome = judge(blocks, policy_spec(), scheduled_pairs=5)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.INCONCLUSIVE, "SilentBlocks")
    assert "3 pairs are worse and 2 better" in outcome.message


def test_an_effect_that_is_not_excluded_is_not_called_none() -> None:
    gains = [0.12, -0.01, 0.09, 0.02, 0.0]
    pairs = [(math.exp(-gain), 1.0) for gain in gains]
    outcome = judge(figures(pairs), policy_spec(), scheduled_pairs=5)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.INCONCLUSIVE, "NotEnoughPower")


def seeded(seed: int, pairs: int) -> Run:
    """A run with that seed and so many pairs."""
    base = run(canary=policy_spec().canary.replace(pairs=pairs))
    return Run(base.name, base.spec.replace(seed=seed), base.status)


@pytest.mark.parametrize(("nodes", "pairs"), [(2, 5), (4, 5), (4, 8)])
def test_what_befalls_all_nodes_at_one_time_raises_no_false_alarm(nodes: int, pairs: int) -> None:
    draw = np.random.default_rng(nodes * pairs)
    rounds, alarms = 300, 0
    for seed in range(rounds):
        common = draw.normal(0, 0.5, size=(pairs, 2))
        gains: list[float] = []
        for node in range(nodes):
            arms = switchback(seeded(seed, pairs), f"node-{node}").blocks
            for pair in range(pairs):
                times = dict(zip(arms[2 * pair : 2 * pair + 2], common[pair], strict=True))
                gains.append(times[Arm.OFF] - times[Arm.ON])
        alarms += estimate(gains).p_better <= ALPHA
    assert alarms / rounds <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / rounds)


def test_a_guard_rail_without_data_is_not_a_pass() -> None:
    outcome = judge(figures(GOOD), policy_spec(guardrails=(RAIL,)), scheduled_pairs=5)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.INCONCLUSIVE, "NoData")
    assert "guard rail neighbours" in outcome.message


@given(
    st.lists(
        st.tuples(st.floats(0.01, 10), st.floats(0.01, 10), st.booleans(), st.booleans()),
        max_size=10,
    )
)
def test_blocks_that_do_not_count_never_improve_anything(
    rows: list[tuple[float, float, bool, bool]],
) -> None:
    blocks: list[BlockFigure] = []
    for block, valid in zip(
        figures([(on, off) for on, off, _, _ in rows]),
        [flag for row in rows for flag in row[2:]],
        strict=True,
    ):
        blocks.append(block if valid else block.replace(valid=False, invalid_reason="why"))
    outcome = judge(tuple(blocks), policy_spec(), scheduled_pairs=max(5, len(rows)))
    counted = sum(first and second for _, _, first, second in rows)
    if counted < 5:
        assert outcome.kind is OutcomeKind.INCONCLUSIVE


def test_pairs_need_both_arms() -> None:
    blocks = figures([(1.0, 2.0), (3.0, 4.0)])
    assert [pair.on for pair in pairs_of(blocks)[0]] == [1.0, 3.0]
    assert pairs_of(blocks[1:]) == ([pairs_of(blocks)[0][1]], 2)
    same_arm = (blocks[0], blocks[1].replace(arm=Arm.ON))
    assert pairs_of(same_arm)[0] == []


def test_figures_that_are_not_numbers_are_no_data() -> None:
    blocks = figures([(math.nan, 1.0), (math.inf, 1.0)])
    assert pairs_of(blocks) == ([], 2)


def test_percent_change_of_halving_and_doubling() -> None:
    assert percent_change(math.log(2), Direction.MINIMIZE) == pytest.approx(50)
    assert percent_change(math.log(2), Direction.MAXIMIZE) == pytest.approx(100)
    assert percent_change(-math.log(2), Direction.MINIMIZE) == pytest.approx(-100)


@pytest.mark.parametrize(
    ("before", "after", "direction", "harm"),
    [
        (1.0, 2.0, Direction.MINIMIZE, 100.0),
        (1.0, 0.5, Direction.MINIMIZE, -50.0),
        (1.0, 0.5, Direction.MAXIMIZE, 100.0),
        (0.0, 0.0, Direction.MINIMIZE, 0.0),
        (0.0, 1.0, Direction.MINIMIZE, math.inf),
        (0.0, 1.0, Direction.MAXIMIZE, -math.inf),
    ],
)
def test_harm(before: float, after: float, direction: Direction, harm: float) -> None:
    assert harm_percent(before, after, direction, LATENCY) == pytest.approx(harm)


def test_gains_need_positive_figures() -> None:
    pairs, _ = pairs_of(figures([(0.0, 1.0)]))
    assert gains_of(pairs, Direction.MINIMIZE, metric=LATENCY) is None
    assert gains_of(pairs, Direction.MINIMIZE, metric=PRESSURE) is not None
