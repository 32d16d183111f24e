"""The account of queues: each is made before it is filled, emptied by somebody, has one order."""

from __future__ import annotations

from collections.abc import Iterator

from .conditions import Fact, Way, refined
from .effects import Effect
from .findings import Finding, Placed, Scene, possibly, surely
from .queueids import Queue, QueueKind, meet, possible
from .standings import Standing
from .terms import Role, Term, linear

__all__ = ["queue_order", "queues_emptied", "queues_made"]

_ENDS = frozenset({"exit"})
_TRUNCATED = {0: "SCX_DSQ_LOCAL_ON", 1: "SCX_DSQ_GLOBAL", 2: "SCX_DSQ_LOCAL"}
_EXISTS_MAX = 8192
_MANY = 256
"""As many CPUs as a machine hardly has, for those who write such a number."""
_OF_CPUS = frozenset({"place", "argument:task", "argument:this_cpu", "argument:previous_cpu"})


def queues_made(scene: Scene) -> Iterator[Finding]:
    """R01, R04, L09, L12: what is filled or emptied was made, once, and is still there."""
    for role, users in (("inserts into", scene.inserts), ("takes from", scene.consumers)):
        for queue, events in _by_queue(users):
            if queue.is_users:
                yield from _made(scene, role, queue, events)
    yield from _destroyed(scene)
    yield from _made_twice(scene)
    for item in scene.created:
        if item.queue.kind in (QueueKind.LOCAL, QueueKind.GLOBAL, QueueKind.BUILTIN):
            yield surely(
                f"creates a queue with the built-in id {item.queue}, which the kernel refuses",
                "L12",
                lines=scene.lines([item]),
            )


def _by_queue(items: tuple[Placed, ...]) -> list[tuple[Queue, list[Placed]]]:
    found: dict[Queue, list[Placed]] = {}
    for item in items:
        found.setdefault(item.queue, []).append(item)
    return list(found.items())


def _made(scene: Scene, does: str, queue: Queue, events: list[Placed]) -> Iterator[Finding]:
    lines = scene.lines(events)
    answers = [meet(queue, made.queue) for made in scene.created]
    few = _made_for_few(scene, queue, events)
    if few is not None:
        found = surely if few < _MANY else possibly
        yield found(
            f"{does} {queue}, a queue for each CPU, and init creates the first {few} only: go by "
            "scx_bpf_nr_cpu_ids()",
            "R01",
            "T13",
            lines=lines,
        )
        return
    if True in answers or _each_made(scene, queue):
        yield from _made_for_all(scene, does, queue, lines)
        yield from _made_sometimes(scene, does, queue, events)
        return
    if scene.complete and _made_for_none(scene, queue):
        yield surely(
            f"{does} {queue}, a queue for each CPU, and nobody creates these: call "
            "scx_bpf_create_dsq() for each CPU in init (or is it a SCX_DSQ_LOCAL_ON whose upper "
            "half was cut off?)",
            "R01",
            "L09",
            lines=lines,
        )
        return
    if None in answers or queue.kind is QueueKind.UNKNOWN or not scene.complete:
        unknown = queue.kind is QueueKind.UNKNOWN or any(
            made.queue.kind is QueueKind.UNKNOWN for made in scene.created
        )
        if unknown or queue.kind is QueueKind.FAMILY:
            yield possibly(
                f"{does} {queue}: whether it was created cannot be told", "R01", lines=lines
            )
        return
    words = f"{does} queue {queue}, which nobody creates: call scx_bpf_create_dsq() in init"
    failures = ["R01"]
    if queue.number in _TRUNCATED and queue.kind is QueueKind.NUMBER and does != "takes from":
        words += f" (or is it a {_TRUNCATED[queue.number]} whose upper half was cut off?)"
        failures.append("L09")
    if queue.one_of and not _certainly(queue, events):
        yield possibly(words, *failures, lines=lines)
    else:
        yield surely(words, *failures, lines=lines)


def _made_for_few(scene: Scene, queue: Queue, events: list[Placed]) -> int | None:
    """Return how many queues are made where one for each CPU is used, None if there are enough."""
    if queue.kind is not QueueKind.FAMILY or queue.is_wide or queue.is_vague:
        return None
    ((atom, factor), *more) = queue.atoms
    made = [made.queue for made in scene.created if meet(made.queue, queue) is not False]
    fixed = all(_is_fixed(found) for found in made) and scene.complete
    if more or factor != 1 or not made or not fixed or not atom.sources <= _OF_CPUS:
        return None
    top = max(found.span[1] for found in made)
    numbers = {found.number for found in made if found.kind is QueueKind.NUMBER}
    alone = len(numbers) == 1 and len(made) == 1
    ways = [way for item in events for way in item.event.path]
    beyond = any(queue.number + refined(atom, way)[1] > top for way in ways)
    return top - queue.number + 1 if beyond and not alone else None


def _is_fixed(queue: Queue) -> bool:
    """Say whether how many queues are made is written in the code."""
    return queue.kind is QueueKind.NUMBER or (
        bool(queue.atoms)
        and all(
            atom.role is Role.ELEMENT
            and len(atom.parts) > 1
            and atom.parts[1].number is not None
            and not any(source.startswith("knob:") for source in atom.parts[1].sources)
            for atom, _ in queue.atoms
        )
    )


def _each_made(scene: Scene, queue: Queue) -> bool:
    """Say whether each member of a small family was made by its number."""
    if queue.kind is not QueueKind.FAMILY or len(queue.atoms) != 1:
        return False
    ((atom, factor),) = queue.atoms
    values = possible(atom)
    numbers = {made.queue.number for made in scene.created if made.queue.kind is QueueKind.NUMBER}
    return values is not None and {queue.number + factor * value for value in values} <= numbers


def _certainly(queue: Queue, events: list[Placed]) -> bool:
    """Say whether a term that can have several values surely has this one at some time."""
    return any(
        item.event.arguments["queue"].number == queue.number
        or _takes_every_value(item.event.arguments["queue"])
        for item in events
        if "queue" in item.event.arguments
    )


def _takes_every_value(term: Term) -> bool:
    """Say whether a term is free to be each of its values: a rest or some bits of a free one."""
    atoms, _ = linear(term)
    if len(atoms) != 1:
        return False
    (atom,) = atoms
    if atom.role is not Role.OPERATION or atom.value not in ("%", "&"):
        return False
    inner, _ = linear(atom.parts[0])
    free = (Role.FIELD, Role.RESULT, Role.ARGUMENT)
    return len(inner) == 1 and all(part.role in free for part in inner)


def _made_for_all(scene: Scene, does: str, queue: Queue, lines: list[str]) -> Iterator[Finding]:
    """R01: a family that is made in a loop is made for every CPU."""
    if queue.kind is not QueueKind.FAMILY or queue.is_wide:
        return
    loops = [
        atom
        for made in scene.created
        if meet(queue, made.queue)
        for atom, _ in made.queue.atoms
        if atom.role is Role.ELEMENT and len(atom.parts) > 1
    ]
    short = [loop for loop in loops if _short_of_last(loop.parts[1])]
    if loops and len(short) == len(loops) and queue.span[1] - queue.span[0] >= _EXISTS_MAX - 1:
        yield surely(
            f"{does} {queue}, but the loop that creates these queues leaves out the last CPU",
            "R01",
            lines=lines,
        )


def _made_for_none(scene: Scene, queue: Queue) -> bool:
    """Say whether a queue for each CPU is used, and at most one of them was made."""
    if queue.kind is not QueueKind.FAMILY or queue.is_wide or queue.is_vague:
        return False
    low, high = queue.span
    made = [item.queue for item in scene.created if meet(item.queue, queue) is not False]
    numbers = {found.number for found in made}
    only_numbers = all(found.kind is QueueKind.NUMBER for found in made)
    return high - low >= _EXISTS_MAX - 1 and only_numbers and len(numbers) <= 1


def _made_sometimes(
    scene: Scene, does: str, queue: Queue, events: list[Placed]
) -> Iterator[Finding]:
    """R01: what is made only on some machines is used on those only."""
    makers = [item for item in scene.created if meet(item.queue, queue)]
    if any(item.queue.is_vague for item in makers):
        return  # a loop that counts up to the number of CPUs, of which this is not the beginning
    conditions = [_of_machine(way) for item in makers for way in item.event.path]
    if not conditions or not all(conditions):
        return
    common = frozenset.intersection(*conditions)
    if not any(_succeeds_without(scene, fact) for fact in common):
        return
    for item in events:
        if any(not common & _of_machine(way) for way in item.event.path):
            yield surely(
                f"{does} queue {queue}, which init creates on some machines only (the number of "
                "CPUs decides): create it always",
                "R01",
                lines=scene.lines([*makers, item]),
            )
            return


def _succeeds_without(scene: Scene, fact: Fact) -> bool:
    """Say whether init can return success where a fact does not hold."""
    asked, holds = fact
    return any(
        (asked, not holds) in way and not event.arguments["value"].number
        for event in scene.behaviour.of("return")
        if event.operation == "init"
        for way in event.path
    )


def _of_machine(way: Way) -> frozenset[Fact]:
    """Return the facts of a way that are about the machine alone."""
    found = set()
    for fact in way:
        (_, a, b), _ = fact
        sources = a.sources | b.sources
        if "machine" in sources and not any(s.startswith(("argument", "@")) for s in sources):
            found.add(fact)
    return frozenset(found)


def _short_of_last(high: Term) -> bool:
    atoms, constant = linear(high)
    names = [str(atom.value) for atom in atoms if atom.role is Role.RESULT]
    return constant < 0 and len(atoms) == 1 and any("nr_c" in name for name in names)


def _destroyed(scene: Scene) -> Iterator[Finding]:
    for gone in scene.placed(Effect.DESTROY):
        if gone.event.operation in _ENDS or gone.queue.kind is not QueueKind.NUMBER:
            continue
        users = [
            item
            for item in (*scene.inserts, *scene.consumers)
            if meet(item.queue, gone.queue) and item.event.operation != gone.event.operation
        ]
        if not users:
            continue
        words = (
            f"queue {gone.queue} is destroyed in {gone.event.operation} and used afterwards: "
            "queues may stay until the scheduler ends, which clears them up"
        )
        guarded = all(_guarded(scene, item, gone) for item in users)
        again = any(
            meet(made.queue, gone.queue) and made.event.operation != "init"
            for made in scene.created
        )
        lines = scene.lines([gone, *users])
        if guarded or again:
            yield possibly(words, "R04", lines=lines)
        else:
            yield surely(words, "R04", lines=lines)


def _guarded(scene: Scene, user: Placed, gone: Placed) -> bool:
    """Say whether a use depends on something that the operation that destroys also writes."""
    written = {
        f"cell:{event.name}"
        for event in scene.behaviour.of("store")
        if event.operation == gone.event.operation
    }
    return all(
        any(written & (a.sources | b.sources) for (_, a, b), _ in way) for way in user.event.path
    )


def _made_twice(scene: Scene) -> Iterator[Finding]:
    """L12: init makes one queue twice, and the second time fails."""
    items = [item for item in scene.created if item.event.operation == "init"]
    numbers = [item for item in items if item.queue.kind is QueueKind.NUMBER]
    for first in numbers:
        for second in numbers:
            if first is second or first.queue.number != second.queue.number:
                continue
            result = first.event.result
            if result is not None and all(_after(result, way) for way in second.event.path):
                yield surely(
                    f"init creates queue {first.queue} twice: the second time fails",
                    "L12",
                    lines=scene.lines([first, second]),
                )


def _after(result: Term, way: Way) -> bool:
    """Say whether a way leads past a call that succeeded."""
    return any(a is result and holds and b.number == 0 for (_, a, b), holds in way)


def queues_emptied(scene: Scene) -> Iterator[Finding]:
    """T01: what is inserted is taken out somewhere."""
    for queue, items in _by_queue(scene.inserts):
        lasting = [
            item for item in items if scene.standing(item.event.path) is not Standing.EXCEPTION
        ]
        if not queue.is_users or not lasting:
            continue
        lines = scene.lines(lasting)
        answers = [meet(queue, taker.queue) for taker in scene.consumers]
        if True in answers:
            continue
        if queue.kind is QueueKind.NUMBER and _in_family(scene, queue):
            continue
        reordered = any(
            None is not meet(queue, item.queue) is not False
            for item in scene.placed(Effect.REENQUEUE)
        )
        if None in answers or queue.kind is QueueKind.UNKNOWN or reordered or not scene.complete:
            yield possibly(
                f"inserts into {queue}: whether anybody takes tasks from there cannot be told",
                "T01",
                lines=lines,
            )
            continue
        words = (
            f"tasks are inserted into queue {queue}, and nobody takes them out: call "
            "scx_bpf_dsq_move_to_local() for it in dispatch"
        )
        if queue.one_of and not _certainly(queue, lasting):
            yield possibly(words, "T01", lines=lines)
        else:
            yield surely(words, "T01", lines=lines)


def _in_family(scene: Scene, queue: Queue) -> bool:
    """Say whether a number is one of a family of CPUs that is served."""
    return any(
        taker.queue.kind is QueueKind.FAMILY
        and not taker.queue.is_wide
        and taker.queue.span[0] <= queue.number <= taker.queue.span[1]
        for taker in scene.consumers
    )


def queue_order(scene: Scene) -> Iterator[Finding]:
    """R02, R03: built-in queues have no order, and other queues have one."""
    ordered = [item for item in scene.inserts if _is_ordered(item)]
    plain = [item for item in scene.inserts if not _is_ordered(item)]
    for item in ordered:
        if not item.queue.is_users and item.queue.kind is not QueueKind.UNKNOWN:
            yield surely(
                f"inserts into {item.queue} by virtual time, which built-in queues do not have: "
                "use scx_bpf_dsq_insert()",
                "R02",
                lines=scene.lines([item]),
            )
    for first in ordered:
        for second in plain:
            if meet(first.queue, second.queue) is not True or not first.queue.is_users:
                continue
            words = (
                f"queue {first.queue} is filled both by virtual time and in order of arrival: the "
                "kernel ends a scheduler for that; use two queues"
            )
            lines = scene.lines([first, second])
            if _exclusive(first, second):
                yield possibly(words, "R03", lines=lines)
            else:
                yield surely(words, "R03", lines=lines)


def _is_ordered(item: Placed) -> bool:
    return "vtime" in item.event.arguments or "ordered" in item.event.arguments


def _exclusive(first: Placed, second: Placed) -> bool:
    """Say whether two inserts depend on opposite values of one variable."""
    return all(
        any(
            (asked, not holds) in other
            for asked, holds in way
            if asked[1].role is Role.CELL and asked[1].parts[0].role is Role.DATA
        )
        for way in first.event.path
        for other in second.event.path
    )
