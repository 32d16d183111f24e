"""Nothing is decided by who a task is: its name, its program, its number.

A policy that knows the benchmark by name shows a gain that nobody else gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .conditions import EQ
from .effects import Effect
from .events import Event
from .findings import Finding, Scene, surely
from .terms import Role, Term, stripped

__all__ = ["decided_by_name", "decided_by_number"]

_NAMES = re.compile(
    r"field:(task_struct\.comm|kernfs_node\.name|cgroup\.name|qstr\.name|dentry\.d_(name|iname|shortname)"
    r".*|file\.f_path.*|linux_binprm\..*|cgroup_subsys\.name|vm_area_struct\.vm_file.*"
    r"|mm_struct\.(exe_file|arg_start|env_start).*)"
)
_NUMBERS = re.compile(r"field:task_struct\.(pid|tgid)|field:kernfs_node\.id|current")
_KERNEL_PIDS = 2


def decided_by_name(scene: Scene) -> Iterator[Finding]:
    """Q11: no branch, no lookup and no text comparison on the name of something."""
    for asked in scene.behaviour.asked:
        _, a, b = asked.question
        for source in sorted(a.sources | b.sources):
            if _NAMES.fullmatch(source):
                yield surely(
                    f"decides by {source.removeprefix('field:')}: a name says nothing of what a "
                    "task needs and can be chosen; decide by behaviour (bursts, sleeps, weight)",
                    "Q11",
                    lines=[scene.behaviour.line(asked)],
                )
    for event in scene.behaviour.events:
        for role, term in _decisions(event):
            if any(_NAMES.fullmatch(source) for source in term.sources):
                yield surely(
                    f"a name decides the {role} of a task: decide by behaviour (bursts, sleeps, "
                    "weight)",
                    "Q11",
                    lines=[scene.behaviour.line(event)],
                )
    kinds = (Effect.LOOKUP, Effect.UPDATE, Effect.COMPARE_TEXT)
    for event in scene.behaviour.of(*kinds):
        for role, term in event.arguments.items():
            named = any(_NAMES.fullmatch(source) for source in term.sources)
            if named and (role.startswith(("key", "text")) or event.what is Effect.COMPARE_TEXT):
                yield surely(
                    "looks a name up: decide by behaviour (bursts, sleeps, weight)",
                    "Q11",
                    lines=[scene.behaviour.line(event)],
                )


def _decisions(event: Event) -> Iterator[tuple[str, Term]]:
    """Yield what an event decides about a task."""
    if event.what in (Effect.INSERT, Effect.MOVE, Effect.SET_SLICE, Effect.SET_VTIME):
        for role in ("queue", "slice", "vtime", "flags"):
            if role in event.arguments:
                yield role, event.arguments[role]
    if event.what == "return" and event.operation.startswith("select_c"):
        yield "CPU", event.arguments["value"]
    if event.what == "store" and event.name.startswith("task_struct.scx."):
        yield "slice or order", event.arguments["value"]


def decided_by_number(scene: Scene) -> Iterator[Finding]:
    """Q11: no branch on whether a task or group has one particular number."""
    for asked in scene.behaviour.asked:
        name, a, b = asked.question
        number = b.number
        if name != EQ or number is None or number <= _KERNEL_PIDS:
            continue
        if any(source.startswith("knob:") for source in b.sources) or not _is_number(a):
            continue
        yield surely(
            f"compares {_named(a)} with {number}: numbers of tasks and groups are other ones on "
            "each machine; decide by behaviour, or take the number from a knob",
            "Q11",
            lines=[scene.behaviour.line(asked)],
        )


def _is_number(term: Term) -> bool:
    """Say whether a term is a task's or group's number itself, not something made of it."""
    term = stripped(term)
    return term.role in (Role.FIELD, Role.RESULT) and any(
        _NUMBERS.fullmatch(source) for source in _own_sources(term)
    )


def _own_sources(term: Term) -> frozenset[str]:
    inner: frozenset[str] = frozenset()
    for part in term.parts:
        inner |= part.sources
    return term.sources - inner


def _named(term: Term) -> str:
    term = stripped(term)
    return str(term.value[0]) if isinstance(term.value, tuple) else "a number"
