"""What the operator makes of a block's own record, whatever its agent says of it."""

import pytest

from schedcp_api.nodestates import Arm, BlockRecord
from schedcp_api.runs import RunStage
from schedcp_operator.events import FiguresRead, NodeBlocks, ReadFigures
from schedcp_operator.stages.blocks import checked_block
from support.operator_driver import Driver
from support.operator_nouns import NOW, figures, run

OPS = "schedcp_latency_class"
ON = BlockRecord(
    index=0,
    arm=Arm.ON,
    started_at=NOW,
    ended_at=NOW,
    ops_name=OPS,
    enable_seq_start=3,
    enable_seq_end=3,
    valid=True,
)
OFF = ON.replace(index=1, arm=Arm.OFF, ops_name="")


@pytest.mark.parametrize("block", [ON, OFF])
def test_a_block_in_its_arm_counts(block: BlockRecord) -> None:
    assert checked_block(block, OPS) == block


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (ON.replace(ops_name=""), f"no scheduler instead of {OPS}"),
        (ON.replace(ops_name="scx_other"), f"scx_other instead of {OPS}"),
        (OFF.replace(ops_name=OPS), f"{OPS} instead of none"),
        (ON.replace(enable_seq_end=4), "a scheduler was enabled in the block"),
        (OFF.replace(enable_seq_end=4), "a scheduler was enabled in the block"),
        (ON.replace(valid=False, invalid_reason="LeftArm"), "LeftArm"),
    ],
)
def test_a_block_whose_record_contradicts_its_arm_does_not(block: BlockRecord, reason: str) -> None:
    checked = checked_block(block, OPS)
    assert (checked.valid, checked.invalid_reason) == (False, reason)


def test_blocks_are_checked_before_their_figures_are_read() -> None:
    driver = Driver(run())
    driver.until(RunStage.JUDGING)
    name = driver.run.status.nodes[0].name
    view = driver.nodes[name]
    progress = view.status.switchback
    assert progress is not None
    spoilt = progress.blocks[0].replace(enable_seq_end=99)
    changed = progress.replace(blocks=(spoilt, *progress.blocks[1:]))
    driver.report(name, switchback=changed)
    (effect,) = driver.observe().effects
    assert isinstance(effect, ReadFigures)
    (asked,) = effect.nodes
    assert isinstance(asked, NodeBlocks)
    assert [block.valid for block in asked.blocks] == [False, *9 * [True]]


def test_a_canary_under_way_has_the_figures_of_the_blocks_that_are_over() -> None:
    driver = Driver(run())
    driver.until(RunStage.JUDGING)
    (name,) = (entry.name for entry in driver.run.status.nodes)
    progress = driver.nodes[name].status.switchback
    assert progress is not None
    driver = Driver(run())
    driver.until(RunStage.CANARY)
    driver.step()
    driver.report(name, switchback=progress.replace(blocks=progress.blocks[:6], finished=False))
    (effect,) = driver.observe().effects
    assert isinstance(effect, ReadFigures)
    (asked,) = effect.nodes
    assert [block.index for block in asked.blocks] == [2, 3, 4, 5], "not all of them, each time"
    read = figures([(0.5, 1.0)] * 3)[2:]
    later = read[-1].replace(value="")
    driver.tell(FiguresRead(tuple(b.replace(node=name) for b in (*read[:-1], later))))
    assert [b.value for b in driver.run.attempt.blocks] == ["0.5", "1.0", "0.5", ""]
    (effect,) = driver.observe().effects
    assert isinstance(effect, ReadFigures)
    assert [b.index for b in effect.nodes[0].blocks] == [5], "what Prometheus did not have yet"
    driver.tell(FiguresRead((read[-1].replace(node=name),)))
    assert [b.value for b in driver.run.attempt.blocks] == ["0.5", "1.0", "0.5", "1.0"]
    assert driver.observe().effects == ()
    assert driver.run.status.stage is RunStage.CANARY


def test_a_canary_that_begins_again_has_no_figures_of_the_one_before() -> None:
    driver = Driver(run())
    driver.until(RunStage.CANARY)
    driver.tell(FiguresRead(figures([(0.5, 1.0)])))
    assert driver.run.attempt.blocks
    driver.observe()
    assert driver.run.status.nodes
    assert driver.run.attempt.blocks == ()
