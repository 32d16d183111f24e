"""What the agent does about real-time priority itself; the lifting is the loader's."""

import os
import threading

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
