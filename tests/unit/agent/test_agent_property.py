"""Whatever happens, nothing runs without a token and a lease that hold."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schedcp_agent.memory import LeaseState
from schedcp_agent.observations import FetchFailure, LoaderPhase, Pressure, Trip
from schedcp_agent.reconcile import Attach
from schedcp_api.base import digest_of
from schedcp_api.nodestates import (
    COMPARISON_SECONDS,
    PASSING_REFUSALS,
    Arm,
    Assignment,
    RunState,
)
from schedcp_api.policies import OnDisconnect
from schedcp_api.tokens import MAX_TOKEN_CHARS, TokenError, check
from schedcp_operator.eligibility import MOST_NODES
from support.agent import (
    KERNEL,
    NODE,
    NOW,
    OBJECT,
    SIGNER,
    STRANGER,
    assignment,
    switchback,
    token,
    wish,
)
from support.agent_simulation import Simulation

ASSIGNMENTS: list[Assignment | None] = [
    None,
    assignment(),
    assignment(on_disconnect=OnDisconnect.HOLD),
    assignment(switchback=switchback(Arm.ON, Arm.OFF, block_seconds=4, washout_seconds=1)),
    assignment(token=token(STRANGER)),
    assignment(token=token(nodes=("node-2",))),
    assignment(token=token(expires_at=NOW + timedelta(seconds=20))),
    assignment(run="checkout-2"),
    assignment(run="checkout-2", token=token(run="checkout-2")),
]
DENIED = FetchFailure(1, permanent=True, reason="FetchFailed", message="status 403")
EVENTS = st.one_of(
    st.tuples(st.just("wish"), st.integers(0, len(ASSIGNMENTS) - 1)),
    st.tuples(st.just("epoch"), st.integers(0, 5)),
    st.tuples(st.just("tick"), st.integers(1, 8)),
    st.tuples(st.just("silence"), st.integers(1, 45)),
    st.tuples(st.just("tick"), st.just(COMPARISON_SECONDS)),
    st.tuples(st.just("eject"), st.sampled_from([1024, 1025, 1026, 66, -1])),
    st.tuples(st.just("kill"), st.just(0)),
    st.tuples(st.just("trip"), st.integers(0, 1)),
    st.tuples(st.just("loaded"), st.integers(0, 1)),
    st.tuples(st.just("foreign"), st.booleans().map(int)),
    st.tuples(st.just("fetched"), st.integers(0, 2)),
)


def apply(world: Simulation, event: str, value: int) -> None:
    attached = world.loader.view.phase is LoaderPhase.ATTACHED
    match event:
        case "wish":
            chosen = ASSIGNMENTS[value]
            spec = wish(*([chosen] if chosen else []), lease_renewed_at=world.now)
            world.wish(spec, generation=value)
        case "epoch":
            world.wish(wish(assignment(), lease_epoch=value, lease_renewed_at=world.now))
        case "eject" if attached:
            world.loader.eject(value, "ejected", now=world.now)
        case "kill" if attached:
            world.loader.die(now=world.now)
        case "trip":
            world.trip = Trip("NeighbourPressure", "pressed", Pressure.SOME if value else None)
        case "loaded":
            world.loaded = value == 1
        case "foreign" if world.loader.view.phase is LoaderPhase.NONE:
            if value and world.kernel.state.idle:
                world.kernel.enable("rusty")
            elif not value:
                world.kernel.disable()
        case "fetched":
            world.objects = frozenset({digest_of(OBJECT)} if value == 1 else ())
            world.fetch_failures = {digest_of(OBJECT): DENIED} if value == 2 else {}
        case _:
            pass


def valid(world: Simulation, wanted: Assignment) -> bool:
    """Whether a token holds, told without the code under test."""
    try:
        found = check(
            wanted.token,
            (SIGNER.public_key(),),
            node=NODE,
            kernel_digest=KERNEL.content_digest(),
            now=world.now,
        )
    except TokenError:
        return False
    return (found.run, found.object_digest) == (wanted.run, wanted.object_digest)


def judge(world: Simulation) -> None:
    """Check one second: what was attached had to be, and what runs may run."""
    desired = world.memory.desired
    for action in world.actions:
        if isinstance(action, Attach):
            assert valid(world, action.assignment)
            assert world.memory.lease_state(world.uptime) is LeaseState.VALID
            assert world.observed.sched_ext.idle
            assert not any(
                q.object_digest == action.assignment.object_digest for q in world.memory.quarantine
            )
    world.actions.clear()
    course = world.memory.course
    if course is not None and course.doubt is not None:
        assert course.claims is None
    standing = course.standing if course else None
    if standing is not None and standing.state is RunState.REFUSED:
        assert standing.final is (standing.reason not in PASSING_REFUSALS)
    if world.loader.view.phase is not LoaderPhase.ATTACHED:
        return
    # What is attached after the actions were performed was not told to stop.
    assert desired is not None
    wanted = desired.spec.assignments[0]
    assert valid(world, wanted)
    assert world.loader.view.run == wanted.run
    held = wanted.on_disconnect is OnDisconnect.HOLD and wanted.switchback is None
    assert held or world.memory.lease_state(world.uptime) is LeaseState.VALID
    assert world.trip is None


@settings(max_examples=150)
@given(st.lists(EVENTS, min_size=1, max_size=25), st.sampled_from([0, 580, 3600]))
def test_nothing_runs_without_a_token_and_a_lease(
    events: list[tuple[str, int]], up_before: int
) -> None:
    world = Simulation(up_before=up_before)
    epoch = 0
    for event, value in events:
        apply(world, event, value)
        for _ in range(value if event in ("tick", "silence") else 1):
            world.tick(renewing=event != "silence")
            judge(world)
            assert world.memory.epoch >= epoch
            epoch = world.memory.epoch
        world.trip = None


def test_a_token_may_name_as_many_nodes_as_a_run_takes_with_the_longest_names() -> None:
    nodes = (NODE, *(f"{number:03}-{'n' * 249}" for number in range(1, MOST_NODES)))
    words = tuple(f"--{number:03}={'w' * 122}" for number in range(32))
    text = token(nodes=nodes, command_line=words)
    found = check(
        text, (SIGNER.public_key(),), node=NODE, kernel_digest=KERNEL.content_digest(), now=NOW
    )
    assert found.nodes == nodes
    assert len(text) <= MAX_TOKEN_CHARS
    assert Assignment.model_validate_json(assignment(token=text).model_dump_json()).token == text
