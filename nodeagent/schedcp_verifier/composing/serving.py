"""How a CPU is served: which class goes first, and who is left."""

from __future__ import annotations

from collections.abc import Iterator

from schedcp_api.compositions import WEIGHED, Composition, Sharing, TaskClass, Topology

from .shapes import cap_knob_of, class_that_goes_on, id_of

__all__ = ["SERVE", "serving_of"]

SERVE = "serve"


def serving_of(composition: Composition) -> Iterator[str]:
    """Yield the functions that give a CPU a task of some class; no queue is tried twice."""
    if composition.topology is not Topology.GLOBAL:
        yield _steal(composition)
    if composition.sharing not in WEIGHED:
        yield from (_may_lead(c) for c in composition.classes if c.cap is not None)
        yield _serve(composition, *_in_order(composition))
        return
    yield _by_class(composition, "u32 share_weight_of", "share_weight")
    yield _by_class(composition, "u64 slice_of", "slice_ns")
    yield _serve(composition, *_in_turn(composition))


def _serve(composition: Composition, declared: str, tried: str) -> str:
    last = "scx_bpf_dsq_move_to_local(pinned_dsq(cpu))"
    if composition.topology is not Topology.GLOBAL:
        last = f"if (!{last})\n\t\tsteal(cpu)"
    return (
        f"static void {SERVE}(s32 cpu, struct task_struct *prev)\n{{\n"
        f"\tstruct cpu_ctx *cctx = cpu_ctx_of(cpu);\n{declared}\n"
        "\tif (bound_turn(cctx) && scx_bpf_dsq_move_to_local(pinned_dsq(cpu)))\n\t\treturn;\n"
        f"{tried}\t{last};\n}}"
    )


def _in_order(composition: Composition) -> tuple[str, str]:
    """Return how classes are served in order, and those beyond their share after all others."""
    declared = tried = left = ""
    for task_class in composition.classes:
        name, class_id = task_class.name, id_of(task_class)
        asked = ""
        if task_class.cap is not None:
            declared += f"\tbool {name}_leads = may_lead_{name}(cctx);\n"
            asked = f"{name}_leads && "
            left += f"\tif (!{name}_leads && class_move_to_local({class_id}, cpu))\n\t\treturn;\n"
        if task_class is class_that_goes_on(composition):
            tried += f"\tif (goes_on(prev, {class_id}, {name}_slice_ns))\n\t\treturn;\n"
        tried += f"\tif ({asked}class_move_to_local({class_id}, cpu))\n\t\treturn;\n"
        tried += f"\tif ({asked}stays(prev, {class_id}, {name}_slice_ns))\n\t\treturn;\n"
    return declared, tried + left


def _in_turn(composition: Composition) -> tuple[str, str]:
    """Return how the class is served whose turn it is, and all others when it has nothing."""
    declared = "\tu32 class = cctx ? class_next(cctx, NR_CLASSES) : 0;\n"
    ids = [id_of(task_class) for task_class in composition.classes]
    its, others = (
        "".join(
            f"\tif (class {sign} {class_id} && class_move_to_local({class_id}, cpu))\n\t\treturn;\n"
            for class_id in ids
        )
        for sign in ("==", "!=")
    )
    stay = (
        "\tif (cctx && stays(prev, class, slice_of(class))) {\n"
        f"{_TURN if composition.sharing is Sharing.TURNS else ''}\t\treturn;\n\t}}\n"
        "\tif (cctx)\n\t\tclass_forfeit(cctx, class);\n"
    )
    return declared, f"{its}{stay}{others}"


_TURN = "\t\tclass_charge(cctx, class, TURN_COST, share_weight_of(class));\n"


def _may_lead(task_class: TaskClass) -> str:
    bounds = f"{id_of(task_class)}, {cap_knob_of(task_class)}"
    return (
        f"static bool may_lead_{task_class.name}(struct cpu_ctx *cctx)\n"
        f"{{\n\treturn cctx && !over_cap(cctx, {bounds});\n}}"
    )


def _steal(composition: Composition) -> str:
    lines = "".join(
        f"\t\tif (scx_bpf_dsq_move_to_local(class_dsq({id_of(task_class)}, home)))\n"
        "\t\t\treturn true;\n"
        for task_class in composition.classes
    )
    return (
        "/* Take from whoever has something, beginning with the nearest by number. */\n"
        "static bool steal(s32 cpu)\n{\n\ts32 homes = scx_bpf_nr_cpu_ids(), step;\n\n"
        "\tbpf_for (step, 1, homes) {\n\t\ts32 home = (cpu + step) % (homes ?: 1);\n\n"
        f"{lines}\t}}\n\treturn false;\n}}"
    )


def _by_class(composition: Composition, function: str, knob: str) -> str:
    """Return a function that gives a knob of the class that it is asked about."""
    *before, last = composition.classes
    cases = "".join(
        f"\tcase {id_of(task_class)}:\n\t\treturn {task_class.name}_{knob};\n"
        for task_class in before
    )
    switch = f"\tswitch (class) {{\n{cases}\t}}\n" if before else ""
    return f"static {function}(u32 class)\n{{\n{switch}\treturn {last.name}_{knob};\n}}"
