"""The clock of a switchback: which arm a node is in, when a block counts, and what was seen.

A block is a wash-out, which begins when the node has really reached the arm and the agent has its
probes, and then the measured time. It counts only if ops name and `enable_seq` were the same at
every tick of the measured time.
Pure.
"""

from dataclasses import replace
from datetime import datetime

from schedcp_api.nodestates import Arm, BlockRecord, Switchback, SwitchbackProgress

from .kernel_probe import ENABLED
from .memory import Block, Course, finished_blocks
from .observations import LoaderPhase, Observed


def current_arm(schedule: Switchback, course: Course) -> Arm:
    """Return the arm that the node shall be in now; OFF after the last block."""
    index = len(finished_blocks(course))
    return schedule.blocks[index] if index < len(schedule.blocks) else Arm.OFF


def in_arm(arm: Arm, observed: Observed, ops_name: str) -> bool:
    """Return whether the node is in `arm`, by the kernel's account and the loader's."""
    kernel, loader = observed.sched_ext, observed.loader
    if arm is Arm.OFF:
        return kernel.idle and loader.phase is LoaderPhase.NONE
    return (
        loader.phase is LoaderPhase.ATTACHED
        and kernel.state == ENABLED
        and kernel.ops == ops_name
        and kernel.enable_seq == loader.enable_seq
    )


def advance(
    course: Course, schedule: Switchback, observed: Observed, *, ops_name: str, now: datetime
) -> Course:
    """Return the course after one tick of its switchback."""
    progress = course.progress or SwitchbackProgress(id=schedule.id, run=course.key.run)
    if progress.finished:
        return replace(course, progress=progress, block=None)
    index = len(progress.blocks)
    block = course.block
    if block is None or block.index != index:
        block = Block(index)
    arm = schedule.blocks[index]
    block = _watch(block, arm, observed, ops_name)
    block = _begin(block, schedule, observed, realised=in_arm(arm, observed, ops_name), now=now)
    measured = observed.uptime - block.measuring_since
    if block.measuring_from is None or measured < schedule.block_seconds:
        return replace(course, progress=progress, block=block)
    blocks = (*progress.blocks, record(block, arm, observed, now=now))
    finished = len(blocks) == len(schedule.blocks)
    done = SwitchbackProgress(id=progress.id, run=progress.run, blocks=blocks, finished=finished)
    return replace(course, progress=done, block=None)


def spoil(course: Course, reason: str) -> Course:
    """Return the course with its present block, if it is being measured, marked as not counting."""
    block = course.block
    if block is None or block.measuring_from is None or block.spoiled:
        return replace(course, block=replace(block, realised_at=None) if block else None)
    return replace(course, block=replace(block, spoiled=reason))


def cut_short(course: Course, schedule: Switchback, observed: Observed, *, now: datetime) -> Course:
    """Return the course with its present block recorded as it is, invalid, because the run ends."""
    block = course.block
    if block is None or block.measuring_from is None or course.progress is None:
        return replace(course, block=None)
    block = replace(block, spoiled=block.spoiled or "CutShort")
    arm = schedule.blocks[block.index]
    blocks = (*course.progress.blocks, record(block, arm, observed, now=now))
    return replace(course, progress=course.progress.replace(blocks=blocks), block=None)


def record(block: Block, arm: Arm, observed: Observed, *, now: datetime) -> BlockRecord:
    """Return the record of a block that ends now."""
    return BlockRecord(
        index=block.index,
        arm=arm,
        started_at=block.measuring_from or now,
        ended_at=now,
        ops_name=block.ops[:256],
        enable_seq_start=block.enable_seq,
        enable_seq_end=observed.sched_ext.enable_seq,
        valid=not block.spoiled,
        invalid_reason=block.spoiled[:256],
    )


def _watch(block: Block, arm: Arm, observed: Observed, ops_name: str) -> Block:
    """Restart the wash-out, or spoil the measured time, when the node is not in the arm."""
    kernel = observed.sched_ext
    if block.measuring_from is None:
        return block if in_arm(arm, observed, ops_name) else replace(block, realised_at=None)
    if block.spoiled:
        return block
    if kernel.problem:
        return replace(block, spoiled="KernelUnreadable")
    if kernel.ops != block.ops:
        reason = f"OpsChanged: {block.ops or 'none'} became {kernel.ops or 'none'}"
        return replace(block, spoiled=reason)
    if kernel.enable_seq != block.enable_seq:
        reason = f"EnableSeqChanged: {block.enable_seq} became {kernel.enable_seq}"
        return replace(block, spoiled=reason)
    if not in_arm(arm, observed, ops_name):
        return replace(block, spoiled="LeftArm")
    return block


def _begin(
    block: Block, schedule: Switchback, observed: Observed, *, realised: bool, now: datetime
) -> Block:
    """Start the wash-out when the arm is reached, and the measured time when that is over."""
    if block.measuring_from is not None or not realised:
        return block
    if observed.probes_opening:  # An agent that was started again: nobody would see anything.
        return replace(block, realised_at=None)
    if block.realised_at is None:
        return replace(block, realised_at=observed.uptime)
    if observed.uptime - block.realised_at < schedule.washout_seconds:
        return block
    kernel = observed.sched_ext
    return replace(
        block,
        measuring_from=now,
        measuring_since=observed.uptime,
        ops=kernel.ops,
        enable_seq=kernel.enable_seq,
    )
