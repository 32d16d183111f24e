"""What small machines forgive: walks through whole queues, scans that stop short, words of bits."""

from __future__ import annotations

from collections.abc import Iterator

from .conditions import EQ, Question, Way, refined
from .cpus import Cpus, name_of
from .effects import Effect
from .events import Event
from .findings import Finding, Placed, Scene, possibly, surely
from .loops import Loop, calls
from .queueids import meet
from .standings import Standing
from .terms import Role, Term, stripped

__all__ = ["brings_bound_tasks", "ends_by_count", "scans_reach_all", "walks_end", "words_of_cpus"]

_HOT = frozenset({"enqueue", "dispatch", "select_cpu", "select_cid", "running", "stopping", "tick"})
_OPENED, _NEXT = "bpf_iter_scx_dsq_new", "bpf_iter_scx_dsq_next"
_COUNTED = "bpf_iter_num_next"
_BITS = 64
_CPUS = frozenset(
    {"this_cpu", "previous_cpu", "bpf_get_smp_processor_id", "scx_bpf_task_cpu"}
    | {"scx_bpf_task_cid", "scx_bpf_this_cid"}
)
_WRAPPERS = ("&", "%", "s%", "low")


def walks_end(scene: Scene) -> Iterator[Finding]:
    """K01: what happens at every turn does not look at all who wait."""
    for event in scene.behaviour.of(Effect.ITERATE):
        if event.name.partition("___")[0] != _OPENED or event.operation not in _HOT:
            continue
        standing = scene.standing(event.path)
        now_and_then = scene.influences.depends_on(event.path, "time")
        if standing <= Standing.KERNEL or now_and_then or not scene.complete:
            continue
        for loop in _walks(scene, event):
            if _is_counted(loop) or any(_leaves(scene, loop, event.place[0])):
                continue
            found = surely if standing is Standing.LASTING else possibly
            yield found(
                f"{event.operation} goes through a whole queue each time, under its lock, however "
                "many wait: stop after the first few, or keep what it looks for in a variable",
                "K01",
                lines=[scene.behaviour.line(event)],
            )


def _leaves(scene: Scene, loop: Loop, section: str) -> Iterator[tuple[int, Question | None]]:
    """Yield where a loop is left before its end, and what is asked there, None for a count."""
    for exit_ in loop.exits:
        found = scene.behaviour.questions.get((section, exit_), [])
        if any(_at_end(question) for question in found):
            continue
        yield from ((exit_, question) for question in found)
        if scene.behaviour.gone.get((section, exit_), frozenset()) - loop.blocks:
            yield exit_, None


def _walks(scene: Scene, event: Event) -> list[Loop]:
    """Return the loops that go through what an iterator was opened for."""
    found = [
        loop
        for loop in scene.behaviour.loops_at(event.place) or ()
        if calls(loop, _NEXT) and not calls(loop, _OPENED)
    ]
    opened = scene.behaviour.calls_near(event.place, _OPENED)
    return [
        loop
        for loop in found
        if max((slot for slot in opened if slot < loop.header), default=-1) == event.place[1]
    ][:1]


def _at_end(question: Question) -> bool:
    """Say whether a question is whether there is another one."""
    name, a, b = question
    return name == EQ and a.role is Role.ELEMENT and b.number == 0


def _is_counted(loop: Loop) -> bool:
    return calls(loop, _COUNTED)


def scans_reach_all(scene: Scene) -> Iterator[Finding]:
    """T13: a CPU finds whom it may run, however many stand before them who may not run there."""
    for queue in dict.fromkeys(item.queue for item in scene.inserts if item.queue.is_users):
        feeders = [
            item
            for item in scene.inserts
            if meet(item.queue, queue) and brings_bound_tasks(scene, item)
        ]
        takers = [t for t in scene.consumers if meet(t.queue, queue) is not False]
        if not feeders or not takers or not all(_stops_short(scene, taker) for taker in takers):
            continue
        yield surely(
            f"a CPU looks at the first few of queue {queue} only for tasks that it may run: behind "
            "more that are bound elsewhere others wait for ever, and the CPU idles; end with "
            "scx_bpf_dsq_move_to_local(), which skips those who may not run there",
            "T13",
            "T05",
            lines=scene.lines([*takers, *feeders]),
        )


def brings_bound_tasks(scene: Scene, item: Placed) -> bool:
    """Say whether tasks come to a queue that may not run on every CPU."""
    cpus, task = Cpus(scene), item.event.arguments["task"]
    return any(
        scene.influences.way_standing(way) in (Standing.LASTING, Standing.PINNED)
        and not cpus.allowed_by_count(task, way)
        for way in item.event.path
    )


def _stops_short(scene: Scene, taker: Placed) -> bool:
    """Say whether a task is taken only if it may run here, and is among the first few."""
    event = taker.event
    task = event.arguments.get("task")
    if event.what is not Effect.MOVE or task is None or task.role is not Role.ELEMENT:
        return False
    if event.operation != "dispatch" or not all(_tests(way) for way in event.path):
        return False
    around = scene.behaviour.loops_at(event.place)
    # A loop of few turns may have become a sequence.
    return around is not None and all(
        _is_counted(loop) or ends_by_count(scene, loop, event.place[0])
        for loop in around
        if calls(loop, _NEXT)
    )


def ends_by_count(scene: Scene, loop: Loop, section: str) -> bool:
    """Say whether a loop ends after so many turns, whatever it finds."""
    return any(
        question is None or _counts(question) for _, question in _leaves(scene, loop, section)
    )


def _tests(way: Way) -> bool:
    return any(name_of(a) == "bpf_cpumask_test_cpu" for (_, a, _), _ in way)


def _counts(question: Question) -> bool:
    """Say whether a question is about how often a loop has turned."""
    _, a, b = question
    own = all(source.startswith(("@", "iteration", "knob:")) for source in a.sources | b.sources)
    return own and a.role in (Role.RANGE, Role.UNKNOWN) and b.number is not None


def words_of_cpus(scene: Scene) -> Iterator[Finding]:
    """T13: a word has bits for 64 CPUs; a machine may have more."""
    for event in scene.behaviour.of("store"):
        if event.operation not in _HOT:
            continue
        root = event.arguments["root"]
        shared = root.role is Role.DATA or all(part.number is not None for part in root.parts)
        if (
            not shared
            or event.name.endswith("[]")
            or not any(
                _is_past_the_word(bit, way)
                for bit in _shifts(event.arguments["value"])
                for way in event.path
            )
        ):
            continue
        if not _decides(scene, event.name):
            continue
        yield surely(
            f"{event.name} has one bit for each CPU, and dispatch goes by it: CPU {_BITS} has that "
            "of CPU 0; use an array of words, or a cpumask",
            "T13",
            lines=[scene.behaviour.line(event)],
        )


def _decides(scene: Scene, name: str) -> bool:
    """Say whether dispatch does something or not because of what is in a place."""
    source = f"cell:{name}"
    return any(
        source in (a.sources | b.sources)
        for event in scene.behaviour.of(Effect.CONSUME, Effect.MOVE, Effect.INSERT)
        if event.operation == "dispatch"
        for way in event.path
        for (_, a, b), _ in way
    )


def _shifts(term: Term, depth: int = 6) -> Iterator[Term]:
    """Yield by how much a number is shifted in what is written."""
    if term.role is not Role.OPERATION or not depth:
        return
    if term.value == "<<" and term.parts[0].number is not None:
        yield term.parts[1]
    for part in term.parts:
        yield from _shifts(part, depth - 1)


def _is_past_the_word(bit: Term, way: Way) -> bool:
    """Say whether a CPU's number is taken for a bit of a word though it may be larger."""
    cpu = stripped(bit)
    while cpu.role is Role.OPERATION and cpu.value in _WRAPPERS:
        cpu = stripped(cpu.parts[0])
    return name_of(cpu) in _CPUS and refined(cpu, way)[1] >= _BITS
