"""What pods had used when they went: from this the operator learns what jobs take. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from schedcp_api.nodestates import MOST_DEPARTED, DepartedPod

from .cgroups import Usage


@dataclass(frozen=True)
class Departures:
    """The pods that are here and those that went, from one reading to the next.

    A pod's cgroup outlives its processes by a moment and keeps their account, so the last reading
    has all of it, but for a pod that comes and goes between two readings: that one is never seen.
    """

    used_usec: Mapping[str, int] = field(default_factory=dict)
    """Of each pod that is here, by its UID."""
    gone: tuple[DepartedPod, ...] = ()

    def after(self, usages: Mapping[str, Usage], *, now: datetime) -> Self:
        """Return what is known after a reading of every pod's cgroup.

        A cgroup that goes while it is read says zero; an account never falls, so that says nothing.
        """
        used = {
            uid: max(usage.cpu_usec, self.used_usec.get(uid, 0)) for uid, usage in usages.items()
        }
        went = (
            DepartedPod(uid=uid, cpu_milliseconds=usec // 1000, at=now)
            for uid, usec in self.used_usec.items()
            if uid not in used
        )
        return type(self)(used, (*self.gone, *went)[-MOST_DEPARTED:])
