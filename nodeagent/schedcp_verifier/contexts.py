"""Functions are called where the kernel allows; elsewhere locks are held, or nothing may sleep."""

from __future__ import annotations

from collections.abc import Iterator

from .effects import Effect
from .findings import Finding, Scene, surely

__all__ = ["calls_exist", "calls_in_place"]

_NEXT_TO_A_TASK = frozenset(
    {
        "runnable",
        "running",
        "stopping",
        "quiescent",
        "tick",
        "dequeue",
        "yield",
        "core_sched_before",
    }
    | {"enable", "disable", "set_weight", "set_cpumask", "set_cmask", "update_idle"}
    | {"cpu_acquire", "cpu_release"}
)
"""Operations that run under a runqueue's lock, in which no task can be queued."""
_ENQUEUEING = frozenset({"enqueue", "select_cpu", "select_cid"})
_REFUSED = {
    Effect.INSERT: (
        _NEXT_TO_A_TASK,
        "inserts a task, which only enqueue, select_cpu and dispatch may: remember it and insert "
        "it there",
    ),
    Effect.CONSUME: (
        _NEXT_TO_A_TASK | _ENQUEUEING,
        "takes a task out of a queue, which only dispatch may: kick the CPU that is to do it",
    ),
    Effect.MOVE: (
        _NEXT_TO_A_TASK | _ENQUEUEING,
        "moves a task between queues under a lock: do it in dispatch, or in a timer",
    ),
    Effect.CREATE: (
        _NEXT_TO_A_TASK | _ENQUEUEING | {"dispatch"},
        "creates a queue, which may sleep, where nothing may: create it in init, init_task or "
        "cgroup_init",
    ),
}


def calls_exist(scene: Scene) -> Iterator[Finding]:
    """L06: what this kernel lacks is not called, however it was declared."""
    for event in scene.behaviour.of("absent"):
        yield surely(
            f"{event.operation} calls {event.name}(), which this kernel does not have, without "
            "asking bpf_ksym_exists() first: the kernel loads no such program",
            "L06",
            lines=[scene.behaviour.line(event)],
        )


def calls_in_place(scene: Scene) -> Iterator[Finding]:
    """L07: nothing is called in an operation in which the kernel does not allow it."""
    for effect, (refused, words) in _REFUSED.items():
        for event in scene.behaviour.of(effect):
            if event.operation in refused:
                yield surely(
                    f"{event.operation} {words}", "L07", lines=[scene.behaviour.line(event)]
                )
