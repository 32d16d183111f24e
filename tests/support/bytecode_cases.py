"""Schedulers in assembly, for the rules of the bytecode analysis: the common parts, and cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schedcp_api.verdicts import Check
from schedcp_verifier.analysing import examined
from schedcp_verifier.exploring import explore
from schedcp_verifier.findings import Scene
from schedcp_verifier.kernelfacts import KernelFacts
from schedcp_verifier.programs import MapDeclaration
from support.bpf_assembly import scheduler

FLAGS = {
    "SCX_ENQ_WAKEUP": 1,
    "SCX_ENQ_HEAD": 1 << 4,
    "SCX_ENQ_PREEMPT": 1 << 32,
    "__SCX_ENQ_INTERNAL_MASK": 0xFF << 56,
}
KERNEL = KernelFacts({"scx_enq_flags": FLAGS})
GLOBAL, LOCAL_ON = (1 << 63 | 1, 3 << 62)
TASK, FLAGS_IN = "r6 = *(u64 *)(r1 + 0x0)", "r7 = *(u64 *)(r1 + 0x8)"
FIELDS = {"flags": 0, "cpus": 4, "comm": 16, "pid": 32, "weight": 64, "slice": 72, "vtime": 80}


def insert(queue: str = "0x7", slice_: str = "5000000", flags: str = "r7") -> str:
    """Return an insert of r6; operands are numbers or registers from r7 up."""
    r2, r3 = (f"{word} ll" if word[0] not in "rw" else word for word in (queue, slice_))
    return f"r1 = r6; r2 = {r2}; r3 = {r3}; r4 = {flags}; call scx_bpf_dsq_insert"


def ordered(order: str, queue: str = "0x7") -> str:
    """Return an insert by virtual time."""
    return (
        f"r1 = r6; r2 = {queue} ll; r3 = 5000000; r4 = {order}; r5 = r7;"
        "call scx_bpf_dsq_insert_vtime"
    )


def load(name: str, to: str = "r8") -> str:
    """Return a load of one of the task's fields."""
    bits = 64 if name in ("slice", "vtime") else 8 if name == "comm" else 32
    return f"{to} = *(u{bits} *)(r6 + {FIELDS[name]:#x})"


def enqueue(*parts: str) -> str:
    """Return an enqueue with the task in r6 and its flags in r7."""
    return "\n".join([TASK, FLAGS_IN, *parts, "exit"])


def take(*queues: str) -> str:
    """Return a dispatch that tries one queue after the other."""
    tries = [f"r1 = {q}; call scx_bpf_dsq_move_to_local; if w0 != 0x0 goto out" for q in queues]
    return "\n".join([*tries, "out:", "exit"])


def made(*queues: str) -> str:
    """Return an init that creates queues."""
    calls = [f"r1 = {q}; r2 = -1; call scx_bpf_create_dsq; if w0 != 0x0 goto out" for q in queues]
    return "\n".join([*calls, "r0 = 0x0", "out:", "exit"])


@dataclass(frozen=True)
class Case:
    """A scheduler, and the check that it is about."""

    check: str
    operations: Mapping[str, str]
    maps: tuple[MapDeclaration, ...] = ()
    variables: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    flags: int = 0

    @property
    def found(self) -> dict[str, Check]:
        """What the analysis says, by check."""
        object_ = scheduler(
            self.operations, maps=self.maps, variables=self.variables, flags=self.flags
        )
        scene = Scene(explore(object_, lambda _: True), KERNEL)
        return {check.id: check for check in examined(scene)}


def case(
    check: str,
    *parts: str,
    maps: tuple[MapDeclaration, ...] = (),
    variables: Mapping[str, Mapping[str, int]] | None = None,
    flags: int = 0,
    **operations: str | None,
) -> Case:
    """Return a scheduler of one queue whose enqueue consists of `parts`.

    Other operations replace the usual ones; empty ones are left out. `yield_` is yield, which is no
    name here.
    """
    usual: dict[str, str | None] = {
        "enqueue": enqueue(*parts),
        "dispatch": take("0x7"),
        "init": made("0x7"),
    }
    texts = {name.rstrip("_"): text for name, text in {**usual, **operations}.items() if text}
    return Case(check, texts, maps, variables or {}, flags)


RING = MapDeclaration("ring", 22, 64, 0)
STORAGE = MapDeclaration("tags", 29, 0, 4)
TABLE = MapDeclaration("seen", 1, 1000, 4)
CLOCK = {".bss": {"clock": 0}}

HEAVY = f"{load('weight')}; if w8 < 0x64 goto light"
PICK = f"{HEAVY}; {insert('0x7')}; exit; light: {insert('0x8')}"
KTHREAD = f"{load('flags')}; w8 &= 0x200000; if w8 == 0x0 goto on"
USED_UP = f"{load('slice')}; if r8 > 0x64 goto on; {insert()}; exit; on: {insert('0x8')}"
PUSH = f"""
    {load("pid")}; *(u32 *)(r10 - 0x4) = r8
    r1 = &ring; r2 = r10; r2 += -0x4; r3 = 0x0; call bpf_map_push_elem
"""
PUSH_OR_INSERT = f"{PUSH}; if r0 == 0x0 goto out; {insert()}; out:"
NINE_AT_MOST = "r9 += 0x1; if r9 > 0x9 goto done"
POP = f"""
    r1 = &ring; r2 = r10; r2 += -0x4; call bpf_map_pop_elem; if w0 != 0x0 goto own
    w1 = *(u32 *)(r10 - 0x4); call bpf_task_from_pid; if r0 == 0x0 goto own
    r6 = r0; r7 = 0x0; {insert()}
own:
    {take("0x7")}
"""
TAGGED = "r1 = &tags; r2 = r6; r3 = 0x0; r4 = 0x0; call bpf_task_storage_get"
QUEUE_OF_TAG = "r8 = 0x7; if r0 == 0x0 goto on; r8 = *(u64 *)(r0 + 0x0); on:"
WRITE_DOWN = f"""
    {load("pid")}; *(u32 *)(r10 - 0x4) = r8; *(u64 *)(r10 - 0x10) = 0x1
    r1 = &seen; r2 = r10; r2 += -0x4; r3 = r10; r3 += -0x10; r4 = 0x0
    call bpf_map_update_elem
"""
STRIKE_OUT = f"""
    {TASK}; {load("pid")}; *(u32 *)(r10 - 0x4) = r8
    r1 = &seen; r2 = r10; r2 += -0x4; call 3; exit
"""
KEEP = "r1 = &.bss; *(u64 *)(r1 + 0x0) = r8"
SWITCH = "r1 = &.bss; r1 = *(u64 *)(r1 + 0x0); if r1 == 0x0 goto on"
COUNT = """
    r1 = &.bss; r2 = 0x1; lock *(u64 *)(r1 + 0x0) += r2
    r1 = *(u64 *)(r1 + 0x0); if r1 > 2000000 goto late
"""

NOW = "call bpf_ktime_get_ns; r8 = r0"
LATE = "r1 = 900000000000 ll; if r8 > r1 goto late"
ODD = "r8 &= 0x400; if r8 == 0x0 goto late"
CHANCE = "call bpf_get_prandom_u32; if w0 < 0x5 goto second"
IN_TURNS = f"{CHANCE}; {take('0x7', '0x8').replace('out', 'done')}; second: {take('0x8', '0x7')}"
VTIME = f"""
    {load("vtime")}; r2 = &.bss; r9 = *(u64 *)(r2 + 0x0)
    r1 = r8; r1 -= r9; if r1 s> -0x1 goto fair; r8 = r9
fair:
    {ordered("r8")}
"""
RUNNING = f"{TASK}; {load('vtime')}; r2 = &.bss; *(u64 *)(r2 + 0x0) = r8; exit"
STOPPING = (
    f"{TASK}; {load('vtime')}; {load('slice', 'r9')}; r8 += r9; *(u64 *)(r6 + 0x50) = r8; exit"
)
END_SLICE = f"""
    {TASK}; r1 = 0x7; call scx_bpf_dsq_nr_queued; if w0 s< 0x1 goto out
    *(u64 *)(r6 + 0x48) = 0x0; out: exit
"""
BRIEFLY_SHARED = "r1 = 0x7; call scx_bpf_dsq_nr_queued; w8 = w0; r8 += 0x1; r9 = 1000000; r9 /= r8"
SHARED_OUT = BRIEFLY_SHARED.replace("1000000", "20000000")

OWN_QUEUE = "r1 = r6; call scx_bpf_task_cpu; r8 = r0; r8 += 0x100"
NEXT_QUEUE = """
    r1 = r6; call scx_bpf_task_cpu; r8 = r0; r8 += 0x1
    call scx_bpf_nr_cpu_ids; r8 %= r0; r8 += 0x100
"""
HERE = "r1 = *(u64 *)(r1 + 0x0); r1 += 0x100; call scx_bpf_dsq_move_to_local; exit"
HERE_AT_R8 = "r1 = r8; call scx_bpf_dsq_move_to_local; exit"
EACH_CPU = """
    call scx_bpf_nr_cpu_ids; r3 = r0; r2 = 0x0
    r1 = r10; r1 += -0x8; call bpf_iter_num_new
more:
    r1 = r10; r1 += -0x8; call bpf_iter_num_next; if r0 == 0x0 goto done
    w1 = *(u32 *)(r0 + 0x0); w1 += 0x100; r2 = -0x1; call scx_bpf_create_dsq
    goto more
done:
    r0 = 0x0; exit
"""


def handed_out(count: str = "") -> str:
    """Return a dispatch that hands out up to a hundred tasks; `count` may end it sooner."""
    return f"""
        r9 = 0x0; r2 = 0x0; r3 = 0x64; r1 = r10; r1 += -0x10; call bpf_iter_num_new
    more:
        r1 = r10; r1 += -0x10; call bpf_iter_num_next; if r0 == 0x0 goto done
        {count}
        r1 = &ring; r2 = r10; r2 += -0x4; call bpf_map_pop_elem; if w0 != 0x0 goto done
        w1 = *(u32 *)(r10 - 0x4); call bpf_task_from_pid; if r0 == 0x0 goto more
        r6 = r0; r7 = 0x0; {insert()}; goto more
    done:
        {take("0x7")}
    """


PICK_IDLE = (
    f"{TASK}; r7 = *(u64 *)(r1 + 0x8); r1 = *(u64 *)(r6 + 0x8); r2 = 0x0;call scx_bpf_pick_idle_cpu"
)
FIRST_AT_TIMES = """
    r0 = *(u64 *)(r1 + 0x8); r2 = *(u64 *)(r1 + 0x10); if r2 != 0x5 goto out; r0 = 0x0; out: exit
"""
REFUSE = f"{TASK}; r0 = 0x0; {load('weight')}; if w8 > 0x64 goto out; r0 = -1; out: exit"


def gives_up(crowd: int) -> str:
    """Return an end with an error when so many tasks wait."""
    return f"""
        r1 = 0x7; call scx_bpf_dsq_nr_queued; if w0 s< {crowd:#x} goto on
        r1 = 0x0; r2 = 0x0; r3 = 0x0; call scx_bpf_error_bstr
    on:
    """


BOUNDED_TABLE = MapDeclaration("seen", 1, 200, 4)
LARGE_TABLE = MapDeclaration("seen", 1, 100_000, 4)
ANSWER_OF_TABLE = f"{TASK}; {WRITE_DOWN}; exit"
FROM_STORAGE = f"{TASK}; {TAGGED}; if r0 == 0x0 goto none; r0 = 0x0; exit; none: w0 = -12; exit"
WHILE_RUNNING = f"""
    {TASK}; r1 = r6; call scx_bpf_task_running; if w0 == 0x0 goto out; w0 = -16; out: exit
"""


def yielding(slice_: str) -> str:
    """Return a yield that leaves the task a slice."""
    return f"{TASK}; *(u64 *)(r6 + 0x48) = {slice_}; r0 = 0x0; exit"


def at_speed(speed: str) -> str:
    """Return a running that sets a CPU's speed."""
    return (
        f"{TASK}; r1 = r6; call scx_bpf_task_cpu; r1 = r0; {speed}; call scx_bpf_cpuperf_set; exit"
    )


AT_CAP = "r6 = r1; call scx_bpf_cpuperf_cap; r2 = r0; r1 = r6"


def walk(*inside: str, after: str = "") -> str:
    """Return a dispatch that goes through a queue; `inside` may leave it by `goto done`."""
    return "\n".join(
        [
            "r7 = *(u64 *)(r1 + 0x0); r9 = 0x0",
            "r1 = r10; r1 += -0x30; r2 = 0x7; r3 = 0x0; call bpf_iter_scx_dsq_new",
            "more: r1 = r10; r1 += -0x30; call bpf_iter_scx_dsq_next",
            "if r0 == 0x0 goto done; r8 = r0",
            *inside,
            "goto more",
            "done: r1 = r10; r1 += -0x30; call bpf_iter_scx_dsq_destroy",
            after,
            "exit",
        ]
    )


THREE_AT_MOST = "r9 += 0x1; if r9 > 0x3 goto done"
IF_IT_MAY_RUN = """
    r1 = r7; r2 = *(u64 *)(r8 + 0x8); call bpf_cpumask_test_cpu; if w0 == 0x0 goto more
    r1 = r10; r1 += -0x30; r2 = r8; r3 = 0x8000000000000002 ll; r4 = 0x0; call scx_bpf_dsq_move
    if w0 != 0x0 goto done
"""
TAKE = "r1 = 0x7; call scx_bpf_dsq_move_to_local"
SET_BIT = f"""
    {OWN_QUEUE}; {insert("r8")}; r9 = r8; r9 += -0x100; r9 &= 0x3f; r1 = 0x1; r1 <<= r9
    r2 = &.bss; r3 = *(u64 *)(r2 + 0x0); r3 |= r1; *(u64 *)(r2 + 0x0) = r3
"""
IF_BIT = """
    r1 = *(u64 *)(r1 + 0x0); r2 = r1; r2 &= 0x3f; r3 = 0x1; r3 <<= r2
    r4 = &.bss; r4 = *(u64 *)(r4 + 0x0); r4 &= r3; if r4 == 0x0 goto out
    r1 += 0x100; call scx_bpf_dsq_move_to_local; out: exit
"""
BY_NUMBER = f"""
    call scx_bpf_nr_cpu_ids; {load("pid")}; r8 %= r0; r9 = r8
    r1 = r9; r2 = *(u64 *)(r6 + 0x8); call bpf_cpumask_test_cpu; if w0 == 0x0 goto on
    r8 = r9; r8 += 0x100; {insert("r8")}; exit
on:
    {OWN_QUEUE}; {insert("r8")}
"""
TAKE_OVER = """
    r7 = *(u64 *)(r1 + 0x0); r1 = r7; r1 += 0x100; call scx_bpf_dsq_move_to_local
    if w0 != 0x0 goto out
    call scx_bpf_nr_cpu_ids; r3 = r0; r2 = 0x0
    r1 = r10; r1 += -0x8; call bpf_iter_num_new
more:
    r1 = r10; r1 += -0x8; call bpf_iter_num_next; if r0 == 0x0 goto out
    w1 = *(u32 *)(r0 + 0x0); w1 += 0x100; call scx_bpf_dsq_move_to_local
    if w0 == 0x0 goto more
out:
    exit
"""
LOCAL = f"{1 << 63 | 2:#x}"
HEAVIER_LATER = f"{NOW}; {load('weight', 'r9')}; r9 *= 0x64; r8 += r9; {ordered('r8')}"
HEAVIER_SOONER = (
    f"{load('weight', 'r9')}; r9 |= 0x1; {NOW}; r1 = 100000000; r1 /= r9; r8 += r1; {ordered('r8')}"
)
EIGHTH_TURN = """
    r6 = &.bss; r8 = *(u64 *)(r6 + 0x0); r8 += 0x1; *(u64 *)(r6 + 0x0) = r8; if r8 < 0x8 goto on
    *(u64 *)(r6 + 0x0) = 0x0; r1 = 0x8; call scx_bpf_dsq_move_to_local; if w0 != 0x0 goto out
on:
    r1 = 0x7; call scx_bpf_dsq_move_to_local; if w0 != 0x0 goto out
    r1 = 0x8; call scx_bpf_dsq_move_to_local; out: exit
"""
START_OVER = "r1 = &.bss; *(u64 *)(r1 + 0x0) = 0x0; exit"
AFTER_NOBODY = f"""
    r6 = *(u64 *)(r1 + 0x8); if r6 != 0x0 goto on
    r1 = 0x8; call scx_bpf_dsq_move_to_local; if w0 != 0x0 goto out
on:
    {take("0x7")}
"""
NOTED = f"{TASK}; r1 = &tags; r2 = r6; r3 = 0x0; r4 = 0x1; call bpf_task_storage_get"
YIELD_NOTED = f"""
    {NOTED}; if r0 == 0x0 goto out; *(u64 *)(r0 + 0x0) = 0x1
out:
    *(u64 *)(r6 + 0x48) = 0x0; exit
"""
HEAD_IF_NOTED = f"""
    {TAGGED}; if r0 == 0x0 goto on; r8 = *(u64 *)(r0 + 0x0); if r8 == 0x0 goto on
    *(u64 *)(r0 + 0x0) = 0x0; r7 |= 0x10
on:
    {insert()}
"""
ASLEEP_SINCE = f"""
    {NOTED}; if r0 == 0x0 goto out; r9 = r0; {NOW}; *(u64 *)(r9 + 0x0) = r8; out: exit
"""
