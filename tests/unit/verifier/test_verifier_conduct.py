"""Rules on conduct and on size: refusals, yields, places of calls, walks, neighbours, weights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_api.verdicts import Phase
from schedcp_verifier.graphs import Graph, graph
from schedcp_verifier.instructions import decode
from schedcp_verifier.loops import loops
from schedcp_verifier.programs import Function
from schedcp_verifier.running import leads_inside
from support.bpf_assembly import assembled
from support.bytecode_cases import (
    AFTER_NOBODY,
    ANSWER_OF_TABLE,
    ASLEEP_SINCE,
    AT_CAP,
    BOUNDED_TABLE,
    BY_NUMBER,
    CLOCK,
    EACH_CPU,
    EIGHTH_TURN,
    FROM_STORAGE,
    HEAD_IF_NOTED,
    HEAVIER_LATER,
    HEAVIER_SOONER,
    HERE,
    IF_BIT,
    IF_IT_MAY_RUN,
    LARGE_TABLE,
    LOCAL,
    OWN_QUEUE,
    PICK,
    SET_BIT,
    START_OVER,
    STORAGE,
    STRIKE_OUT,
    TAKE,
    TAKE_OVER,
    THREE_AT_MOST,
    WHILE_RUNNING,
    YIELD_NOTED,
    Case,
    at_speed,
    case,
    insert,
    made,
    walk,
    yielding,
)

BOTH = made("0x7", "0x8")
FAILING = {
    "L07": [
        case("flags-and-table", insert(), tick=f"{TAKE}; exit"),
        case(
            "flags-and-table", insert(), running="r1 = 0x9; r2 = -1; call scx_bpf_create_dsq; exit"
        ),
    ],
    "L12": [
        case("manners", insert(), init_task="r0 = 0x5; exit"),
        case("manners", insert(), init_task="w0 = -100000; exit"),
    ],
    "L13": [
        case(
            "manners",
            insert(),
            init_task=ANSWER_OF_TABLE,
            maps=(BOUNDED_TABLE,),
            running=STRIKE_OUT,
        )
    ],
    "R17": [case("manners", insert(), cgroup_prep_move=WHILE_RUNNING)],
    "Q16": [
        case("manners", insert(), running=at_speed("r2 = 0x400")),
        case("manners", insert(), running=at_speed(AT_CAP)),
    ],
    "K01": [case("manners", insert(), dispatch=walk(after=TAKE))],
    "T13": [
        case("queues-emptied", insert(), dispatch=walk(THREE_AT_MOST, IF_IT_MAY_RUN)),
        case("queues-emptied", SET_BIT, dispatch=IF_BIT, init=EACH_CPU, variables=CLOCK),
    ],
    "Q03": [case("work-conserving", BY_NUMBER, dispatch=HERE, init=EACH_CPU)],
    "T14": [case("work-conserving", insert(LOCAL), select_cpu="r0 = *(u64 *)(r1 + 0x8); exit")],
    "Q04": [case("starvation", HEAVIER_LATER)],
    "T15": [
        case("starvation", insert(), yield_=yielding("5000000")),
        case("starvation", insert(), yield_="r0 = 0x0; exit"),
        case("starvation", HEAD_IF_NOTED, maps=(STORAGE,), yield_=YIELD_NOTED),
    ],
    "T09": [case("starvation", PICK, dispatch=AFTER_NOBODY, init=BOTH)],
    "T08": [
        case(
            "starvation",
            PICK,
            dispatch=EIGHTH_TURN,
            quiescent=START_OVER,
            init=BOTH,
            variables=CLOCK,
        )
    ],
}
PASSING = [
    case("manners", insert(), init_task=FROM_STORAGE, maps=(STORAGE,)),
    case("manners", insert(), running=at_speed("r2 = 0x400"), stopping=at_speed("r2 = 0x10")),
    case("manners", insert(), dispatch=walk(THREE_AT_MOST, after=TAKE)),
    case("queues-emptied", insert(), dispatch=walk(THREE_AT_MOST, IF_IT_MAY_RUN, after=TAKE)),
    case("queues-emptied", insert(), dispatch=walk(IF_IT_MAY_RUN)),
    case("work-conserving", BY_NUMBER, dispatch=TAKE_OVER, init=EACH_CPU),
    case("starvation", HEAVIER_SOONER),
    case("starvation", insert(), yield_=yielding("0x0")),
    case("starvation", PICK, dispatch=EIGHTH_TURN, init=BOTH, variables=CLOCK),
]
UNDECIDED = [
    case("manners", insert(), init_task=ANSWER_OF_TABLE, maps=(LARGE_TABLE,), running=STRIKE_OUT),
    case("work-conserving", OWN_QUEUE, insert("r8"), dispatch=HERE, init=EACH_CPU),
    case("work-conserving", insert(LOCAL)),
    case("starvation", HEAD_IF_NOTED, maps=(STORAGE,), quiescent=ASLEEP_SINCE),
]


@pytest.mark.parametrize(
    ("failure", "case"),
    [
        pytest.param(failure, case, id=f"{failure}-{n}")
        for failure, found in FAILING.items()
        for n, case in enumerate(found)
    ],
)
def test_what_surely_goes_wrong_is_refused_by_its_kind(failure: str, case: Case) -> None:
    check = case.found[case.check]
    assert check.phase is Phase.FAILED
    assert failure in str(check.evidence["failures"])


@pytest.mark.parametrize("case", PASSING, ids=lambda case: case.check)
def test_what_does_not_go_wrong_is_refused_by_no_rule(case: Case) -> None:
    found = case.found
    assert found[case.check].phase is Phase.PASSED
    assert [check for check in found.values() if check.phase is Phase.FAILED] == []


@pytest.mark.parametrize("case", UNDECIDED, ids=lambda case: case.check)
def test_what_cannot_be_told_is_a_warning(case: Case) -> None:
    found = case.found
    assert found[case.check].phase is Phase.WARNING
    assert [check for check in found.values() if check.phase is Phase.FAILED] == []


def graph_of(text: str) -> Graph:
    """Return the graph of a function."""
    data, _, _ = assembled(text)
    code = {instruction.at: instruction for instruction in decode(data)}
    return graph(Function("f", "s", 0, len(data) // 8), code, leads_inside, lambda _: 5)


def test_a_loop_in_a_loop_is_told_from_the_one_around_it() -> None:
    found = loops(
        graph_of(
            """
            outer: r1 += 1
            inner: r2 += 1; if r2 < 0x5 goto inner
            if r2 == 0x9 goto out
            if r1 < 0x5 goto outer
            out: exit
            """
        )
    )
    assert found is not None
    inner, outer = found
    assert (inner.header, inner.exits) == (1, (2,))
    assert (outer.header, outer.exits) == (0, (3, 4))
    assert inner.blocks < outer.blocks


def test_a_loop_with_two_doors_is_none() -> None:
    text = "if r1 == 0x0 goto b; a: r2 += 1; b: r2 += 2; if r2 < 0x9 goto a; exit"
    assert loops(graph_of(text)) == ()


branch = st.tuples(st.integers(0, 11), st.integers(0, 11))


@given(st.lists(branch, min_size=12, max_size=12))
def test_every_way_into_a_loop_goes_through_its_first_block(
    branches: list[tuple[int, int]],
) -> None:
    lines = [f"l{n}: if r1 == {n} goto l{a}; goto l{b}" for n, (a, b) in enumerate(branches)]
    found = graph_of("\n".join([*lines, "exit"]))
    for loop in loops(found) or ():
        seen, waiting = {loop.header}, [found.function.first]
        while waiting:
            start = waiting.pop()
            if start not in seen:
                seen.add(start)
                waiting += found.blocks[start].successors
        assert not (loop.blocks - {loop.header}) & seen or loop.header == found.function.first
        assert all(
            any(s in loop.blocks for s in found.blocks[start].successors) for start in loop.blocks
        )
