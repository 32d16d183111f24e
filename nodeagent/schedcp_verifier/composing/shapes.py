"""What a composition needs, asked in more than one place."""

from __future__ import annotations

from collections.abc import Iterator

from schedcp_api.compositions import (
    WEIGHED,
    ByWork,
    Composition,
    TaskClass,
    Topology,
    WeightedVtime,
    WeightOf,
    WorkBy,
)

__all__ = [
    "cap_knob_of",
    "charges_groups",
    "class_that_goes_on",
    "clocked_classes",
    "expects_work",
    "id_of",
    "job_classes",
    "knows_groups",
    "looks_of",
]


def id_of(task_class: TaskClass) -> str:
    """Return the enumerator of a class."""
    return f"CLASS_{task_class.name.upper()}"


def cap_knob_of(task_class: TaskClass) -> str:
    """Return the knob with the share of a CPU up to which a class goes first."""
    what = "cap" if task_class.bandwidth_percent is None else "bandwidth"
    return f"{task_class.name}_{what}_percent"


def clocked_classes(composition: Composition) -> Iterator[TaskClass]:
    """Yield the classes that have a clock of their own: those by the tasks' virtual time."""
    for task_class in composition.classes:
        order = task_class.order
        if isinstance(order, WeightedVtime) and order.weight_of is WeightOf.TASK:
            yield task_class


def class_that_goes_on(composition: Composition) -> TaskClass | None:
    """Return the class whose running task may go on: one that owes nothing to other classes."""
    last = composition.classes[-1]
    in_order = composition.sharing not in WEIGHED and composition.topology is Topology.GLOBAL
    return last if in_order and last in tuple(clocked_classes(composition)) else None


def job_classes(composition: Composition) -> Iterator[TaskClass]:
    """Yield the classes that go by the work of jobs."""
    for task_class in composition.classes:
        if isinstance(task_class.order, ByWork):
            yield task_class


def looks_of(composition: Composition) -> tuple[str, ...]:
    """Return the fields of a task that its cgroup says, looked up whenever it begins to run."""
    matches = [task_class.match for task_class in composition.classes]
    target = ("target",) if any(match.target is not None for match in matches) else ()
    expected = ("expected_ns",) if any(match.expected_ms for match in matches) else ()
    weighed = any(match.cgroup_weight for match in matches)
    return target + expected + (("group_weight",) if weighed else ())


def expects_work(composition: Composition) -> bool:
    """Say whether user space is asked for expected run times."""
    orders = [task_class.order for task_class in composition.classes]
    ordered = any(isinstance(order, ByWork) and order.by is WorkBy.EXPECTED for order in orders)
    return ordered or "expected_ns" in looks_of(composition)


def charges_groups(composition: Composition) -> bool:
    """Say whether cgroups have virtual time."""
    orders = [task_class.order for task_class in composition.classes]
    return any(
        isinstance(order, WeightedVtime) and order.weight_of is WeightOf.CGROUP for order in orders
    )


def knows_groups(composition: Composition) -> bool:
    """Say whether the weights of cgroups are kept."""
    asked = any(task_class.match.cgroup_weight for task_class in composition.classes)
    return asked or charges_groups(composition)
