"""Is what the kernel shows the agent's own? By ops name and `enable_seq`, never by guessing. Pure.

A loader may be gone a moment before its scheduler is: what was the agent's last stays the agent's.
"""

from dataclasses import dataclass

from .kernel_probe import SchedExt
from .observations import LoaderPhase, LoaderView


@dataclass(frozen=True)
class Ours:
    """The scheduler that the agent's loader attached last."""

    ops: str
    enable_seq: int = 0
    """0 until the loader has said it: until then the name has to do."""

    def matches(self, kernel: SchedExt) -> bool:
        """Return whether the kernel shows this very scheduler."""
        return kernel.ops == self.ops and self.enable_seq in (0, kernel.enable_seq)


def ours_after(ours: Ours | None, loader: LoaderView, kernel: SchedExt) -> Ours | None:
    """Return what is the agent's after one look at its loader and the kernel."""
    if loader.phase is not LoaderPhase.NONE:
        return Ours(loader.ops, loader.enable_seq)
    return None if kernel.idle else ours


def is_ours(ours: Ours | None, loader: LoaderView, kernel: SchedExt) -> bool:
    """Return whether the kernel shows a scheduler of the agent's, coming, running or going."""
    ours = ours_after(ours, loader, kernel)
    if ours is None:
        return False
    # The name appears a little after the state, and goes a little before it.
    nameless = not kernel.ops and loader.phase is not LoaderPhase.NONE
    return nameless or ours.matches(kernel)
