"""Who serves a queue: every task that waits in it must be one that some server may run.

A queue that only one CPU serves, or only some, keeps tasks waiting that may not run there.
"""

from __future__ import annotations

from collections.abc import Iterator

from .conditions import SLT, ULT, Fact, Way
from .cpus import TASKS_CPU, Cpus, literal, name_of
from .effects import Effect
from .findings import Finding, Placed, Scene, possibly, surely
from .queueids import QueueKind, meet, word_of
from .standings import Standing, is_uniprocessor
from .terms import Role, Term, linear, stripped

__all__ = [
    "is_own",
    "queues_of_all_cpus",
    "queues_of_cpus",
    "queues_served_by_all",
    "sleepers_kicked",
]

_HERE = frozenset({"this_cpu", "bpf_get_smp_processor_id", "scx_bpf_this_cid"})
_MANY = 256
"""As many CPUs as a machine hardly has, for those who write such a number."""
_COUNTS = frozenset({"scx_bpf_nr_cpu_ids", "scx_bpf_nr_cids"})
_MACHINE = ("knob:", "machine", "table:", "@", "kernel", "argument:this_cpu", "place", "iteration")


def queues_of_cpus(scene: Scene) -> Iterator[Finding]:
    """T02: a task that waits in one CPU's queue may run on that CPU, unless others help."""
    cpus = Cpus(scene)
    for item in scene.inserts:
        if item.queue.kind not in (QueueKind.NUMBER, QueueKind.FAMILY):
            continue
        takers = [t for t in scene.consumers if meet(t.queue, item.queue) is not False]
        own = [taker for taker in takers if is_own(taker)]
        if not own or len(own) != len(takers) or not scene.complete:
            continue
        for way in item.event.path:
            answer = _may_run(cpus, item, own, way)
            if scene.influences.way_standing(way) is Standing.EXCEPTION or answer:
                continue
            words = (
                f"a task waits in queue {item.queue}, which only one CPU serves, whether it may "
                "run there or not: choose by scx_bpf_task_cpu(p), or let CPUs with nothing to do "
                "look into the queues of others"
            )
            found = surely if answer is False else possibly
            yield found(words, "T02", lines=scene.lines([item, *own]))


def queues_of_all_cpus(scene: Scene) -> Iterator[Finding]:
    """T13, T01: when tasks wait in a queue of their CPU, that of every CPU is served."""
    for item in scene.inserts:
        if item.queue.kind is not QueueKind.FAMILY or len(item.queue.atoms) != 1:
            continue
        if name_of(stripped(item.queue.atoms[0][0])) not in TASKS_CPU or not scene.complete:
            continue
        takers = [t for t in scene.consumers if meet(t.queue, item.queue) is not False]
        if takers and not any(_serves_all(scene, taker) for taker in takers):
            yield surely(
                f"tasks wait in queue {item.queue}, and only the first few of these queues are "
                "served: on a machine with more CPUs they wait for ever; go by "
                "scx_bpf_nr_cpu_ids()",
                "T13",
                "T01",
                lines=scene.lines([item, *takers]),
            )


def _serves_all(scene: Scene, taker: Placed) -> bool:
    """Say whether a consumer serves every member of a family, on one CPU or another."""
    if taker.queue.kind is not QueueKind.FAMILY:
        return taker.queue.kind is QueueKind.UNKNOWN
    (atom, _), *_ = taker.queue.atoms
    if atom.role is Role.ELEMENT and len(atom.parts) > 1:
        return atom.parts[1].number is None or atom.parts[1].number >= _MANY
    gated = [
        any(_in_the_code(scene, fact) and not _of_many(fact) for fact in _picked(scene, way))
        for way in taker.event.path
    ]
    return not all(gated)


def is_own(taker: Placed) -> bool:
    """Say whether a CPU takes from its own queue only."""
    atoms = taker.queue.atoms
    own = bool(atoms) and all(name_of(_base(atom)) in _HERE for atom, _ in atoms)
    return own and not any(_is_next(atom) for atom, _ in atoms)


def _is_next(term: Term) -> bool:
    """Say whether an index is of who comes so many after this CPU, round and round."""
    term = stripped(term)
    if term.role is not Role.OPERATION or len(term.parts) != 2:
        return False
    inner = stripped(term.parts[0])
    around = term.value in ("%", "s%", "&") and inner.role is Role.OPERATION
    return (around and inner.value == "+") or _is_next(inner)


def _base(term: Term) -> Term:
    """Return the CPU that an index is computed from by constants."""
    term = stripped(term)
    while (
        term.role is Role.OPERATION and len(term.parts) == 2 and (term.parts[1].number is not None)
    ):
        term = stripped(term.parts[0])
    return term


def _may_run(cpus: Cpus, item: Placed, own: list[Placed], way: Way) -> bool | None:
    task = item.event.arguments["task"]
    if item.event.what is Effect.MOVE and _keeps_cpu(item):
        return True
    if item.queue.kind is QueueKind.NUMBER:
        # One member of a family, for tasks that may run anywhere else.
        if any(taker.queue.kind is QueueKind.NUMBER for taker in own):
            return True
        iterated = "iteration" in item.event.arguments["queue"].sources
        return None if iterated or item.queue.one_of else False
    (index, factor), *more = item.queue.atoms
    if more:
        return None
    alike = [
        t for t in own if t.queue.atoms[0][1] == factor and t.queue.number == item.queue.number
    ]
    if not alike:
        return None
    if name_of(stripped(index)) in TASKS_CPU or _same_shape(index, alike[0].queue.atoms[0][0]):
        return True
    if _base(index) is not stripped(index):
        return None if _depends_on_cells(index) else False
    return cpus.allowed(index, task, way)


def _keeps_cpu(item: Placed) -> bool:
    """Say whether a task goes from one queue of a CPU to another queue of that CPU."""
    source = item.event.arguments["from"]
    atoms, _ = linear(source)
    return {atom for atom, _ in item.queue.atoms} == set(atoms)


def _depends_on_cells(index: Term) -> bool:
    return any(source.startswith(("cell:", "map:")) for source in index.sources)


def _same_shape(index: Term, reader: Term) -> bool:
    """Say whether both are computed alike, one from the task's CPU and one from this CPU."""
    index, reader = stripped(index), stripped(reader)
    if name_of(index) in TASKS_CPU and name_of(reader) in _HERE:
        return True
    if index.role is not reader.role or index.value != reader.value:
        return False
    if index.number is not None or len(index.parts) != len(reader.parts):
        return index is reader
    return bool(index.parts) and all(
        a is b or _same_shape(a, b) for a, b in zip(index.parts, reader.parts, strict=True)
    )


def sleepers_kicked(scene: Scene) -> Iterator[Finding]:
    """T06: a CPU that is given work in its own queue is told of it."""
    for item in scene.inserts:
        if item.queue.kind is not QueueKind.FAMILY or item.event.operation != "enqueue":
            continue
        takers = [t for t in scene.consumers if meet(t.queue, item.queue) is not False]
        if not takers or not all(is_own(taker) for taker in takers):
            continue
        indices = [stripped(atom) for atom, _ in item.queue.atoms]
        if any(name_of(_base(index)) in TASKS_CPU and index is _base(index) for index in indices):
            continue
        kicked = [
            stripped(event.arguments["cpu"])
            for event in scene.behaviour.of(Effect.KICK)
            if event.operation == "enqueue"
        ]
        if not any(
            index in kicked or _base(index) in kicked or not index.named for index in indices
        ):
            yield surely(
                f"a task waits in queue {item.queue}, and the CPU that serves it is not told: when "
                "it is idle it sleeps on; kick it (scx_bpf_kick_cpu, SCX_KICK_IDLE)",
                "T06",
                lines=scene.lines([item]),
            )


def queues_served_by_all(scene: Scene) -> Iterator[Finding]:
    """K02, Q07: a queue for all tasks is served by all CPUs."""
    for queue in dict.fromkeys(item.queue for item in scene.inserts if item.queue.is_users):
        feeders = [
            item
            for item in scene.inserts
            if meet(item.queue, queue) and scene.standing(item.event.path) is Standing.LASTING
        ]
        takers = [t for t in scene.consumers if meet(t.queue, queue) is not False]
        if not feeders or not takers or any(_hands_on(taker) for taker in takers):
            continue
        if queue.kind is not QueueKind.NUMBER or any(t.queue.atoms for t in takers):
            continue
        picked = [
            _picked(scene, way)
            for taker in takers
            for way in taker.event.path
            if not any(is_uniprocessor(fact) for fact in way)
        ]
        facts = {fact for way in picked for fact in way}
        if (
            not picked
            or not all(picked)
            or any((asked, not holds) in facts for asked, holds in facts)
        ):
            continue
        words = (
            f"only some CPUs take tasks from queue {queue} ({_shown(facts)}): the others idle, and "
            "tasks that may run only there wait for ever; let every CPU serve it"
        )
        found = surely if all(_in_the_code(scene, fact) for fact in facts) else possibly
        yield found(words, "K02", "Q07", lines=scene.lines([*takers, *feeders]))


def _hands_on(taker: Placed) -> bool:
    """Say whether a task is taken out for another queue than this CPU's local one."""
    target = taker.event.arguments.get("queue")
    return taker.event.what is Effect.MOVE and (target is None or target.number is None)


def _picked(scene: Scene, way: Way) -> list[Fact]:
    """Return the facts of a way that say which CPUs it is for."""
    found = []
    for fact in way:
        (_, a, b), _ = fact
        here = any(name_of(_base(side)) in _HERE for side in (a, b))
        sources = a.sources | b.sources
        if (
            here
            and not _of_every_cpu(fact)
            and all(s.startswith(_MACHINE) or _constant(scene, s) for s in sources)
        ):
            found.append(fact)
    return found


def _of_every_cpu(fact: Fact) -> bool:
    """Say whether a fact is that a CPU is one of those that there are."""
    (name, a, b), holds = fact
    below = holds and name in (ULT, SLT) and name_of(stripped(a)) in _HERE
    return below and name_of(stripped(b)) in _COUNTS


def _of_many(fact: Fact) -> bool:
    """Say whether a fact is that a CPU is one of as many as a table has room for."""
    (name, _, b), holds = fact
    return holds and name in (ULT, SLT) and b.number is not None and b.number >= _MANY


def _in_the_code(scene: Scene, fact: Fact) -> bool:
    (_, a, b), _ = fact
    knobs = any(source.startswith("knob:") for source in a.sources | b.sources)
    return literal(scene, b) is not None or not knobs


def _constant(scene: Scene, source: str) -> bool:
    return source.startswith("cell:") and source[5:] not in scene.influences.all_writes


def _shown(facts: set[Fact]) -> str:
    words = {
        f"{word_of(a)} {'' if holds else 'not '}{_RELATIONS[name]} "
        f"{b.number if b.number is not None else word_of(b)}"
        for (name, a, b), holds in facts
    }
    return ", ".join(sorted(words))


_RELATIONS = ("equal to", "below", "below", "near")
