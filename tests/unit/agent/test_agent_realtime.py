"""What the agent does about real-time priority itself; the lifting is the loader's."""

import os
import re
import subprocess
import sys
import threading

import pytest

from schedcp_agent.realtime import come_down, try_priority


def test_trying_leaves_the_thread_ordinary() -> None:
    before = os.sched_getscheduler(0)
    said = try_priority(1)
    assert os.sched_getscheduler(0) == before == os.SCHED_OTHER
    assert said == "" or "SYS_NICE" in said


def test_threads_that_a_dead_loader_left_lifted_come_down() -> None:
    release, lifted = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (lifted.set(), release.wait(30)))
    thread.start()
    try:
        assert lifted.wait(30)
        number = thread.native_id or 0
        # SCHED_BATCH needs no privilege, and is not ordinary either.
        os.sched_setscheduler(number, os.SCHED_BATCH, os.sched_param(0))
        assert come_down() == 1
        assert os.sched_getscheduler(number) == os.SCHED_OTHER
        assert come_down() == 0
    finally:
        release.set()
        thread.join(30)


@pytest.mark.parametrize("limit", [(), ("prlimit", "--memlock=0")])
def test_memory_is_locked_or_it_is_said_what_is_missing(limit: tuple[str, ...]) -> None:
    # In a process of its own, without privileges: what is locked stays so until the process ends.
    script = (
        "from schedcp_agent.realtime import lock_memory; said = lock_memory();"
        "print(said); print(open('/proc/self/status').read())"
    )
    drop = ("setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock", "--")
    # Only root has what is to be dropped, and only root can drop it.
    command = [*limit, *(drop if os.geteuid() == 0 else ()), sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    said, _, status = done.stdout.partition("\n")
    locked = int(re.findall(r"^VmLck:\s+(\d+) kB$", status, re.MULTILINE)[0])
    assert ("IPC_LOCK" in said) == (locked == 0)
    assert locked == 0 or not limit
