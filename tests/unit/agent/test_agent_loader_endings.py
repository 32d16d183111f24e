"""How a loader ended: by what it said, and by its exit code when it said nothing."""

import re
from pathlib import Path

import pytest

from schedcp_agent.load_requests import LoadRequest, ObjectFile
from schedcp_agent.loader import Ending, LoaderEvent, exit_of
from schedcp_agent.observations import LOADER_EXIT_CODES, LoaderOutcome, LoaderPhase
from schedcp_api.base import digest_of
from support.agent import NOW, OBJECT, assignment, wish
from support.agent_simulation import Simulation

DIGEST = digest_of(OBJECT)
REQUEST = LoadRequest(ObjectFile(Path("o")), DIGEST, "checkout-1", "ops", 10_000, "sha256:00")
ATTACHED = {"attached": LoaderEvent(event="attached", ops="ops")}


def error(code: str) -> dict[str, LoaderEvent]:
    return {"error": LoaderEvent(event="error", code=code, message="why")}


def detached(reason: str) -> dict[str, LoaderEvent]:
    return {"detached": LoaderEvent(event="detached", reason=reason)}


def left(kind: int) -> dict[str, LoaderEvent]:
    return {"exit": LoaderEvent(event="exit", kind=kind, reason="stall", message="a task")}


def test_the_exit_codes_are_the_loaders(repository: Path) -> None:
    loader = repository / "schedulers/loader"
    codes = re.findall(r"\b(OUTCOME_\w+) = (\d+)", (loader / "loader.h").read_text())
    names = dict(re.findall(r"\{(OUTCOME_\w+), \"(\w+)\"", (loader / "options.c").read_text()))
    assert {int(code): names[name] for name, code in codes} == LOADER_EXIT_CODES


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (Ending(10, error("DigestMismatch")), LoaderOutcome.DIGEST_MISMATCH),
        (Ending(1, error("KnobRefused")), LoaderOutcome.KNOB_REFUSED),
        (Ending(22, detached("LeaseExpired")), LoaderOutcome.LEASE_EXPIRED),
        (Ending(0, detached("Detached"), asked=True), LoaderOutcome.DETACHED),
        (Ending(0, detached("Detached")), LoaderOutcome.KILLED),
        (Ending(18, error("SomethingNew")), LoaderOutcome.ATTACH_FAILED),
        (Ending(20, ATTACHED), LoaderOutcome.EJECTED),
        (Ending(20, ATTACHED, asked=True), LoaderOutcome.EJECTED),
        (Ending(21), LoaderOutcome.RESTART_REQUESTED),
        (Ending(22), LoaderOutcome.LEASE_EXPIRED),
        (Ending(23), LoaderOutcome.PARENT_GONE),
        (Ending(64), LoaderOutcome.USAGE),
        (Ending(0), LoaderOutcome.KILLED),
        (Ending(0, asked=True), LoaderOutcome.DETACHED),
        (Ending(-9), LoaderOutcome.KILLED),
        (Ending(-9, asked=True), LoaderOutcome.DETACHED),
        (Ending(127), LoaderOutcome.KILLED),
        (Ending(0, detached("Detached"), asked=True, timed_out=True), LoaderOutcome.ATTACH_TIMEOUT),
    ],
)
def test_the_outcome(ending: Ending, outcome: LoaderOutcome) -> None:
    assert exit_of(REQUEST, ending, now=NOW).outcome is outcome


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        (Ending(20, {**left(1026), **detached("Ejected")}), "a task"),
        (Ending(10, error("DigestMismatch")), "why"),
        (Ending(20), "the loader ended with status 20 (Ejected) and said nothing of it"),
        (Ending(-9), "the loader ended with status -9 and without being told to"),
    ],
)
def test_the_message(ending: Ending, message: str) -> None:
    assert exit_of(REQUEST, ending, now=NOW).message == message


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (Ending(20, {**left(1026), **detached("Ejected")}), 1026),
        (Ending(20, {**left(64), **detached("Ejected")}), 64),
        (Ending(20, {**left(0), **detached("Ejected")}), -1),
        (Ending(20, {**ATTACHED, **detached("Ejected")}), -1),
        (Ending(20), -1),
        (Ending(0, detached("Detached"), asked=True), 0),
        (Ending(-9), 0),
        (Ending(21), 0),
    ],
)
def test_an_ejection_without_the_kernels_account_is_of_an_unknown_kind(
    ending: Ending, kind: int
) -> None:
    assert exit_of(REQUEST, ending, now=NOW).kind == kind


def test_an_ejection_without_a_word_is_quarantined() -> None:
    world = Simulation()
    world.wish(wish(assignment()))
    world.tick(5)
    view = world.loader.view
    assert view.phase is LoaderPhase.ATTACHED
    request = LoadRequest(
        ObjectFile(Path("o")), view.object_digest, view.run, view.ops, 10_000, view.token_digest
    )
    world.loader.next_exit = exit_of(request, Ending(20, ATTACHED), now=world.now)
    world.loader.view = type(view)()
    world.kernel.disable()
    world.tick(30)
    assert world.standing == "Ejected/ExitUnknown"
    assert [entry.object_digest for entry in world.memory.quarantine] == [DIGEST]
    assert len(world.loader.starts) == 1
