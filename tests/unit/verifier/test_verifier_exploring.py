"""The exploration sees what programs do, tells paths apart, ends, and never breaks."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedcp_verifier.analysing import RULES
from schedcp_verifier.effects import Effect
from schedcp_verifier.events import Behaviour, Event
from schedcp_verifier.exploring import explore
from schedcp_verifier.findings import Scene
from schedcp_verifier.graphs import graph
from schedcp_verifier.instructions import Instruction, Kind, Reference, Target, decode
from schedcp_verifier.kernelfacts import KernelFacts
from schedcp_verifier.programs import Function, MapDeclaration, ProgramObject, Table
from schedcp_verifier.queueids import QueueKind
from schedcp_verifier.running import leads_inside
from schedcp_verifier.timebombs import later
from support.bpf_assembly import assembled, scheduler

LOCAL = "0x8000000000000002"
INSERT = """
    r2 = 0x7 ll
    r3 = 5000000
    r4 = 0
    call scx_bpf_dsq_insert
"""


def behaviour(**operations: str) -> Behaviour:
    """Return what operations do on a kernel that has every function."""
    return explore(scheduler(operations), lambda _: True)


def only(found: tuple[Event, ...]) -> Event:
    """Return the one event that there is."""
    assert len(found) == 1
    return found[0]


def test_arguments_reach_a_call_through_registers_and_the_stack() -> None:
    seen = behaviour(
        enqueue=f"""
            r6 = *(u64 *)(r1 + 0x0)
            r7 = *(u64 *)(r1 + 0x8)
            *(u64 *)(r10 - 0x8) = r7
            r1 = r6
            r4 = *(u64 *)(r10 - 0x8)
            r2 = {LOCAL} ll
            r3 = 0x1312d00
            call scx_bpf_dsq_insert
            exit
        """
    )
    event = only(seen.of(Effect.INSERT))
    assert event.arguments["queue"].number == int(LOCAL, 0)
    assert event.arguments["slice"].number == 20_000_000
    assert event.arguments["task"].sources == {"argument:task"}
    assert event.arguments["flags"].sources == {"argument:enqueue_flags"}
    assert only(seen.of("return")).status[0] == "inserted"


def test_a_value_that_a_branch_chose_is_the_one_of_its_path() -> None:
    seen = behaviour(
        enqueue=f"""
            r6 = *(u64 *)(r1 + 0x0)
            r2 = 0x1
            w3 = *(u32 *)(r6 + 0x40)
            if w3 < 0x64 goto light
            r2 = 0x2
        light:
            r7 = r2
            r1 = r6
            if r7 == 0x1 goto local
            r2 = 0x9
            goto insert
        local:
            r2 = {LOCAL} ll
        insert:
            r3 = 0x5
            r4 = 0x0
            call scx_bpf_dsq_insert
            exit
        """
    )
    found = {event.arguments["queue"].number: event for event in seen.of(Effect.INSERT)}
    assert set(found) == {int(LOCAL, 0), 9}
    for number, event in found.items():
        (way,) = event.path
        ((_, weight, limit), below), *_ = sorted(way, key=lambda fact: fact[0][0])
        assert weight.sources == {"argument:task", "field:task_struct.scx.weight"}
        assert (limit.number, below) == (100, number != 9)


def test_what_both_branches_join_does_not_depend_on_them() -> None:
    seen = behaviour(
        enqueue=f"""
            r6 = *(u64 *)(r1 + 0x0)
            w3 = *(u32 *)(r6 + 0x40)
            if w3 < 0x64 goto on
            w3 = *(u32 *)(r6 + 0x20)
        on:
            r1 = r6
            {INSERT}
            exit
        """
    )
    assert only(seen.of(Effect.INSERT)).path == frozenset({frozenset()})


def test_an_iterator_tells_the_first_turn_from_the_others() -> None:
    seen = behaviour(
        dispatch="""
            call scx_bpf_nr_cpu_ids
            r1 = r10
            r1 += -0x8
            w2 = 0x0
            w3 = w0
            call bpf_iter_num_new
        next:
            r1 = r10
            r1 += -0x8
            call bpf_iter_num_next
            if r0 == 0x0 goto done
            w1 = *(u32 *)(r0 + 0x0)
            r1 += 0x100
            call scx_bpf_dsq_move_to_local
            if w0 == 0x0 goto next
        done:
            r1 = r10
            r1 += -0x8
            call bpf_iter_num_destroy
            exit
        """
    )
    scene = Scene(seen, KernelFacts())
    kinds = {item.queue.kind: item for item in scene.consumers}
    assert kinds[QueueKind.NUMBER].queue.number == 0x100
    first = kinds[QueueKind.NUMBER].event.path
    later_on = kinds[QueueKind.FAMILY].event.path
    assert first == frozenset({frozenset()})
    assert all(way for way in later_on)
    assert kinds[QueueKind.FAMILY].queue.span == (0x101, 0x100 + 8191)


def test_a_loop_without_a_bound_ends() -> None:
    seen = behaviour(
        dispatch="""
            r6 = 0x0
        more:
            r1 = r6
            call scx_bpf_dsq_move_to_local
            r6 += 0x3
            if r0 == 0x0 goto more
            exit
        """
    )
    assert seen.complete
    assert {event.arguments["queue"].number for event in seen.of(Effect.CONSUME)} >= {0, 3, 6, None}


def test_functions_and_callbacks_are_gone_into() -> None:
    seen = behaviour(
        dispatch="""
            r1 = 0x3
            r2 = &fn_look
            r3 = 0x0
            r4 = 0x0
            call bpf_loop
            r1 = 0x9
            call fn_take
            exit
        fn_look:
            r1 += 0x40
            call fn_take
            exit
        fn_take:
            call scx_bpf_dsq_move_to_local
            exit
        """
    )
    assert seen.complete
    numbers = {event.arguments["queue"].number for event in seen.of(Effect.CONSUME)}
    assert numbers == {0x40, 9, None}


def test_a_timer_is_explored_too() -> None:
    seen = behaviour(
        init="""
            r1 = r10
            r1 += -0x8
            r2 = &fn_fire
            call bpf_timer_set_callback
            r0 = 0x0
            exit
        fn_fire:
            r1 = 0x1
            r2 = 0x2
            call scx_bpf_kick_cpu
            r0 = 0x0
            exit
        """
    )
    assert only(seen.of(Effect.KICK)).operation == "timer"


def test_what_was_stored_is_what_is_loaded_again() -> None:
    tags = MapDeclaration("tags", 29, 0, 4)
    text = f"""
        r6 = *(u64 *)(r1 + 0x0)
        r1 = &tags
        r2 = r6
        r3 = 0x0
        r4 = 0x1
        call bpf_task_storage_get
        if r0 == 0x0 goto insert
        *(u64 *)(r0 + 0x8) = 0x5
        r1 = *(u64 *)(r0 + 0x8)
        if r1 == 0x5 goto insert
        exit
    insert:
        r1 = r6
        {INSERT}
        exit
    """
    seen = explore(scheduler({"enqueue": text}, maps=[tags]), lambda _: True)
    assert {event.status[0] for event in seen.of("return")} == {"inserted"}


def test_a_knob_decides_before_anything_runs() -> None:
    text = f"""
        r6 = *(u64 *)(r1 + 0x0)
        r1 = &.rodata+8
        r1 = *(u64 *)(r1 + 0x0)
        if r1 == 0x0 goto out
        r1 = r6
        {INSERT}
    out:
        exit
    """
    for value, inserts in ((0, 0), (1, 1)):
        knobs = {".rodata": {"other": 9, "on": value}}
        seen = explore(scheduler({"enqueue": text}, variables=knobs), lambda _: True)
        assert len(seen.of(Effect.INSERT)) == inserts


def test_a_function_that_the_kernel_lacks_is_not_called() -> None:
    text = """
        r1 = &scx_bpf_new
        if r1 == 0x0 goto out
        call scx_bpf_new
        call scx_bpf_reenqueue_local
    out:
        exit
    """
    assert not explore(scheduler({"tick": text}), lambda _: False).of(Effect.REENQUEUE)
    assert explore(scheduler({"tick": text}), lambda _: True).of(Effect.REENQUEUE)


def test_what_is_too_much_is_left_unfinished() -> None:
    branches = "".join(
        f"""
            w1 = *(u32 *)(r6 + {4 * (n % 20):#x})
            if w1 == {n:#x} goto on{n}
            r{7 + n % 3} = {n:#x}
        on{n}:
        """
        for n in range(12_000)
    )
    text = f"r6 = *(u64 *)(r1 + 0x0)\nr7 = 0\nr8 = 0\nr9 = 0\n{branches}\nr0 = r7\nr0 += r8\nexit"
    seen = behaviour(enqueue=text)
    assert seen.unfinished == ("enqueue",)
    assert not Scene(seen, KernelFacts()).complete


@pytest.mark.parametrize(
    "text",
    ["r0 = 0", "goto out\nout:", "r0 = 0\nif r0 == 0x1 goto out\nexit\nout:"],
)
def test_control_that_leaves_a_function_is_malformed(text: str) -> None:
    data, _, _ = assembled(text)
    code = {i.at: i for i in decode(data)}
    with pytest.raises(ValueError, match=r"control|jumps"):
        graph(Function("f", "s", 0, len(data) // 8), code, leads_inside, lambda _: 5)


KFUNCS = (
    "scx_bpf_dsq_insert", "scx_bpf_dsq_insert_vtime", "scx_bpf_dsq_move_to_local",
    "scx_bpf_create_dsq", "bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_scx_dsq_new",
    "bpf_iter_scx_dsq_next", "scx_bpf_dsq_move", "scx_bpf_task_cpu", "scx_bpf_nr_cpu_ids",
    "scx_bpf_kick_cpu", "unheard_of", "__scx_bpf_dsq_insert_vtime", "scx_bpf_pick_idle_cpu",
)  # fmt: skip
HELPERS = (1, 2, 5, 87, 88, 113, 156, 164, 170, 181)
CODES = (
    *(0x07, 0x0F, 0xB7, 0xBF, 0x57, 0x4F, 0x97, 0x67, 0x77, 0x04, 0xB4, 0xBC),
    *(0x61, 0x69, 0x71, 0x79, 0x81, 0x63, 0x7B, 0x7A, 0xDB),
    *(0x15, 0x1D, 0x25, 0x2D, 0x55, 0x65, 0xA5, 0xC5, 0x16, 0x1E, 0xC6, 0x05, 0xE5),
    *(0x85, 0x85, 0x85, 0x95),
)


@st.composite
def programs(draw: st.DrawFn) -> ProgramObject:
    """Return an object of code that nobody wrote."""
    code: dict[str, dict[int, Instruction]] = {}
    functions = []
    for operation in ("enqueue", "dispatch", "init"):
        length = draw(st.integers(1, 24))
        slots = [draw(slots_of(at, length)) for at in range(length)]
        section = f"struct_ops/{operation}"
        code[section] = {
            i.at: draw(named(i)) for i in decode(b"".join(slots) + struct.pack("<Q", 0x95))
        }
        functions.append(Function(operation, section, 0, length + 1))
    operations = {function.name: function for function in functions}
    table = Table("t", {}, operations, dict.fromkeys(operations, (0, 0, 0)))
    return ProgramObject(code, tuple(functions), table, {"m": MapDeclaration("m", 1, 16, 4)})


@st.composite
def slots_of(draw: st.DrawFn, at: int, length: int) -> bytes:
    """Return one slot whose jumps stay within the function."""
    code = draw(st.sampled_from(CODES))
    jumps = code & 0x07 in (0x05, 0x06) and code not in (0x85, 0x95)
    offset = draw(st.integers(-at - 1, length - at - 1)) if jumps else 0
    if code & 0x07 in (0x01, 0x02, 0x03) and code != 0xDB:
        offset = draw(st.sampled_from([-16, -8, 0, 8]))
    immediate = draw(st.sampled_from([0, 1, -1, 7, 300, -8, 1 << 30]))
    if code == 0x85:
        return struct.pack("<BBhi", code, draw(st.sampled_from([0, 16])), 0, 1)
    if code == 0xDB:
        immediate = draw(st.sampled_from([0, 1, 0xE1, 0xF1]))
    if code in (0x05, 0x95, 0xE5):
        immediate = 0
    registers = draw(st.integers(0, 10)) | draw(st.integers(0, 10)) << 4
    return struct.pack("<BBhi", code, registers, offset, immediate)


@st.composite
def named(draw: st.DrawFn, instruction: Instruction) -> Instruction:
    """Return an instruction whose call is for something."""
    if instruction.kind is not Kind.CALL:
        return instruction
    if not instruction.src:
        return replace(instruction, imm=draw(st.sampled_from(HELPERS)))
    kernel = Reference(Target.KERNEL, draw(st.sampled_from(KFUNCS)))
    own = Reference(Target.FUNCTION, "struct_ops/enqueue", 0)
    return replace(instruction, reference=draw(st.sampled_from([kernel, kernel, own])))


@settings(max_examples=60)
@given(programs())
def test_no_code_breaks_the_exploration_or_a_rule(object_: ProgramObject) -> None:
    try:
        seen = explore(object_, lambda _: True)
    except ValueError:
        return
    scene = Scene(seen, KernelFacts())
    for rule in (rule for examination in RULES for rule in examination.rules):
        assert all(finding.words for finding in rule(scene))
    assert all(finding.words for finding in later(scene, RULES[0].rules))
