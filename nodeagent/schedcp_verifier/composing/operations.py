"""The operations of a composed scheduler, in life-cycle order, and its table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from schedcp_api.compositions import Composition, Placement, Sharing, TaskClass, WhenWoken

from .functions import order_of
from .serving import SERVE
from .shapes import (
    charges_groups,
    clocked_classes,
    id_of,
    job_classes,
    knows_groups,
    looks_of,
)

__all__ = ["operations_of"]

_PLACEMENTS = {
    Placement.PREVIOUS_CPU: "previous_cpu",
    Placement.IDLE_SIBLING: "idle_sibling",
    Placement.ANY_IDLE: "any_idle",
    Placement.SYNC_WAKER: "sync_waker",
}
_CONTEXTS = """\
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
"""
_CPU_CONTEXT = "\tstruct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));\n"
_TABLE = (
    "select_cpu",
    "enqueue",
    "dispatch",
    "runnable",
    "running",
    "stopping",
    "quiescent",
    "init_task",
    "cpu_release",
)
_LOOKS = {
    "target": "is_target(cgroup_of(p))",
    "expected_ns": "expected_in(cgroup_of(p))",
    "group_weight": "group_weight_of(p)",
}
_FIRST_LOOKS = {
    "target": "is_target(BPF_CORE_READ(args, cgroup))",
    "expected_ns": "expected_in(BPF_CORE_READ(args, cgroup))",
    "group_weight": "group_weight_by_id(BPF_CORE_READ(args, cgroup, kn, id))",
}
"""Of a task that is made, and is not yet in its cgroup."""
_GROUP_TABLE = ("cgroup_init", "cgroup_set_weight")


def operations_of(composition: Composition) -> Iterator[str]:
    """Yield each operation and the table."""
    yield _select_cpu(composition)
    yield _enqueue(composition)
    yield _charge(composition)
    yield _SETTLE
    yield _DISPATCH
    yield _runnable(composition)
    yield _running(composition)
    yield _stopping(composition)
    yield _QUIESCENT
    yield _init_task(composition)
    yield _CPU_RELEASE
    if knows_groups(composition):
        yield from (_CGROUP_INIT, _CGROUP_SET_WEIGHT)
    yield _init(composition)
    yield _EXIT
    yield _table(composition)


def _init_task(composition: Composition) -> str:
    body = "\treturn class_ctx_create(p);\n"
    if looks_of(composition):
        body = (
            "\ts32 err = class_ctx_create(p);\n"
            "\tstruct task_ctx *tctx = task_ctx_of(p);\n\n"
            "\tif (!tctx)\n\t\treturn err;\n"
            f"{_looks(composition, _FIRST_LOOKS)}\treturn err;\n"
        )
    return (
        "s32 SCHEDCP_OPS_SLEEPABLE(composed_init_task, struct task_struct *p,\n"
        f"\t\t\t  struct scx_init_task_args *args)\n{{\n{body}}}"
    )


def _looks(composition: Composition, looks: Mapping[str, str]) -> str:
    """Return the assignments of what a task's cgroup says."""
    return "".join(f"\ttctx->{field} = {looks[field]};\n" for field in looks_of(composition))


def _select_cpu(composition: Composition) -> str:
    last = id_of(composition.classes[-1])
    victims = any(isinstance(c.preemption, WhenWoken) for c in composition.classes)
    cases = "".join(_select_case(task_class) for task_class in composition.classes)
    return (
        "s32 SCHEDCP_OPS(composed_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)"
        "\n{\n\tstruct task_ctx *tctx = task_ctx_of(p);\n"
        f"\tu32 class = tctx ? class_of(p, tctx) : {last};\n"
        f"\ts32 cpu = prev_cpu{', victim' if victims else ''};\n"
        f"\tbool is_idle = false;\n\n\tswitch (class) {{\n{cases}\t}}\n\treturn cpu;\n}}"
    )


def _select_case(task_class: TaskClass) -> str:
    name = task_class.name
    text = (
        f"\tcase {id_of(task_class)}:\n"
        f"\t\tcpu = {_PLACEMENTS[task_class.placement]}(p, prev_cpu, wake_flags, &is_idle);\n"
    )
    insert = f"idle_insert(p, {name}_slice_ns);\n"
    if not isinstance(task_class.preemption, WhenWoken):
        return f"{text}\t\tif (is_idle)\n\t\t\t{insert}\t\tbreak;\n"
    return (
        f"{text}\t\tif (is_idle) {{\n\t\t\t{insert}\t\t\tbreak;\n\t\t}}\n"
        f"\t\tvictim = victim_of_{name}(p, prev_cpu);\n"
        "\t\tif (victim < 0)\n\t\t\tbreak;\n"
        f"\t\tpreempt_insert(p, {name}_slice_ns);\n\t\treturn victim;\n"
    )


def _enqueue(composition: Composition) -> str:
    cases = "".join(_enqueue_case(task_class) for task_class in composition.classes)
    last = composition.classes[-1].name
    return (
        "void SCHEDCP_OPS(composed_enqueue, struct task_struct *p, u64 enq_flags)\n"
        f"{{\n{_CONTEXTS}\tu64 order;\n\n\tif (!wait || !tctx) {{\n"
        f"\t\tscx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, {last}_slice_ns, enq_flags);\n"
        f"\t\treturn;\n\t}}\n\tswitch (class_of(p, tctx)) {{\n{cases}\t}}\n}}"
    )


def _enqueue_case(task_class: TaskClass) -> str:
    name, class_id = task_class.name, id_of(task_class)
    preempting = (
        f"\t\tif (woken_here(p, enq_flags) && {name}_may_take(scx_bpf_task_cpu(p))) {{\n"
        f"\t\t\tpreempt_insert(p, {name}_slice_ns);\n\t\t\tbreak;\n\t\t}}\n"
    )
    return (
        f"\tcase {class_id}:\n"
        f"{preempting if isinstance(task_class.preemption, WhenWoken) else ''}"
        f"\t\tif (bound_insert(p, wait, tctx, {name}_slice_ns, enq_flags))\n\t\t\tbreak;\n"
        f"\t\torder = {order_of(task_class)};\n"
        f"\t\tclass_insert(p, wait, {class_id}, {name}_slice_ns, order, enq_flags);\n\t\tbreak;\n"
    )


def _runnable(composition: Composition) -> str:
    gaps = [f"{task_class.name}_job_gap_ns" for task_class in job_classes(composition)]
    classes = list(job_classes(composition))
    text = (
        "void SCHEDCP_OPS(composed_runnable, struct task_struct *p, u64 enq_flags)\n"
        "{\n\tstruct task_ctx *tctx = task_ctx_of(p);\n\n\tif (!tctx)\n\t\treturn;\n"
    )
    for task_class, gap in zip(classes, gaps, strict=True):
        text += f"\tif (tctx->class == {id_of(task_class)})\n\t\tjob_wake(tctx, {gap});\n"
    return f"{text}\tbehaviour_wake(&tctx->behaviour);\n}}"


def _running(composition: Composition) -> str:
    text = (
        "void SCHEDCP_OPS(composed_running, struct task_struct *p)\n"
        f"{{\n{_CONTEXTS}{_CPU_CONTEXT}\n\tif (!wait || !tctx || !cctx)\n\t\treturn;\n"
        f"{_looks(composition, _LOOKS)}"
        "\tclass_running(p, wait, tctx, cctx, class_of(p, tctx));\n"
        "\tbound_running(p, wait, tctx, cctx);\n"
    )
    if composition.sharing is Sharing.TURNS:
        weight = "share_weight_of(tctx->class)"
        text += f"\tclass_charge(cctx, tctx->class, TURN_COST, {weight});\n"
    for task_class in clocked_classes(composition):
        clock = f"clock_of_{task_class.name}"
        text += f"\tclock_advance(&{clock}, wait, tctx, {id_of(task_class)});\n"
    return f"{text}}}"


def _stopping(composition: Composition) -> str:
    """Return ops.stopping: cgroups are charged here only, where the kernel tells a task's."""
    groups = ""
    if charges_groups(composition):
        groups = "\tgroup_charge(p, tctx->deferred_ns);\n\ttctx->deferred_ns = 0;\n"
    return (
        "void SCHEDCP_OPS(composed_stopping, struct task_struct *p, bool runnable)\n"
        f"{{\n{_CONTEXTS}{_CPU_CONTEXT}\n\tif (!wait || !tctx || !cctx)\n\t\treturn;\n"
        f"\tcharge(p, wait, tctx, cctx);\n{groups}}}"
    )


def _charge(composition: Composition) -> str:
    charges = []
    if composition.sharing is Sharing.VIRTUAL_TIME:
        weight = "share_weight_of(tctx->class)"
        charges.append(f"\tclass_charge(cctx, tctx->class, used, {weight});\n")
    if charges_groups(composition):
        charges.append("\ttctx->deferred_ns += used;\n")
    declared = "\tu64 used;\n" if charges else ""
    stopping = "class_stopping(p, wait, tctx, cctx);\n"
    return (
        "/* Charge a task for what it ran since it was charged last. */\n"
        "static void charge(struct task_struct *p, struct wait_ctx *wait, struct task_ctx *tctx,\n"
        "\t\t   struct cpu_ctx *cctx)\n"
        f"{{\n{declared}{chr(10) if charges else ''}"
        f"\t{'used = ' if charges else ''}{stopping}{''.join(charges)}}}"
    )


_SETTLE = f"""\
/* ops.dispatch comes before ops.stopping: charge who would go on, and see in which class it is. */
static void settle(struct task_struct *p)
{{
{_CONTEXTS}{_CPU_CONTEXT}
	if (!wait || !tctx || !cctx)
		return;
	charge(p, wait, tctx, cctx);
	class_running(p, wait, tctx, cctx, class_of(p, tctx));
}}"""

_DISPATCH = f"""\
void SCHEDCP_OPS(composed_dispatch, s32 cpu, struct task_struct *prev)
{{
	classes_age(cpu);
	if (wants_on(prev))
		settle(prev);
	if (!first_move_to_local(cpu))
		{SERVE}(cpu, prev);
}}"""

_QUIESCENT = """\
void SCHEDCP_OPS(composed_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (tctx)
		behaviour_sleep(&tctx->behaviour, deq_flags);
}"""

_CPU_RELEASE = """\
/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(composed_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}"""

_CGROUP_INIT = (
    "s32 SCHEDCP_OPS_SLEEPABLE(composed_cgroup_init, struct cgroup *cgroup,\n"
    "\t\t\t  struct scx_cgroup_init_args *args)\n"
    "{\n\treturn group_create(cgroup, args->weight);\n}"
)

_CGROUP_SET_WEIGHT = """\
void SCHEDCP_OPS(composed_cgroup_set_weight, struct cgroup *cgroup, u32 weight)
{
	group_set_weight(cgroup, weight);
}"""

_EXIT = """\
void SCHEDCP_OPS(composed_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}"""


def _init(composition: Composition) -> str:
    creating = "".join(
        f"\terr = err ?: class_dsqs_create({id_of(task_class)});\n"
        for task_class in composition.classes[:-1]
    )
    last = f"class_dsqs_create({id_of(composition.classes[-1])})"
    return (
        "s32 SCHEDCP_OPS_SLEEPABLE(composed_init)\n"
        "{\n\ts32 err = other_dsqs_create();\n\n\thomes_find();\n"
        f"{creating}\treturn err ?: {last};\n}}"
    )


def _table(composition: Composition) -> str:
    groups = _GROUP_TABLE if knows_groups(composition) else ()
    members = "".join(
        f"\t.{operation} = (void *)composed_{operation},\n"
        for operation in (*_TABLE, *groups, "init", "exit")
    )
    return (
        'SEC(".struct_ops.link")\nstruct sched_ext_ops composed_ops = {\n'
        f"{members}\t.timeout_ms = {composition.timeout_ms},\n"
        f'\t.name = "composed_{composition.name}",\n}};'
    )
