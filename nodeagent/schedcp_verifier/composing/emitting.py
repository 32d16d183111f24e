"""From a composition to C: what differs from one to the next; the rest is in the headers.

The code is that of `schedulers/include/schedcp`: primitives by name, one line for each decision.
No line is ever longer than the formatter allows, whatever the names are, so that nothing is broken.
"""

from __future__ import annotations

from schedcp_api.compositions import WEIGHED, Composition, Topology

from .describing import top_comment
from .functions import functions_of
from .knobs import knobs_of
from .operations import operations_of
from .shapes import (
    clocked_classes,
    expects_work,
    id_of,
    knows_groups,
    looks_of,
)

__all__ = ["compose"]

_LICENSE = "// SPDX-License-Identifier: GPL-2.0"
_DEFAULT_BURST_US = 4000
_TOPOLOGIES = {
    Topology.GLOBAL: "topology_global",
    Topology.LLC: "topology_llc",
    Topology.CPU: "topology_cpu",
}


def compose(composition: Composition) -> str:
    """Return the C source of the scheduler that a composition describes."""
    parts = (
        f"{_LICENSE}\n{top_comment(composition)}\n{_defaults(composition)}",
        _includes(composition),
        "SCHEDCP_LICENSE;",
        _class_ids(composition),
        knobs_of(composition),
        *_clocks(composition),
        *functions_of(composition),
        *operations_of(composition),
    )
    return "\n\n".join(parts) + "\n"


def _defaults(composition: Composition) -> str:
    ranges = [task_class.match.burst_us for task_class in composition.classes]
    ends = [end for r in ranges if r is not None for end in (r.at_least, r.at_most) if end]
    burst = max(ends, default=_DEFAULT_BURST_US)
    return (
        f"#define AGEING_NS ({composition.ageing_ms} * (u64)NSEC_PER_MSEC)\n\n"
        "/* Bursts of twice this length and more are not told apart. */\n"
        f"#define BURST_LIMIT_NS ({burst} * (u64)NSEC_PER_USEC)"
    )


def _includes(composition: Composition) -> str:
    names = [_TOPOLOGIES[composition.topology], "placement", "orders", "going_on"]
    names += ["expectations"] if expects_work(composition) else []
    names += ["targets"] if "target" in looks_of(composition) else []
    names += ["groups"] if knows_groups(composition) else []
    names += ["sharing"] if composition.sharing in WEIGHED else []
    return "\n".join(f'#include "schedcp/{name}.bpf.h"' for name in names)


def _class_ids(composition: Composition) -> str:
    lines = "".join(f"\t{id_of(task_class)},\n" for task_class in composition.classes)
    return (
        f"/* In the order in which they go first. */\nenum task_class {{\n{lines}\tNR_CLASSES,\n}};"
    )


def _clocks(composition: Composition) -> list[str]:
    names = [f"u64 clock_of_{task_class.name};" for task_class in clocked_classes(composition)]
    if not names:
        return []
    return ["\n".join(["/* The virtual time of the task of a class that ran furthest. */", *names])]
