"""Kills a program of this machine: `killer.py PROGRAM LEAST MOST DEADLINE`, all in seconds.

Runs on a node of the lab, where to be started takes seconds: so it waits itself until the program
has run for between LEAST and MOST seconds, and kills it then. It prints the number of those it
killed; when there is none until DEADLINE it says so and exits with 1.
"""

import os
import signal
import sys
import time
from pathlib import Path


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
    program, (least, most, deadline) = sys.argv[1], map(float, sys.argv[2:])
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        found = [pid for pid in processes(program) if least <= age_seconds(pid) <= most]
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        if found:
            print(len(found))
            return None
        time.sleep(0.2)
    return f"no {program} has run for {least:g} to {most:g} s in the last {deadline:g} s"


if __name__ == "__main__":
    sys.exit(main())
