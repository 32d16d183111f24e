"""Neighbours' CPU pressure, one kind of it: watched with a scheduler of ours and without.

What is above its limit before a scheduler comes is excused for as long as that stays. Pure.
"""

from dataclasses import dataclass, replace

BACKLOG_SECONDS = 15
"""For how long pressure under the kernel's own scheduler says nothing: neighbours may work off what
piled up under another one."""
LOADED_SECONDS = 30
"""For how long load that was seen without a scheduler counts as there before one that comes: a
scheduler may take so long to come."""


@dataclass(frozen=True)
class Watched:
    """One kind of pressure, from one tick to the next; all times are uptimes."""

    over_since: float | None = None
    """Since when it has exceeded its limit without a break."""
    calm_since: float | None = None
    """Since when it has not."""
    sustained: bool = False
    """Whether it has for as long as trips."""
    loaded: bool = False
    """Whether it has under the kernel's own scheduler: that is load."""
    loaded_at: float | None = None
    """When it last was, unless there was calm since."""
    excused: bool = False
    """It was there before what is attached."""

    def seen(self, *, over: bool, uptime: float, sustained_seconds: int) -> "Watched":
        """Return it after one reading."""
        since = (uptime if self.over_since is None else self.over_since) if over else None
        calm = None if over else (uptime if self.calm_since is None else self.calm_since)
        sustained = since is not None and uptime - since >= sustained_seconds
        return replace(self, over_since=since, calm_since=calm, sustained=sustained)

    def alone(
        self, *, idle_since: float | None, uptime: float, sustained_seconds: int
    ) -> "Watched":
        """Return it, just seen, where nothing of ours is attached."""
        settled = idle_since is not None and uptime - idle_since >= BACKLOG_SECONDS
        loaded = settled and self.sustained
        at = uptime if loaded else self.loaded_at
        calm = self.calm_since is not None and uptime - self.calm_since >= sustained_seconds
        return replace(self, loaded=loaded, loaded_at=None if calm else at, excused=False)

    def coming(self, *, uptime: float) -> "Watched":
        """Return it at the moment in which a scheduler comes."""
        lately = self.loaded_at is not None and uptime - self.loaded_at < LOADED_SECONDS
        return Watched(excused=lately)
