"""The knobs of a composed scheduler: read-only globals, which may be set before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from schedcp_api.compositions import (
    WEIGHED,
    ByWork,
    Composition,
    Deadline,
    Range,
    Sharing,
    TaskClass,
    WeightedVtime,
    WeightOf,
    WhenWoken,
)

from .shapes import cap_knob_of

__all__ = ["RANGES", "Quantity", "ends_of", "knobs_of"]

_SCALES = {"us": "NSEC_PER_USEC", "ms": "NSEC_PER_MSEC"}


@dataclass(frozen=True)
class Quantity:
    """What a range of a match is about: its place in the noun, its knobs, and how C asks it."""

    field: str
    knob: str
    least: str
    """The condition that holds for a task below `atLeast`; `{knob}` is its knob."""
    most: str
    unit: str = ""
    type: str = "u32"


RANGES = (
    Quantity(
        "burst_us",
        "burst_ns",
        "behaviour_is_brief(&tctx->behaviour, {knob} - 1)",
        "!behaviour_is_brief(&tctx->behaviour, {knob})",
        "us",
        "u64",
    ),
    Quantity(
        "sleep_percent",
        "sleep_percent",
        "!behaviour_sleeps_for(&tctx->behaviour, {knob})",
        "behaviour_sleeps_for(&tctx->behaviour, {knob} + 1)",
    ),
    Quantity(
        "wakeups_per_second", "wakeups", "wakeups_of(tctx) < {knob}", "wakeups_of(tctx) > {knob}"
    ),
    Quantity("nice", "nice", "nice_of(p) < {knob}", "nice_of(p) > {knob}", type="s32"),
    Quantity(
        "cgroup_weight",
        "cgroup_weight",
        "tctx->group_weight < {knob}",
        "tctx->group_weight > {knob}",
    ),
    Quantity("threads", "threads", "threads_of(p) < {knob}", "threads_of(p) > {knob}"),
    Quantity("age_ms", "age_ns", "age_of(p) < {knob}", "age_of(p) > {knob}", "ms", "u64"),
    Quantity(
        "parent_age_ms",
        "parent_age_ns",
        "parent_age_of(p) < {knob}",
        "parent_age_of(p) > {knob}",
        "ms",
        "u64",
    ),
    Quantity(
        "expected_ms",
        "expected_ns",
        "tctx->expected_ns < {knob}",
        "!tctx->expected_ns || tctx->expected_ns > {knob}",
        "ms",
        "u64",
    ),
)


@dataclass(frozen=True)
class _Knob:
    """A read-only global with its value."""

    name: str
    type: str
    value: int
    unit: str = ""

    @property
    def text(self) -> str:
        """The definition in C."""
        scale = f" * (u64){_SCALES[self.unit]}" if self.unit else ""
        return f"const volatile {self.type} {self.name} = {self.value}{scale};"


def ends_of(task_class: TaskClass, quantity: Quantity) -> Iterator[tuple[str, int, str]]:
    """Yield the knob, the value and the refusing condition of each end that a match gives."""
    found: Range | None = getattr(task_class.match, quantity.field)
    if found is None:
        return
    if found.at_least is not None:
        knob = f"{task_class.name}_least_{quantity.knob}"
        yield knob, found.at_least, quantity.least.format(knob=knob)
    if found.at_most is not None:
        knob = f"{task_class.name}_most_{quantity.knob}"
        yield knob, found.at_most, quantity.most.format(knob=knob)


def knobs_of(composition: Composition) -> str:
    """Return the definitions of all knobs, a paragraph for each class."""
    return "\n\n".join(
        "\n".join(
            [
                f"/* {task_class.name} */",
                *(knob.text for knob in _of_class(task_class, composition.sharing)),
            ]
        )
        for task_class in composition.classes
    )


def _of_class(task_class: TaskClass, sharing: Sharing) -> Iterator[_Knob]:
    name, order = task_class.name, task_class.order
    for quantity in RANGES:
        for knob, value, _ in ends_of(task_class, quantity):
            yield _Knob(knob, quantity.type, value, quantity.unit)
    yield _Knob(f"{name}_slice_ns", "u64", task_class.slice_us, "us")
    if isinstance(order, Deadline):
        yield _Knob(f"{name}_budget_ns", "u64", order.budget_us, "us")
    if isinstance(order, WeightedVtime) and order.weight_of is WeightOf.TASK:
        yield _Knob(f"{name}_credit_ns", "u64", order.credit_us, "us")
    if isinstance(order, ByWork):
        yield _Knob(f"{name}_job_gap_ns", "u64", order.job_gap_ms, "ms")
    if isinstance(task_class.preemption, WhenWoken):
        yield _Knob(f"{name}_least_run_ns", "u64", task_class.preemption.minimum_run_us, "us")
    if task_class.cap is not None:
        yield _Knob(cap_knob_of(task_class), "u32", task_class.cap)
    if sharing in WEIGHED:
        yield _Knob(f"{name}_share_weight", "u32", task_class.share)
