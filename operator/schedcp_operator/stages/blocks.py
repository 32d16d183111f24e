"""The blocks of a canary that are over, as its agents recorded them."""

from schedcp_api.nodestates import Arm, BlockRecord
from schedcp_api.runs import BlockFigure

from ..assignments import switchback
from ..events import NodeBlocks
from ..views import Run, World

__all__ = ["checked_block", "finished_blocks", "unread_blocks", "with_figures"]

_LATEST = 4
"""So many blocks back a figure is still looked for that was not there yet."""


def finished_blocks(run: Run, world: World, nodes: tuple[str, ...]) -> tuple[NodeBlocks, ...]:
    """Return the finished blocks of the run's present candidate on each of `nodes`."""
    found = []
    for name in nodes:
        view = world.node(name)
        progress = view.status.switchback if view is not None else None
        ours = progress is not None and progress.id == switchback(run, name).id
        blocks = progress.blocks if progress is not None and ours else ()
        checked = tuple(checked_block(block, run.attempt.ops_name) for block in blocks)
        found.append(NodeBlocks(name, checked))
    return tuple(found)


def unread_blocks(run: Run, world: World, nodes: tuple[str, ...]) -> tuple[NodeBlocks, ...]:
    """Return the latest of the finished blocks, as far as the run has no figure of them."""
    read = {(b.node, b.index) for b in run.attempt.blocks if b.value or not b.valid}
    found = [
        NodeBlocks(
            entry.node,
            tuple(b for b in entry.blocks[-_LATEST:] if (entry.node, b.index) not in read),
        )
        for entry in finished_blocks(run, world, nodes)
    ]
    return tuple(entry for entry in found if entry.blocks)


def with_figures(
    known: tuple[BlockFigure, ...], read: tuple[BlockFigure, ...]
) -> tuple[BlockFigure, ...]:
    """Return the blocks with what was read of them, by node and in order."""
    merged = {(block.node, block.index): block for block in (*known, *read)}
    return tuple(merged[key] for key in sorted(merged))


def checked_block(block: BlockRecord, ops_name: str) -> BlockRecord:
    """Return the block, not valid if its own record contradicts its arm.

    ON means our ops name, OFF none, and neither changed hands during the block.
    """
    expected = ops_name if block.arm is Arm.ON else ""
    if not block.valid:
        return block
    if block.ops_name != expected:
        reason = f"{block.ops_name or 'no scheduler'} instead of {expected or 'none'}"
        return block.replace(valid=False, invalid_reason=reason[:256])
    if block.enable_seq_start != block.enable_seq_end:
        return block.replace(valid=False, invalid_reason="a scheduler was enabled in the block")
    return block
