"""Where the programs meet: what agent and signer really say, and what the operator concludes."""

from dataclasses import replace
from pathlib import Path

import pytest

from schedcp_agent.kernel_probe import SchedExt
from schedcp_agent.memory import Desired, Memory
from schedcp_agent.observations import LoaderPhase, LoaderView, Observed
from schedcp_agent.programs import programs_in
from schedcp_agent.report import Facts, status_of
from schedcp_api.base import digest_of
from schedcp_api.nodestates import SchedulerNodeStateSpec, SchedulerNodeStateStatus
from schedcp_api.policies import PinnedCandidate, Search
from schedcp_api.runs import RunStage
from schedcp_api.tokens import open_signed
from schedcp_api.verdicts import Phase, VerificationRequest
from schedcp_operator.eligibility import is_clear
from schedcp_operator.events import PlansMade
from schedcp_operator.library import Library, LibraryEntry
from schedcp_operator.planner import make_plans
from schedcp_operator.programs import programs_on
from schedcp_operator.stages.signing import token_problem
from schedcp_operator.stages.verifying import contract_of
from schedcp_operator.views import NodeView
from schedcp_verifier.keyring import KeyFolder
from schedcp_verifier.manifests import command_line_checks
from schedcp_verifier.signer import Signer
from schedcp_verifier.subjects import subject_of
from support.operator_driver import Driver
from support.operator_nodes import node, world
from support.operator_nouns import KERNEL, KEY, NOW, OLD_KERNEL, policy_spec, run
from support.operator_profiles import profile
from support.stock import stock_library

OFF = SchedExt(supported=True, state="disabled")
ON = SchedExt(supported=True, state="enabled", ops="schedcp_x", enable_seq=4)
LOADER = LoaderView(
    phase=LoaderPhase.ATTACHED, object_digest=digest_of(b"x"), run="checkout-1", ops="schedcp_x"
)
OURS = Observed(kernel=KERNEL, sched_ext=ON, loader=LOADER, ours=True)


def reported(observed: Observed, *, generation: int = 1) -> NodeView:
    """The node as the operator sees it once its agent has reported, with nothing assigned."""
    memory = Memory(desired=Desired(SchedulerNodeStateSpec(), generation))
    before = SchedulerNodeStateStatus()
    status = status_of(memory, observed, Facts(), previous=before, now=NOW)
    return replace(node(), status=status)


def leaving(phase: LoaderPhase, sched_ext: SchedExt, *, ours: bool) -> Observed:
    """Our scheduler on its way out."""
    loader = replace(LOADER, phase=phase)
    return Observed(kernel=KERNEL, sched_ext=sched_ext, loader=loader, ours=ours)


@pytest.mark.parametrize(
    ("observed", "clear"),
    [
        (Observed(kernel=KERNEL, sched_ext=OFF), True),
        (Observed(kernel=OLD_KERNEL, sched_ext=SchedExt()), True),
        (Observed(kernel=KERNEL, sched_ext=ON), True),  # somebody else's: hands off
        (OURS, False),
        (leaving(LoaderPhase.STOPPING, ON, ours=True), False),
        (leaving(LoaderPhase.STOPPING, replace(ON, state="disabling"), ours=True), False),
        (leaving(LoaderPhase.STOPPING, OFF, ours=False), False),
        (leaving(LoaderPhase.STARTING, OFF, ours=False), False),
        (Observed(kernel=KERNEL, sched_ext=SchedExt(problem="EIO")), False),
        (Observed(kernel=KERNEL, sched_ext=SchedExt()), False),
    ],
)
def test_restored_is_what_the_agent_shows_to_be_restored(observed: Observed, clear: bool) -> None:
    assert is_clear(reported(observed)) is clear


def test_what_the_agent_said_before_the_last_change_is_no_proof() -> None:
    assert not is_clear(reported(Observed(kernel=KERNEL, sched_ext=OFF), generation=0))


def test_the_operator_takes_what_the_signer_signs(tmp_path: Path) -> None:
    driver = Driver(run())
    driver.until(RunStage.SIGNING)
    signed = Signer(KEY, KeyFolder(tmp_path)).token(
        driver.verdicts[-1],
        contract_of(driver.run),
        driver.sign_request().claims,
        now=driver.now,
        backdate_seconds=60,
    )
    claims = open_signed(signed, (KEY.public_key(),))
    assert token_problem(driver.run, claims) == ""
    worded = claims.replace(command_line=("-k",))
    assert "command line" in token_problem(driver.run, worded)
    started = claims.replace(program_digest=claims.object_digest)
    assert "program" in token_problem(driver.run, started)


def test_what_the_agent_has_is_what_the_verifier_is_asked_for_and_finds(tmp_path: Path) -> None:
    stock, words = stock_library(tmp_path), ("--run", "--slice-us", "5000")
    here = tuple(found.built for found in programs_in(tmp_path / "programs").values())
    view = reported(Observed(kernel=KERNEL, sched_ext=OFF, programs=here))
    pinned = PinnedCandidate(scheduler="scx_tried", command_line=words)
    made = make_plans(
        profile(),
        policy_spec(search=Search(pinned=(pinned,))),
        library=Library({"scx_tried": LibraryEntry(stock.manifest("scx_tried"))}),
        kernel_digest=KERNEL.content_digest(),
        kernel_release=KERNEL.release,
        programs=programs_on((view.name,), world(view)),
    )
    assert isinstance(made, PlansMade)
    request = VerificationRequest(
        candidate=made.proposals[0].candidate, kernel_digest=KERNEL.content_digest()
    )
    subject = subject_of(request, stock, {})
    assert subject.executable is not None
    assert [subject.executable.digest] == [built.digest for built in here]
    assert subject.manifest is not None
    checks = command_line_checks(subject.manifest, subject.command_line)
    assert {check.phase for check in checks} == {Phase.PASSED}
