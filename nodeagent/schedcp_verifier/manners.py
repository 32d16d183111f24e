"""How a scheduler behaves towards the machine: it stays, it does not kick and wake without need."""

from __future__ import annotations

from collections.abc import Iterator

from .calling import INSERTED
from .conditions import SLT, ULT, Way
from .cpus import TASKS_CPU, name_of
from .effects import Effect
from .events import TIMER, Event
from .findings import Finding, Scene, possibly, surely
from .queueids import QueueKind, meet
from .readers import is_own
from .slopes import known_bits
from .standings import Standing
from .terms import Role, Term, stripped

__all__ = ["chance_places", "kicks", "speeds", "stays", "storms", "timers_rest"]

_BEGINNINGS = ("init", "init_cids", "init_task", "exit")
_HOTPLUG = ("cpu_online", "cpu_offline", "cid_online", "cid_offline")
_RESTART = 1 << 48
_KICK_IDLE, _KICK_PREEMPT, _KICK_WAIT = 1, 2, 4
_CROWD = 4096
"""As many runnable tasks as a node with many pods may well have."""
_TIMER_NS = 100_000
_NEARLY_FULL = 960
"""Of 1024, which is all that a CPU can do."""
_MOST = ("scx_bpf_cpuperf_cap", "scx_bpf_cidperf_cap")
_HOT = ("enqueue", "dispatch", "running", "stopping", "tick", "runnable", "quiescent", "select_cpu")


def stays(scene: Scene) -> Iterator[Finding]:
    """Q13, Q14, R14, R15: it does not end itself because of what happens every day."""
    for event in scene.behaviour.of(Effect.LEAVE):
        code = known_bits(event.arguments["code"])
        if event.operation in _HOTPLUG or event.operation in ("init", "exit"):
            continue
        again = bool(code & _RESTART)
        words = "asks to be started again" if again else "ends itself"
        found = surely if scene.standing(event.path) > Standing.EXCEPTION else possibly
        yield found(
            f"{event.operation} {words}: what is measured afterwards is the kernel's own "
            "scheduler; a scheduler stays until it is told to go",
            "Q14" if again else "Q13",
            lines=[scene.behaviour.line(event)],
        )
    for event in scene.behaviour.of(Effect.REPORT):
        standing = scene.standing(event.path)
        if event.operation in _BEGINNINGS or standing is Standing.EXCEPTION:
            continue
        place = scene.influences.depends_on(event.path, "place")
        everyday = standing is Standing.LASTING or all(_is_crowd(way) for way in event.path)
        found = surely if everyday and not place else possibly
        yield found(
            f"{event.operation} ends the scheduler with an error because of something that can "
            "happen any time: handle it",
            "R15" if event.operation in _HOTPLUG else "R14",
            lines=[scene.behaviour.line(event)],
        )


def _is_crowd(way: Way) -> bool:
    """Say whether a way is for when a queue holds more than some number of tasks."""
    return any(
        name in (ULT, SLT)
        and name_of(stripped(a)) == "scx_bpf_dsq_nr_queued"
        and not holds
        and 0 < (b.number or 0) < _CROWD
        for (name, a, b), holds in way
    )


def kicks(scene: Scene) -> Iterator[Finding]:
    """K03, K05: no CPU waits for another, none is kicked for nothing."""
    for event in scene.behaviour.of(Effect.KICK):
        flags, cpu = known_bits(event.arguments["flags"]), stripped(event.arguments["cpu"])
        lines = [scene.behaviour.line(event)]
        standing = scene.standing(event.path)
        if flags & _KICK_IDLE and flags & (_KICK_PREEMPT | _KICK_WAIT):
            yield surely(
                "kicks with SCX_KICK_IDLE and SCX_KICK_PREEMPT or SCX_KICK_WAIT together, which "
                "the kernel takes for an error",
                "R11",
                lines=lines,
            )
        if flags & _KICK_WAIT and event.operation in _HOT:
            # A CPU that the kernel calls idle waits for nobody.
            idle = cpu.role is Role.RESULT and "idle" in cpu.sources
            found = possibly if idle or standing is Standing.EXCEPTION else surely
            yield found(
                f"{event.operation} kicks another CPU and waits for it, which may be waiting, too: "
                "kick without SCX_KICK_WAIT",
                "K03",
                lines=lines,
            )
        if flags & _KICK_IDLE or event.operation not in (*_HOT, TIMER):
            continue
        if event.operation == "dispatch" and name_of(cpu) == "this_cpu":
            if standing is Standing.LASTING:
                yield surely(
                    "dispatch kicks its own CPU, so that it dispatches again and again and never "
                    "idles: return, the kernel calls again when there is something to do",
                    "K05",
                    lines=lines,
                )
        elif event.operation != TIMER and _is_each(cpu):
            yield from _all_kicked(event, cpu, standing, lines)


def _all_kicked(event: Event, cpu: Term, standing: Standing, lines: list[str]) -> Iterator[Finding]:
    preempts = bool(known_bits(event.arguments["flags"]) & _KICK_PREEMPT)
    asks = any(_asks_about(cpu, way) for way in event.path)
    pinned = standing is Standing.PINNED and preempts and not asks
    if standing is not Standing.LASTING and not pinned:
        return
    found = possibly if asks else surely
    yield found(
        f"{event.operation} kicks every CPU, whether it is idle or not: kick one idle CPU "
        "(scx_bpf_pick_idle_cpu, SCX_KICK_IDLE)",
        "K05",
        lines=lines,
    )


def _is_each(cpu: Term) -> bool:
    return cpu.role is Role.ELEMENT or (cpu.number is not None and "iteration" in cpu.sources)


def _asks_about(cpu: Term, way: Way) -> bool:
    """Say whether something was asked of a CPU beyond its being another one."""
    return any(
        a.role is not Role.ELEMENT and cpu in a.parts and "place" not in a.sources
        for (_, a, _), _ in way
    )


def timers_rest(scene: Scene) -> Iterator[Finding]:
    """K05: a timer leaves the machine in peace between two beats."""
    for event in scene.behaviour.of(Effect.START_TIMER):
        after = event.arguments["after"]
        low, high = after.bounds
        if event.operation == TIMER and low >= 0 and high < _TIMER_NS:
            yield surely(
                f"a timer starts itself again after {high} ns at most: let it rest for a "
                "millisecond at least",
                "K05",
                "K04",
                lines=[scene.behaviour.line(event)],
            )


def storms(scene: Scene) -> Iterator[Finding]:
    """K04: what is enqueued is not taken back at once."""
    for event in scene.behaviour.of(Effect.REENQUEUE):
        if event.operation in _HOT and scene.standing(event.path) is Standing.LASTING:
            yield surely(
                f"{event.operation} has tasks enqueued again, each time: they come back and back",
                "K04",
                lines=[scene.behaviour.line(event)],
            )


def speeds(scene: Scene) -> Iterator[Finding]:
    """Q16: the highest frequency is for when it is needed."""
    events = [e for e in scene.behaviour.of(Effect.SET_SPEED) if e.operation not in _BEGINNINGS]
    if not all(_is_most(event.arguments["speed"]) for event in events):
        return
    for event in events:
        if scene.standing(event.path) is Standing.LASTING:
            yield surely(
                f"{event.operation} asks for the highest frequency, whatever runs: set it by how "
                "busy the CPU is, or leave it to the kernel",
                "Q16",
                lines=[scene.behaviour.line(event)],
            )


def _is_most(speed: Term) -> bool:
    speed = stripped(speed)
    return name_of(speed) in _MOST or speed.bounds[0] >= _NEARLY_FULL


def chance_places(scene: Scene) -> Iterator[Finding]:
    """Q01: where a task runs is not left to chance."""
    for event in (*scene.behaviour.of(Effect.INSERT), *scene.behaviour.of("return")):
        place = _place(event)
        if place is None or not _by_chance(event, place) or _is_for_all(scene, place, event):
            continue
        for way in event.path:
            if _is_blind(scene, event, place, way):
                yield surely(
                    f"chance decides where {event.operation} puts a task, whether that CPU is "
                    "idle or busy: look for an idle one, or compare two by their queues",
                    "Q01",
                    lines=[scene.behaviour.line(event)],
                )
                break


def _place(event: Event) -> Term | None:
    if event.what == "return":
        return event.arguments["value"] if event.operation.startswith("select_c") else None
    return event.arguments["queue"]


def _by_chance(event: Event, place: Term) -> bool:
    """Say whether chance picks a place, or the next CPU in turn."""
    return "random" in place.sources or (event.what == "return" and "any" in place.sources)


def _is_blind(scene: Scene, event: Event, place: Term, way: Way) -> bool:
    """Say whether nothing is asked about CPUs, or nothing but whether the one picked is idle."""
    stays = event.status[:1] == (INSERTED,)
    if not _compared(scene, way) and ("random" in place.sources or stays):
        return True
    picked = stripped(place)
    others = frozenset(fact for fact in way if not any(picked in s.parts for s in fact[0][1:]))
    lasting = scene.influences.way_standing(way) is Standing.LASTING
    blind = event.what == "return" and not stays and lasting and not _compared(scene, others)
    return blind and _stay_where_they_are(scene)


def _compared(scene: Scene, way: Way) -> bool:
    return any(_compares(scene, a) or _compares(scene, b) for (_, a, b), _ in way)


def _stay_where_they_are(scene: Scene) -> bool:
    """Say whether enqueue puts tasks into a queue of the CPU that select_cpu picked, unasked."""
    return any(
        item.event.operation == "enqueue"
        and any(
            scene.influences.way_standing(way) is Standing.LASTING and not _compared(scene, way)
            for way in item.event.path
        )
        and (
            item.queue.kind is QueueKind.LOCAL
            or any(name_of(stripped(atom)) in TASKS_CPU for atom, _ in item.queue.atoms)
        )
        for item in scene.inserts
    )


def _is_for_all(scene: Scene, place: Term, event: Event) -> bool:
    """Say whether a queue is one out of which CPUs take tasks that were not put there for them."""
    if event.what == "return":
        return False
    queues = scene.queues(place)
    return any(
        queue.is_users
        and meet(taker.queue, queue) is not False
        and not is_own(taker)
        and not any("random" in atom.sources for atom, _ in taker.queue.atoms)
        for queue in queues
        for taker in scene.consumers
    )


def _compares(scene: Scene, term: Term) -> bool:
    return bool({"queue", "idle", "rq", "running"} & scene.influences.roots(term.sources))
