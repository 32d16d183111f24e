"""May an assignment run here and now? Each reason, by its name."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schedcp_agent.admission import Refusal, admit
from schedcp_agent.kernel_probe import SchedExt
from schedcp_agent.observations import LoaderPhase, LoaderView, Observed
from schedcp_agent.ownership import Ours, is_ours
from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument
from schedcp_api.kernels import KernelProfile
from schedcp_api.nodestates import Assignment, Quarantined
from schedcp_api.tokens import DeploymentToken
from schedcp_api.verdicts import ContractLoss
from support.agent import IDLE, KERNEL, NOW, OBJECT, RULES, STRANGER, assignment, claims, token

SEEN = Observed(kernel=KERNEL, sched_ext=IDLE)


def reason(
    wanted: Assignment, observed: Observed = SEEN, *, quarantine: tuple[Quarantined, ...] = ()
) -> tuple[str, bool]:
    answer = admit(wanted, observed, quarantine, rules=RULES, now=NOW)
    assert isinstance(answer, Refusal), answer
    assert answer.message
    return answer.reason, answer.final


def test_what_the_token_allows_may_run() -> None:
    assert admit(assignment(), SEEN, (), rules=RULES, now=NOW) == claims()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"token": token(STRANGER)}, ("BadSignature", True)),
        ({"token": token()[:-4] + "AAAA"}, ("BadSignature", True)),
        ({"token": "rubbish"}, ("Malformed", True)),
        ({"token": token(nodes=("node-2",))}, ("WrongNode", True)),
        ({"token": token(kernel_digest=digest_of(b"another"))}, ("WrongKernel", True)),
        ({"token": token(expires_at=NOW)}, ("Expired", True)),
        ({"token": token(not_before=NOW + timedelta(seconds=5))}, ("NotYetValid", False)),
        ({"object_digest": digest_of(b"another")}, ("ClaimsMismatch", True)),
        ({"arguments": (Argument(name="slice_us", value="1"),)}, ("ClaimsMismatch", True)),
        ({"arguments": ()}, ("ClaimsMismatch", True)),
        ({"ops_name": "schedcp_other"}, ("ClaimsMismatch", True)),
        ({"run": "checkout-2"}, ("ClaimsMismatch", True)),
        ({"unit": "/kubepods/x"}, ("ClaimsMismatch", True)),
        ({"scheduler": "long_tail"}, ("ClaimsMismatch", True)),
    ],
)
def test_a_token_that_does_not_fit(changes: dict[str, object], expected: tuple[str, bool]) -> None:
    assert reason(assignment(**changes)) == expected


def test_without_trusted_keys_nothing_runs_but_keys_may_come() -> None:
    answer = admit(assignment(), SEEN, (), rules=replace(RULES, keys=()), now=NOW)
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.final) == ("BadSignature", False)


def test_a_kernel_without_sched_ext() -> None:
    kernel = KernelProfile(release="6.1", btf_digest=KERNEL.btf_digest)
    assert reason(assignment(), replace(SEEN, kernel=kernel)) == ("NoSchedExt", True)
    assert reason(assignment(), replace(SEEN, kernel=None)) == ("NoSchedExt", True)


def quarantined(kernel: str) -> tuple[Quarantined, ...]:
    entry = Quarantined(
        object_digest=digest_of(OBJECT), kernel_digest=kernel, reason="Stall", at=NOW
    )
    return (entry,)


def test_a_quarantined_object() -> None:
    there = quarantined(KERNEL.content_digest())
    assert reason(assignment(), quarantine=there) == ("Quarantined", True)
    elsewhere = quarantined(digest_of(b"another kernel"))
    assert isinstance(admit(assignment(), SEEN, elsewhere, rules=RULES, now=NOW), DeploymentToken)


def test_somebody_elses_scheduler() -> None:
    foreign = SchedExt(supported=True, state="enabled", ops="rusty", enable_seq=9)
    assert reason(assignment(), replace(SEEN, sched_ext=foreign)) == ("ForeignScheduler", False)
    observed = replace(SEEN, sched_ext=foreign, ours=True)
    assert isinstance(admit(assignment(), observed, (), rules=RULES, now=NOW), DeploymentToken)


NEW = SchedExt(supported=True, state="enabled", ops="schedcp_x", enable_seq=9)
STARTING = LoaderView(LoaderPhase.STARTING, ops="schedcp_x")
STOPPING = LoaderView(LoaderPhase.STOPPING, ops="schedcp_x", enable_seq=9)
GONE = LoaderView()


@pytest.mark.parametrize(
    ("ours", "loader", "kernel", "expected"),
    [
        (None, GONE, NEW, False),
        (None, STARTING, NEW, True),
        (None, STARTING, replace(NEW, ops="", state="enabling"), True),
        (None, STARTING, replace(NEW, ops="rusty"), False),
        (None, STOPPING, replace(NEW, state="disabling"), True),
        (None, STOPPING, replace(NEW, enable_seq=10), False),
        (None, STOPPING, replace(NEW, ops="rusty"), False),
        (Ours("schedcp_x", 9), GONE, NEW, True),
        (Ours("schedcp_x", 9), GONE, replace(NEW, enable_seq=10), False),
        (Ours("schedcp_x"), GONE, NEW, True),
        (Ours("schedcp_x", 9), GONE, replace(NEW, ops=""), False),
    ],
)
def test_whose_scheduler_it_is(
    ours: Ours | None, loader: LoaderView, kernel: SchedExt, *, expected: bool
) -> None:
    assert is_ours(ours, loader, kernel) is expected


def test_nothing_is_attached_while_the_kernel_cannot_be_read() -> None:
    unread = replace(SEEN, sched_ext=SchedExt(problem="no descriptors left"))
    assert reason(assignment(), unread) == ("KernelUnreadable", False)


def test_what_was_lost_for_want_of_demand_is_refused_on_demand() -> None:
    losses = (ContractLoss.CPU_MAX, ContractLoss.CPU_WEIGHT)
    lossy = token(contract_losses=losses, guarded_losses=(ContractLoss.CPU_MAX,))
    waived = replace(SEEN, demands=frozenset({ContractLoss.CPU_WEIGHT, ContractLoss.CPUSET}))
    assert not isinstance(admit(assignment(token=lossy), waived, (), rules=RULES, now=NOW), Refusal)
    asked = replace(SEEN, demands=frozenset({ContractLoss.CPU_MAX}))
    assert reason(assignment(token=lossy), asked) == ("ContractNeeded", False)
