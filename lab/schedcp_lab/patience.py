"""Waiting for another apt: a machine that has just booted updates itself, and apt serves one.

apt waits for dpkg's locks alone, and only where it is told to (`DPkg::Lock::Timeout`); of the locks
of its lists and archives it says at once that they are held. So whoever finds one held tries again.
`lab/patient-apt-get` does the same before there is a Python environment.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from schedcp_lab.errors import CommandFailed

__all__ = ["LOCK_OPTIONS", "Patience"]

HELD = re.compile(r"Could not get lock|is another process using it")
"""What apt says, with and without a time-out; who may not take a lock reads something else."""

LOCK_OPTIONS = ("-o", "DPkg::Lock::Timeout=15")
"""How long apt waits by itself, each time; not for all of it, because it says nothing meanwhile."""


@dataclass(frozen=True)
class Patience:
    """How long to wait, and whom to tell."""

    report: Callable[[str], None] = print
    seconds: float = 600.0
    interval_seconds: float = 5.0
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def keep_trying(self, attempt: Callable[[], object]) -> None:
        """Make an attempt, again and again while another apt holds a lock.

        Raise CommandFailed for any other failure at once, and for a lock after `seconds`.
        """
        deadline = self.clock() + self.seconds
        told = False
        while True:
            try:
                attempt()
            except CommandFailed as error:
                if HELD.search(str(error)) is None:
                    raise
                if self.clock() >= deadline:
                    raise CommandFailed(
                        f"another apt has held its lock for {self.seconds:g} s; wait until it is "
                        f"done, or end it, and try again:\n{error}"
                    ) from error
            else:
                return
            if not told:
                self.report(f"another apt is running, waiting for up to {self.seconds:g} s")
                told = True
            self.pause(self.interval_seconds)
