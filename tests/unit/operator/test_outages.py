"""Blocks without a figure: Prometheus that was away is not a node that said nothing."""

import pytest

from schedcp_api.nodestates import Arm
from schedcp_api.runs import BlockFigure, OutcomeKind
from schedcp_operator.judge import judge
from schedcp_operator.pairing import without_outages
from support.operator_nouns import figures, policy_spec

GOOD = [(0.5, 1.0), (0.52, 1.0), (0.5, 1.01), (0.49, 1.0), (0.51, 0.98)] * 2
FLAT = [(1.0, 1.001), (1.001, 1.0), (1.0, 1.0005), (1.0005, 1.0), (1.0, 1.0)] * 2
STEADY = 8
AWAY = "PrometheusScrapedNothing"

Silent = dict[int, int | None]
"""Scrapes in the blocks that have no figure, by index: even ones are ON."""


def canary(
    pairs: list[tuple[float, float]], silent: Silent, *, steady: int | None = STEADY
) -> tuple[BlockFigure, ...]:
    """A canary's blocks."""
    return tuple(
        block.replace(value="", scrapes=silent[block.index])
        if block.index in silent
        else block.replace(scrapes=steady)
        for block in figures(pairs)
    )


@pytest.mark.parametrize(
    ("pairs", "silent", "kind", "reason"),
    [
        (GOOD, {0: 0}, OutcomeKind.IMPROVED, "Improved"),
        (GOOD, {0: 1}, OutcomeKind.IMPROVED, "Improved"),
        (GOOD, {0: 0, 1: 0}, OutcomeKind.IMPROVED, "Improved"),
        (GOOD, {0: 0, 3: 0}, OutcomeKind.IMPROVED, "Improved"),
        (FLAT, {0: 0, 2: 0}, OutcomeKind.NO_EFFECT, "NoEffect"),
        (GOOD, {0: 0, 2: 0, 5: 0}, OutcomeKind.INCONCLUSIVE, "InvalidBlocks"),
    ],
)
def test_pairs_without_prometheus_are_lost(
    pairs: list[tuple[float, float]], silent: Silent, kind: OutcomeKind, reason: str
) -> None:
    outcome = judge(canary(pairs, silent), policy_spec(), scheduled_pairs=10)
    assert (outcome.kind, outcome.reason) == (kind, reason)
    assert (AWAY in outcome.message) == (kind is OutcomeKind.INCONCLUSIVE)
    assert outcome.pairs == 10 - len({index // 2 for index in silent})


@pytest.mark.parametrize(
    ("silent", "steady"),
    [
        ({0: STEADY}, STEADY),
        ({0: 2}, STEADY),
        ({0: None}, STEADY),
        ({0: 0}, 3),
        ({0: 0}, 0),
        ({0: 0}, None),
    ],
    ids=["scraped", "scraped twice", "not asked", "rarely", "never", "never asked"],
)
def test_a_silent_node_is_held_against_the_candidate_unless_prometheus_was_away(
    silent: Silent, steady: int | None
) -> None:
    outcome = judge(canary(GOOD, silent, steady=steady), policy_spec(), scheduled_pairs=10)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.INCONCLUSIVE, "SilentBlocks")
    assert "or Prometheus from running" in outcome.message


def test_outages_of_on_blocks_alone_are_no_excuse() -> None:
    """A candidate can starve a Prometheus on its own node."""
    blocks = canary(GOOD, dict.fromkeys(range(0, 20, 2), 0))
    assert without_outages(blocks) == blocks
    outcome = judge(blocks, policy_spec(), scheduled_pairs=10)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.WORSE, "Silenced")


def test_a_block_with_some_figure_was_not_without_prometheus() -> None:
    blocks = canary(GOOD, {0: 0})
    railed = (blocks[0].replace(guardrails={"neighbours": "0.1"}), *blocks[1:])
    assert without_outages(railed) == railed
    (lost, *others) = without_outages(blocks)
    assert (lost.arm, lost.valid, lost.invalid_reason) == (Arm.ON, False, AWAY)
    assert tuple(others) == blocks[1:]
