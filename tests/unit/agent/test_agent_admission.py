"""May an assignment run here and now? Each reason, by its name."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_agent.admission import Refusal, Rules, admit
from schedcp_agent.kernel_probe import SchedExt
from schedcp_agent.keys import TrustedKeys, parse_revocations
from schedcp_agent.observations import LoaderPhase, LoaderView, Observed
from schedcp_agent.ownership import Ours, is_ours
from schedcp_api.base import canonical_json, digest_of
from schedcp_api.candidates import Argument
from schedcp_api.kernels import KernelProfile
from schedcp_api.nodestates import Assignment, Quarantined
from schedcp_api.signatures import encode, key_id_of
from schedcp_api.tokens import DeploymentToken, Revocations, sign
from schedcp_api.verdicts import ContractLoss
from support.agent import (
    IDLE,
    KERNEL,
    NOW,
    OBJECT,
    RULES,
    SIGNER,
    STRANGER,
    assignment,
    built,
    claims,
    token,
)

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
        ({"token": token(STRANGER)}, ("BadSignature", False)),
        ({"token": token()[:-4] + "AAAA"}, ("BadSignature", False)),
        ({"token": "rubbish"}, ("Malformed", True)),
        ({"token": token(nodes=("node-2",))}, ("WrongNode", True)),
        ({"token": token(kernel_digest=digest_of(b"another"))}, ("WrongKernel", True)),
        ({"token": token(expires_at=NOW)}, ("Expired", True)),
        ({"token": token(not_before=NOW + timedelta(seconds=5))}, ("NotYetValid", False)),
        ({"object_digest": digest_of(b"another")}, ("ClaimsMismatch", True)),
        ({"arguments": (Argument(name="slice_us", value="1"),)}, ("ClaimsMismatch", True)),
        ({"arguments": ()}, ("ClaimsMismatch", True)),
        ({"command_line": ("-k",)}, ("ClaimsMismatch", True)),
        ({"ops_name": "schedcp_other"}, ("ClaimsMismatch", True)),
        ({"run": "checkout-2"}, ("ClaimsMismatch", True)),
        ({"unit": "/kubepods/x"}, ("ClaimsMismatch", True)),
        ({"scheduler": "long_tail"}, ("ClaimsMismatch", True)),
    ],
)
def test_a_token_that_does_not_fit(changes: dict[str, object], expected: tuple[str, bool]) -> None:
    assert reason(assignment(**changes)) == expected


def test_only_programs_that_came_with_the_agent_are_run() -> None:
    started = token(program_digest=digest_of(OBJECT), command_line=("-k",))
    wanted = assignment(token=started, command_line=("-k",))
    assert reason(wanted) == ("ProgramNotHere", True)
    here = replace(SEEN, programs=(built(OBJECT),))
    answer = admit(wanted, here, (), rules=RULES, now=NOW)
    assert isinstance(answer, DeploymentToken)
    assert answer.command_line == ("-k",)
    assert reason(assignment(token=started)) == ("ClaimsMismatch", True)


def test_a_token_that_names_two_programs_names_none() -> None:
    signed = claims(program_digest=digest_of(OBJECT))
    torn = signed.model_copy(update={"program_digest": digest_of(b"another")})
    assert reason(assignment(token=sign(torn, SIGNER))) == ("Malformed", True)


def test_without_trusted_keys_nothing_runs_but_keys_may_come() -> None:
    answer = admit(assignment(), SEEN, (), rules=replace(RULES, keys=()), now=NOW)
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.final) == ("BadSignature", False)


KEY_ID = key_id_of(SIGNER.public_key())


@pytest.mark.parametrize(
    "revoked",
    [
        Revocations(key_ids=(KEY_ID,)),
        Revocations(nonces=(claims().nonce,)),
        Revocations(object_digests=(digest_of(OBJECT),)),
    ],
)
def test_what_is_revoked_runs_nowhere(revoked: Revocations) -> None:
    rules = replace(RULES, revoked=revoked)
    answer = admit(assignment(), SEEN, (), rules=rules, now=NOW)
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.final) == ("Revoked", True)


def test_a_revocation_of_others_changes_nothing() -> None:
    others = Revocations(
        key_ids=(key_id_of(STRANGER.public_key()),),
        nonces=("f" * 32,),
        object_digests=(digest_of(b"another"),),
    )
    answer = admit(assignment(), SEEN, (), rules=replace(RULES, revoked=others), now=NOW)
    assert answer == claims()


def test_while_revocations_cannot_be_read_nothing_runs() -> None:
    answer = admit(assignment(), SEEN, (), rules=replace(RULES, revoked=None), now=NOW)
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.final) == ("RevocationsUnreadable", False)


def test_tokens_of_the_old_and_of_the_new_key_hold_while_both_are_trusted() -> None:
    both = replace(RULES, keys=(STRANGER.public_key(), SIGNER.public_key()))
    for key in (SIGNER, STRANGER):
        found = admit(assignment(token=token(key)), SEEN, (), rules=both, now=NOW)
        assert isinstance(found, DeploymentToken)
    revoked = replace(both, revoked=Revocations(key_ids=(KEY_ID,)))
    refused = admit(assignment(), SEEN, (), rules=revoked, now=NOW)
    assert isinstance(refused, Refusal)
    assert refused.reason == "Revoked"


def test_a_revoked_key_cannot_sign_under_the_name_of_another() -> None:
    disguised = claims(key_id=key_id_of(STRANGER.public_key()))
    payload = canonical_json(disguised.to_json())
    signature = SIGNER.sign(b"schedcp.io/deployment-token/v1\n" + payload)
    text = f"{encode(payload)}.{encode(signature)}"
    both = replace(
        RULES,
        keys=(STRANGER.public_key(), SIGNER.public_key()),
        revoked=Revocations(key_ids=(KEY_ID,)),
    )
    answer = admit(assignment(token=text), SEEN, (), rules=both, now=NOW)
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.final) == ("WrongKey", True)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda: (assignment(), replace(RULES, node="node-2")), "WrongNode"),
        (lambda: (assignment(run="checkout-2"), RULES), "ClaimsMismatch"),
        (lambda: (assignment(unit="/kubepods/x"), RULES), "ClaimsMismatch"),
        (lambda: (assignment(object_digest=digest_of(b"x")), RULES), "ClaimsMismatch"),
    ],
)
def test_a_token_is_not_used_a_second_time_elsewhere(
    use: Callable[[], tuple[Assignment, Rules]], said: str
) -> None:
    assert admit(assignment(), SEEN, (), rules=RULES, now=NOW) == claims()
    wanted, rules = use()
    answer = admit(wanted, SEEN, (), rules=rules, now=NOW)
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.final) == (said, True)


def test_the_files_of_keys_and_revocations_are_followed(tmp_path: Path) -> None:
    keys = TrustedKeys(tmp_path / "keys.pem")
    assert (keys.current(), keys.revoked()) == ((), Revocations())
    path = tmp_path / "revoked.json"
    path.write_text(Revocations(key_ids=(KEY_ID,)).model_dump_json(by_alias=True))
    assert keys.revoked() == Revocations(key_ids=(KEY_ID,))
    path.write_text("{")
    assert keys.revoked() is None
    path.unlink()
    path.mkdir()
    assert keys.revoked() is None
    path.rmdir()
    assert keys.revoked() == Revocations()


@given(st.binary(max_size=200))
def test_no_bytes_revoke_by_accident(data: bytes) -> None:
    assert parse_revocations(data) is None


def test_revocations_beyond_their_bound_are_unreadable() -> None:
    assert parse_revocations(b" " * 1_048_577) is None


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
