"""Each rule fails what surely goes wrong, passes what does not, and warns of what it cannot tell.

The same and more in C, compiled, is in tests/data/bytecode.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_api.candidates import Argument
from schedcp_api.verdicts import Phase, Stage
from schedcp_verifier.analysing import RULES, analyse_bytecode
from schedcp_verifier.kernelfacts import kernel_facts
from support.bpf_btf import BtfWriter
from support.bytecode_cases import (
    BRIEFLY_SHARED,
    CHANCE,
    CLOCK,
    COUNT,
    EACH_CPU,
    END_SLICE,
    FIRST_AT_TIMES,
    FLAGS,
    GLOBAL,
    HEAVY,
    HERE,
    HERE_AT_R8,
    IN_TURNS,
    KEEP,
    KERNEL,
    KTHREAD,
    LATE,
    LOCAL_ON,
    NEXT_QUEUE,
    NINE_AT_MOST,
    NOW,
    ODD,
    OWN_QUEUE,
    PICK,
    PICK_IDLE,
    POP,
    PUSH,
    PUSH_OR_INSERT,
    QUEUE_OF_TAG,
    REFUSE,
    RING,
    RUNNING,
    SHARED_OUT,
    STOPPING,
    STORAGE,
    STRIKE_OUT,
    SWITCH,
    TABLE,
    TAGGED,
    USED_UP,
    VTIME,
    WRITE_DOWN,
    Case,
    case,
    gives_up,
    handed_out,
    insert,
    load,
    made,
    ordered,
    take,
)

FAILING = [
    case("tasks-kept", load("weight"), "if w8 == 0x1 goto out", insert(), "out:"),
    case("tasks-kept", PUSH, dispatch=POP, maps=(RING,)),
    case("tasks-kept", PUSH, "if r0 == 0x0 goto out; out:", dispatch=POP, maps=(RING,)),
    case("inserted-once", insert(), insert("0x7")),
    case("inserted-once", "call 158; r6 = r0", insert()),
    case("queues-made", insert("0x5"), dispatch=take("0x5"), init=""),
    case("queues-made", insert("0x2")),
    case("queues-made", insert(), tick="r1 = 0x7; call scx_bpf_destroy_dsq; exit"),
    case("queues-emptied", insert(), dispatch=take("0x8"), init=made("0x7", "0x8")),
    case("queues-emptied", NEXT_QUEUE, insert("r8"), dispatch=HERE, init=EACH_CPU),
    case("queue-order", HEAVY, insert(), "exit; light:", NOW, ordered("r8")),
    case("queue-order", NOW, ordered("r8", f"{GLOBAL:#x}")),
    case("starvation", PICK, dispatch=take("0x7", "0x8"), init=made("0x7", "0x8")),
    case("starvation", "r7 |= 0x10", insert()),
    case("starvation", load("vtime"), ordered("r8"), stopping=STOPPING),
    case("starvation", NOW, "r8 ^= -1", ordered("r8")),
    case("starvation", load("weight"), ordered("r8")),
    case("slices", insert(slice_="-1")),
    case("slices", insert(slice_="20000")),
    case("slices", insert(slice_="0")),
    case("slices", BRIEFLY_SHARED, insert(slice_="r9")),
    case("work-conserving", insert(), dispatch=f"{CHANCE}; {take('0x7')}; second: exit"),
    case("cpus", insert(f"{LOCAL_ON | 3:#x}")),
    case("cpus", insert(), select_cpu="r0 = 0x5; exit"),
    case("cpus", insert(), select_cpu=f"{PICK_IDLE}; exit"),
    case("identities", load("comm"), "if w8 == 0x73 goto on; r7 = 0x0; on:", insert()),
    case("identities", load("pid"), "if w8 == 0x539 goto on; r7 = 0x0; on:", insert()),
    case("identities", load("comm"), "r8 *= 1000000", insert(slice_="r8")),
    case("task-memory", insert(), load("comm"), KEEP, variables=CLOCK),
    case("growth", WRITE_DOWN, insert(), maps=(TABLE,)),
    case("flags-and-table", "r8 = 0x200000000000000 ll; r7 |= r8", insert()),
    case("flags-and-table", "r7 |= 0x400", insert()),
    case("flags-and-table", PUSH_OR_INSERT, dispatch=handed_out(), maps=(RING,)),
    case("flags-and-table", enqueue=None, dispatch="", init="", tick="exit", flags=2),
    case("manners", insert(), init_task=REFUSE),
    case("manners", gives_up(100), insert()),
    case("manners", insert(), "r1 = 0x0; r2 = 0x0; r3 = 0x0; r4 = 0x0; call scx_bpf_exit_bstr"),
    case("time-bombs", insert(), dispatch=f"{NOW}; {LATE}; {take('0x7')}; late: exit"),
    case("time-bombs", COUNT, insert(), "exit; late: r7 |= 0x10", insert(), variables=CLOCK),
]
PASSING = [
    case("tasks-kept", PUSH, "if r0 == 0x0 goto on", insert(), "on:", dispatch=POP, maps=(RING,)),
    case("inserted-once", HEAVY, insert(), "exit; light:", insert()),
    case("queues-made", OWN_QUEUE, insert("r8"), dispatch=HERE, init=EACH_CPU),
    case("queues-emptied", OWN_QUEUE, insert("r8"), dispatch=HERE, init=EACH_CPU),
    case("queue-order", NOW, ordered("r8")),
    case("starvation", PICK, dispatch=IN_TURNS, init=made("0x7", "0x8")),
    case("starvation", VTIME, running=RUNNING, stopping=STOPPING, variables=CLOCK),
    case("starvation", KTHREAD, "r7 |= 0x10; on:", insert()),
    case("slices", insert(slice_="-1"), tick=END_SLICE),
    case("work-conserving", insert()),
    case("cpus", insert(), select_cpu=f"{PICK_IDLE}; if w0 s> -0x1 goto on; r0 = r7; on: exit"),
    case("identities", load("weight"), "if w8 == 0x64 goto on; r7 = 0x0; on:", insert()),
    case("task-memory", insert(), load("weight"), KEEP, variables=CLOCK),
    case("growth", WRITE_DOWN, insert(), maps=(TABLE,), running=STRIKE_OUT),
    case("flags-and-table", KTHREAD, "r8 = 0x100000000 ll; r7 |= r8; on:", insert()),
    case("manners", insert(), init_task="r0 = 0x0; exit"),
    case("time-bombs", NOW, LATE, insert(), "exit; late:", insert(slice_="8000000")),
]
UNDECIDED = [
    case("tasks-kept", TAGGED, "if r0 == 0x0 goto out", insert(), "out:", maps=(STORAGE,)),
    case("queues-made", TAGGED, QUEUE_OF_TAG, insert("r8"), maps=(STORAGE,)),
    case("queues-emptied", insert(), dispatch=f"{NOW}; r8 >>= 0x20; {HERE_AT_R8}"),
    case("queue-order", SWITCH, insert(), "exit; on:", NOW, ordered("r8"), variables=CLOCK),
    case("starvation", USED_UP, dispatch=take("0x7", "0x8"), init=made("0x7", "0x8")),
    case("slices", SHARED_OUT, insert(slice_="r9")),
    case("work-conserving", insert(), dispatch=f"{NOW}; {ODD}; {take('0x7')}; late: exit"),
    case("cpus", insert(), select_cpu=FIRST_AT_TIMES),
    case("flags-and-table", PUSH_OR_INSERT, dispatch=handed_out(NINE_AT_MOST), maps=(RING,)),
    case("manners", gives_up(100000), insert()),
]


def cases(found: list[Case]) -> list[object]:
    """Return cases with names to choose them by."""
    return [pytest.param(case, id=f"{case.check}-{n}") for n, case in enumerate(found)]


@pytest.mark.parametrize("case", cases(FAILING))
def test_what_surely_goes_wrong_is_refused(case: Case) -> None:
    check = case.found[case.check]
    assert check.phase is Phase.FAILED
    assert check.evidence["failures"]


@pytest.mark.parametrize("case", cases(PASSING))
def test_what_does_not_go_wrong_is_refused_by_no_rule(case: Case) -> None:
    found = case.found
    assert found[case.check].phase is Phase.PASSED
    assert [check for check in found.values() if check.phase is Phase.FAILED] == []


@pytest.mark.parametrize("case", cases(UNDECIDED))
def test_what_cannot_be_told_is_a_warning(case: Case) -> None:
    found = case.found
    assert found[case.check].phase is Phase.WARNING
    assert [check for check in found.values() if check.phase is Phase.FAILED] == []


def test_every_check_has_a_failing_and_a_passing_case() -> None:
    ids = {examination.id for examination in RULES} | {"time-bombs"}
    assert {case.check for case in FAILING} == ids
    assert {case.check for case in PASSING} == ids


def test_programs_too_large_to_be_read_are_refused_and_nothing_is_said_to_hold() -> None:
    nested = "".join(
        f"w1 = *(u32 *)(r6 + {4 * (n % 20):#x}); if w1 == {n:#x} goto on{n};"
        f"r{8 + n % 2} = {n:#x}; on{n}:;"
        for n in range(12_000)
    )
    parts = ("r8 = 0; r9 = 0", nested, insert(flags="r8"))
    found = case("queues-emptied", *parts, dispatch=take("0x8")).found
    assert found["programs-explored"].phase is Phase.FAILED
    assert Phase.PASSED not in {check.phase for check in found.values()}
    assert "queues-emptied" not in {i for i, c in found.items() if c.phase is Phase.FAILED}


@given(st.binary(max_size=300))
def test_what_is_no_object_is_one_failed_check(data: bytes) -> None:
    for candidate in (data, b"\x7fELF\x02\x01\x01" + data):
        (check,) = analyse_bytecode(candidate, KERNEL, [Argument(name="slice_ns", value="5")])
        assert (check.id, check.stage, check.phase) == (
            "programs-explored",
            Stage.BYTECODE,
            Phase.FAILED,
        )


def test_a_kernel_tells_its_flags() -> None:
    types = BtfWriter()
    types.integer("int", 4)
    types.enum64("scx_enq_flags", FLAGS)
    types.enum("scx_kick_flags", {"SCX_KICK_IDLE": 1})
    types.structure("task_struct", 8, [("flags", 1, 0)])
    facts = kernel_facts(types.data())
    assert facts.enqueue_flags == FLAGS
    assert facts.flag("SCX_ENQ_HEAD") == 16
    assert facts.has("task_struct")
    assert not facts.has("task")


@given(st.binary(max_size=200))
def test_what_is_no_kernel_is_a_value_error(data: bytes) -> None:
    for candidate in (data, b"\x9f\xeb\x01\x00\x18\x00\x00\x00" + data):
        try:
            facts = kernel_facts(candidate)
        except ValueError:
            continue
        assert facts.flag("SCX_ENQ_HEAD") == 0
