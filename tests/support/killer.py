"""Kills a program of this machine: `killer.py PROGRAM LEAST MOST DEADLINE`, all in seconds.

Runs on a node of the lab, where to be started takes seconds: so it waits itself until a scheduler
has been enabled for between LEAST and MOST seconds, and kills the program then. With a LEAST of 0
it need not have seen that scheduler come. It prints how many the kernel had enabled by then since
it was started; when nothing could be killed until DEADLINE it says so and exits with 1.
"""

import os
import signal
import sys
import time
from pathlib import Path

SCHED_EXT = Path("/sys/kernel/sched_ext")
LOOK_SECONDS = 0.2


def enabled() -> int:
    """Return how many schedulers were enabled so far, 0 while none is."""
    if (SCHED_EXT / "state").read_text().strip() != "enabled":
        return 0
    return int((SCHED_EXT / "enable_seq").read_text())


def processes(program: str) -> list[int]:
    """Return the processes that run the program, by itself or by an interpreter."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.rpartition(b"/")[2] == program.encode() for word in words[:3]):
            found.append(int(entry.name))
    return found


def main() -> str | None:
    """Kill; return what went wrong."""
    program, (least, most, deadline) = sys.argv[1], map(float, sys.argv[2:])
    began = time.monotonic()
    # Since when the one has been there that was found is not known.
    number, since = enabled(), began if not least else -most
    while (now := time.monotonic()) < began + deadline:
        if enabled() != number:
            number, since = enabled(), now
        if number and least <= now - since <= most:
            found = processes(program)
            for pid in found:
                os.kill(pid, signal.SIGKILL)
            if found:
                print(number)
                return None
        time.sleep(LOOK_SECONDS)
    return (
        f"in {deadline:g} s there was no {program} to kill while a scheduler had been enabled for "
        f"{least:g} to {most:g} s"
    )


if __name__ == "__main__":
    sys.exit(main())
