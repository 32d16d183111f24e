"""The top comment: what a composition says, in sentences made here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from schedcp_api.compositions import (
    WEIGHED,
    ByWork,
    Composition,
    Deadline,
    Order,
    OrderKind,
    Placement,
    Range,
    Sharing,
    TaskClass,
    Topology,
    WeightedVtime,
    WeightOf,
    WhenWoken,
    WorkBy,
)

__all__ = ["top_comment"]

_WIDTH = 96
_SHARING = {
    Sharing.STRICT: "Earlier classes go first",
    Sharing.TURNS: "Classes take turns by weight",
    Sharing.VIRTUAL_TIME: "Classes share CPU time by weight",
    Sharing.BANDWIDTH: "Classes that had less than they are assured go first",
}
_TOPOLOGIES = {
    Topology.GLOBAL: "each has one queue for all CPUs",
    Topology.LLC: "each has a queue for each last-level cache, and idle CPUs take from the others",
    Topology.CPU: "each has a queue for each CPU, and idle CPUs take from the others",
}
_PLACEMENTS = {
    Placement.PREVIOUS_CPU: "they wake on the CPU before if it is idle",
    Placement.IDLE_SIBLING: "they wake on an idle CPU near the one before",
    Placement.ANY_IDLE: "they wake on any idle CPU",
    Placement.SYNC_WAKER: "they wake on the CPU of a waker about to sleep, or an idle one",
}
_LIKENESS = {
    "burst_us": "bursts of {} us",
    "sleep_percent": "sleeps of {} percent of the time",
    "wakeups_per_second": "{} wakeups a second",
    "nice": "nice {}",
    "cgroup_weight": "cpu.weight {}",
    "threads": "{} threads in the process",
    "age_ms": "{} ms of age",
    "parent_age_ms": "a parent of {} ms of age",
    "expected_ms": "{} ms of expected work",
}


def top_comment(composition: Composition) -> str:
    """Return the comment that begins a source."""
    paragraphs = [
        f"composed_{composition.name}: made from a composition of {_classes(composition)}.",
        f"{_SHARING[composition.sharing]}; {_TOPOLOGIES[composition.topology]}. Tasks that only "
        "one CPU may run wait there by virtual time, and have every other turn of that CPU. "
        f"Whoever has waited for {composition.ageing_ms} ms goes before all of these; only kernel "
        "threads of one CPU are ahead of that.",
        *(_of_class(composition, task_class) for task_class in composition.classes),
    ]
    lines = [line for text in paragraphs for line in ("", *textwrap.wrap(text, _WIDTH))][1:]
    return "\n".join(["/*", *(f" * {line}".rstrip() for line in lines), " */"])


def _classes(composition: Composition) -> str:
    count = len(composition.classes)
    return "one class" if count == 1 else f"{count} classes"


def _of_class(composition: Composition, task_class: TaskClass) -> str:
    parts = [
        f"{task_class.name}: {_likeness(task_class)}. They run {_order(task_class.order)}, for "
        f"{task_class.slice_us} us at a time",
        _PLACEMENTS[task_class.placement],
        *_claims(composition, task_class),
    ]
    return "; ".join(parts) + "."


def _likeness(task_class: TaskClass) -> str:
    parts = []
    if task_class.match.kernel_thread is not None:
        parts.append("kernel threads" if task_class.match.kernel_thread else "no kernel threads")
    if task_class.match.target is not None:
        parts.append("cgroups that are listed" if task_class.match.target else "unlisted cgroups")
    for field, words in _LIKENESS.items():
        found: Range | None = getattr(task_class.match, field)
        if found is not None:
            parts.append(words.format(_range(found)))
    return f"tasks with {', '.join(parts)}" if parts else "all other tasks"


def _range(found: Range) -> str:
    if found.at_least is None:
        return f"at most {found.at_most}"
    if found.at_most is None:
        return f"at least {found.at_least}"
    return f"{found.at_least} to {found.at_most}"


def _order(order: Order) -> str:
    if isinstance(order, Deadline):
        return f"by arrival and measured burst, the latter {order.budget_us} us at most"
    if isinstance(order, WeightedVtime):
        if order.weight_of is WeightOf.CGROUP:
            return "by the virtual time of their cgroups"
        return f"by virtual time, with {order.credit_us} us of credit"
    if isinstance(order, ByWork):
        first = "shortest" if order.kind is OrderKind.SHORTEST_FIRST else "longest"
        work = "expected work left" if order.by is WorkBy.EXPECTED else "attained work"
        return f"by {work}, {first} first"
    return "in order of arrival"


def _claims(composition: Composition, task_class: TaskClass) -> Iterator[str]:
    if isinstance(task_class.preemption, WhenWoken):
        run = task_class.preemption.minimum_run_us
        yield f"who wakes preempts classes below that have run for {run} us"
    if task_class.bandwidth_percent is not None:
        yield f"they are assured {task_class.cap} percent of each CPU"
    elif task_class.cap is not None:
        yield f"up to {task_class.cap} percent of a CPU they go ahead of others"
    if composition.sharing in WEIGHED:
        yield f"their weight is {task_class.share}"
