"""The functions of each class: who belongs to it, its order, whom it preempts; and its turns."""

from __future__ import annotations

from collections.abc import Iterator

from schedcp_api.compositions import (
    ByWork,
    Composition,
    Deadline,
    OrderKind,
    TaskClass,
    WeightedVtime,
    WeightOf,
    WhenWoken,
    WorkBy,
)

from .knobs import RANGES, ends_of
from .serving import serving_of
from .shapes import cap_knob_of, clocked_classes, id_of

__all__ = ["functions_of", "order_of"]

_FROM_HEAD, _FROM_TAIL = "0", "SCX_DSQ_ITER_REV"


def functions_of(composition: Composition) -> Iterator[str]:
    """Yield the functions that the operations call."""
    for task_class in composition.classes[:-1]:
        yield _matches(task_class)
    yield _class_of(composition)
    for task_class in clocked_classes(composition):
        yield _vtime_order(task_class)
    for task_class in composition.classes:
        if isinstance(task_class.preemption, WhenWoken):
            yield from _preemption(task_class)
    yield from serving_of(composition)
    yield _ageing(composition)


def _matches(task_class: TaskClass) -> str:
    lines = []
    flags = (
        (task_class.match.kernel_thread, "is_kthread(p)"),
        (task_class.match.target, "tctx->target"),
    )
    for asked, condition in flags:
        if asked is not None:
            lines += [f"\tif ({'!' if asked else ''}{condition})", "\t\treturn false;"]
    for quantity in RANGES:
        for _, _, refusing in ends_of(task_class, quantity):
            lines += [f"\tif ({refusing})", "\t\treturn false;"]
    body = "\n".join(lines)
    return (
        f"static bool in_{task_class.name}(struct task_struct *p, const struct task_ctx *tctx)\n"
        f"{{\n{body}\n\treturn true;\n}}"
    )


def _class_of(composition: Composition) -> str:
    *before, last = composition.classes
    lines = "".join(
        f"\tif (in_{task_class.name}(p, tctx))\n\t\treturn {id_of(task_class)};\n"
        for task_class in before
    )
    return (
        "static u32 class_of(struct task_struct *p, const struct task_ctx *tctx)\n"
        f"{{\n{lines}\treturn {id_of(last)};\n}}"
    )


def order_of(task_class: TaskClass) -> str:
    """Return the expression for the order of a task in its class."""
    order, name = task_class.order, task_class.name
    if isinstance(order, Deadline):
        return f"deadline_order(p, tctx, {name}_budget_ns)"
    if isinstance(order, WeightedVtime) and order.weight_of is WeightOf.CGROUP:
        return "group_order(p)"
    if isinstance(order, WeightedVtime):
        return f"order_in_{name}(wait, tctx)"
    if isinstance(order, ByWork):
        attained = "tctx->attained_ns"
        work = f"work_left(p, {attained})" if order.by is WorkBy.EXPECTED else attained
        primitive = "shortest" if order.kind is OrderKind.SHORTEST_FIRST else "longest"
        return f"{primitive}_order(p, {work})"
    return "bpf_ktime_get_ns()"


def _vtime_order(task_class: TaskClass) -> str:
    name = task_class.name
    arguments = f"wait, tctx, {id_of(task_class)}, clock_of_{name}, {name}_credit_ns"
    return (
        f"static u64 order_in_{name}(struct wait_ctx *wait, struct task_ctx *tctx)\n"
        f"{{\n\treturn vtime_order({arguments});\n}}"
    )


def _preemption(task_class: TaskClass) -> Iterator[str]:
    name, class_id = task_class.name, id_of(task_class)
    bounds = f"{class_id}, least_ns, {cap_knob_of(task_class)}"
    least = f"\tu64 least_ns = {name}_least_run_ns;\n\n"
    yield (
        f"static s32 victim_of_{name}(const struct task_struct *p, s32 prev_cpu)\n"
        f"{{\n{least}\treturn victim_claim(p, prev_cpu, {bounds});\n}}"
    )
    yield (
        f"static bool {name}_may_take(s32 cpu)\n{{\n{least}\treturn cpu_claim(cpu, {bounds});\n}}"
    )


def _ageing(composition: Composition) -> str:
    lines = "".join(
        f"\tclass_age({id_of(task_class)}, cpu, now, {end});\n"
        for task_class in composition.classes
        for end in _oldest_at(task_class)
    )
    return (
        "static void classes_age(s32 cpu)\n{\n\tu64 now = bpf_ktime_get_ns();\n\n"
        f"\tif (!scan_due(now))\n\t\treturn;\n{lines}"
        "\tdsq_age(pinned_dsq(cpu), first_dsq(cpu), now);\n}"
    )


def _oldest_at(task_class: TaskClass) -> tuple[str, ...]:
    """Return from which ends of a queue those are found who have waited too long."""
    order = task_class.order
    if isinstance(order, ByWork):
        return _FROM_TAIL, _FROM_HEAD
    by_task = isinstance(order, WeightedVtime) and order.weight_of is WeightOf.TASK
    return (_FROM_TAIL if by_task else _FROM_HEAD,)
