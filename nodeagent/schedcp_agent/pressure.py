"""Neighbours' CPU pressure, one kind of it: watched with a scheduler of ours and without.

Pressure that was above its limit before a scheduler came is excused, until it has been within it
for a while. Pure.
"""

from dataclasses import dataclass, replace

BACKLOG_SECONDS = 15
"""For how long pressure under the kernel's own scheduler says nothing: neighbours may work off what
piled up under another one."""
LOADED_SECONDS = 60
"""For how long load that was seen without a scheduler counts as there before one that comes."""
EASED_SECONDS = 60
"""After how long within its limit pressure counts as gone that was there before."""


@dataclass(frozen=True)
class Watched:
    """One kind of pressure, from one tick to the next; all times are uptimes."""

    over_since: float | None = None
    """Since when it has exceeded its limit without a break."""
    sustained: bool = False
    """Whether it has for as long as trips."""
    loaded: bool = False
    """Whether it has under the kernel's own scheduler: that is load."""
    loaded_at: float | None = None
    """When it last was."""
    excused: bool = False
    """It was there before what is attached."""
    eased_since: float | None = None
    """Since when an excused one has not been sustained."""

    def seen(self, *, over: bool, uptime: float, sustained_seconds: int) -> "Watched":
        """Return it after one reading."""
        since = (uptime if self.over_since is None else self.over_since) if over else None
        sustained = since is not None and uptime - since >= sustained_seconds
        return replace(self, over_since=since, sustained=sustained)

    def alone(self, *, idle_since: float | None, uptime: float) -> "Watched":
        """Return it, just seen, where nothing of ours is attached."""
        settled = idle_since is not None and uptime - idle_since >= BACKLOG_SECONDS
        loaded = settled and self.sustained
        at = uptime if loaded else self.loaded_at
        return replace(self, loaded=loaded, loaded_at=at, excused=False, eased_since=None)

    def coming(self, *, uptime: float) -> "Watched":
        """Return it at the moment in which a scheduler comes."""
        return Watched(loaded_at=self.loaded_at, excused=self.lately(uptime))

    def eased(self, *, uptime: float) -> "Watched":
        """Return it, just seen beside a scheduler: what is gone excuses nothing any more."""
        if not self.excused or self.sustained:
            return replace(self, eased_since=None)
        since = self.eased_since
        if self.over_since is not None:
            return self
        if since is None or uptime - since < EASED_SECONDS:
            return replace(self, eased_since=uptime if since is None else since)
        return replace(self, excused=False, eased_since=None)

    def lately(self, uptime: float) -> bool:
        """Whether it was load a moment ago."""
        return self.loaded_at is not None and uptime - self.loaded_at < LOADED_SECONDS
