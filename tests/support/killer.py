"""Kills a program of this machine: `killer.py PROGRAM GAUGE LEAST MOST DEADLINE`, in seconds.

Runs on a node of the lab, where to be started takes seconds: so it waits itself until the program
GAUGE, which may be the same, has run for between LEAST and MOST seconds, and kills PROGRAM then. It
prints how many schedulers the kernel had enabled by then, since it was started; when nothing could
be killed until DEADLINE it says so and exits with 1.
"""

import os
import signal
import sys
import time
from pathlib import Path

ENABLE_SEQ = Path("/sys/kernel/sched_ext/enable_seq")


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


def age_seconds(pid: int) -> float:
    """Return for how long a process has run; less than nothing when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return -1.0
    return uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def main() -> str | None:
    """Kill; return what went wrong."""
    (program, gauge), (least, most, deadline) = sys.argv[1:3], map(float, sys.argv[3:])
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        timely = [pid for pid in processes(gauge) if least <= age_seconds(pid) <= most]
        found = timely if program == gauge else processes(program)
        if timely and found:
            enabled = ENABLE_SEQ.read_text().strip()
            for pid in found:
                os.kill(pid, signal.SIGKILL)
            print(enabled)
            return None
        time.sleep(0.2)
    return (
        f"in {deadline:g} s there was no {program} to kill while {gauge} had run for {least:g} to "
        f"{most:g} s"
    )


if __name__ == "__main__":
    sys.exit(main())
