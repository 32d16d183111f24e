"""The signer believes nothing of what the prover left but what holds together."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

import schedcp_verifier.__main__ as command_line
from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.services import REPLY_MARK, SignedReply, Verification, VerificationState
from schedcp_api.signatures import check_verdict, key_id_of
from schedcp_api.tokens import Revocations, TokenClaims, open_signed
from schedcp_api.verdicts import (
    Check,
    ContractLoss,
    EvaluationContract,
    Phase,
    ReplayMode,
    Stage,
    Verdict,
    VerificationRequest,
)
from schedcp_verifier.errors import UsageError, VmLostError
from schedcp_verifier.kernels import KernelBundle, KernelShelf
from schedcp_verifier.separating import Handover, answer, hand_over, read_handover, read_noun
from schedcp_verifier.signer import Signer
from support.verifier import NOW, OBJECT, FakeProver, make_bundle, verdict_of

CLAIMS = TokenClaims(run="run-1", nodes=("node-1",))
PROVEN = (Stage.BUILD, Stage.BYTECODE, Stage.ATTACH, Stage.DYNAMIC, Stage.CONTRACT)


class Pod:
    """The two halves with what they share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kernel = KernelBundle.open(make_bundle(folder / "kernels" / "one"))
        self.shelf = KernelShelf(folder / "kernels")
        self.request = VerificationRequest(
            candidate=Candidate(
                kind=PlanKind.CONFIGURE,
                scheduler="fifo",
                arguments=(Argument(name="slice_ns", value="1"),),
            ),
            kernel_digest=kernel.profile.content_digest(),
            contract=EvaluationContract(replay=ReplayMode.ADVISORY),
        )
        self.signer = Signer.open(folder / "state")
        self.kernel = kernel

    def verdict(self) -> Verdict:
        """An acceptance that lacks nothing."""
        found = verdict_of(self.request, self.kernel, accepted=True, phase=Phase.PASSED)
        checks = tuple(Check(id="c", stage=s, phase=Phase.PASSED, message="") for s in PROVEN)
        return found.replace(checks=checks)

    def handover(self, **changes: Any) -> Handover:
        """What an honest prover leaves, changed."""
        done = Verification(
            id=self.request.content_digest(), state=VerificationState.DONE, verdict=self.verdict()
        )
        fields = {"verification": done, "object": base64.b64encode(OBJECT).decode()}
        return Handover.model_validate({**fields, **changes})

    def mounted(self, revoked: Revocations) -> Signer:
        """The signer of a pod: key and revocations are files that somebody else wrote."""
        path = self.folder / "revoked.json"
        path.write_text(revoked.model_dump_json(by_alias=True))
        return Signer.of_key(self.folder / "state" / "signing-key.pem", path)

    def sign(self, handover: Handover) -> SignedReply:
        """What the signer says to it."""
        return answer(self.signer, self.request, CLAIMS, handover, now=NOW, backdate_seconds=60)


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


def test_an_acceptance_is_signed_and_gets_its_token(pod: Pod) -> None:
    reply = pod.sign(pod.handover())
    public: Any = load_pem_public_key(pod.signer.public_pem().encode())
    assert reply.verification.verdict is not None
    check_verdict(reply.verification.verdict, (public,))
    token = open_signed(reply.token, (public,))
    assert (token.object_digest, token.run, token.nodes) == (
        digest_of(OBJECT),
        "run-1",
        ("node-1",),
    )
    assert base64.b64decode(reply.object) == OBJECT


def test_a_loss_that_no_pod_minds_is_signed_and_guarded(pod: Pod) -> None:
    contract = pod.request.contract.replace(
        waived_losses=(ContractLoss.CPU_WEIGHT,), unneeded_losses=(ContractLoss.CPU_MAX,)
    )
    pod.request = pod.request.replace(contract=contract)
    losses = (ContractLoss.CPU_WEIGHT, ContractLoss.CPU_MAX)
    lossy = pod.verdict().replace(contract_losses=losses)
    done = pod.handover().verification.replace(verdict=lossy)
    reply = pod.sign(pod.handover(verification=done))
    public: Any = load_pem_public_key(pod.signer.public_pem().encode())
    assert open_signed(reply.token, (public,)).guarded_losses == (ContractLoss.CPU_MAX,)


def test_a_rejection_is_signed_and_gets_nothing_else(pod: Pod) -> None:
    failed = Check(id="c", stage=Stage.DYNAMIC, phase=Phase.FAILED, message="stalls")
    rejected = pod.verdict().replace(accepted=False, checks=(failed,))
    done = pod.handover().verification.replace(verdict=rejected)
    reply = pod.sign(pod.handover(verification=done))
    assert reply.verification.state is VerificationState.DONE
    assert reply.verification.verdict is not None
    assert reply.verification.verdict.signature is not None
    assert (reply.token, reply.object) == ("", "")


@pytest.mark.parametrize("what", ["key", "object"])
def test_what_is_revoked_is_done_and_gets_no_token(pod: Pod, what: str) -> None:
    own = key_id_of(pod.signer.key.public_key())
    revoked = (
        Revocations(key_ids=(own,))
        if what == "key"
        else Revocations(object_digests=(digest_of(OBJECT),))
    )
    pod.signer = pod.mounted(revoked)
    reply = pod.sign(pod.handover())
    assert reply.verification.state is VerificationState.DONE
    assert "is revoked" in reply.verification.message
    assert (reply.token, reply.object != "") == ("", True)
    assert (pod.signer.public_keys() == ()) == (what == "key")


def checks(*phases: tuple[Stage, Phase]) -> tuple[Check, ...]:
    return tuple(Check(id="c", stage=s, phase=p, message="") for s, p in phases)


LIES: list[tuple[dict[str, Any], str]] = [
    ({"candidate_digest": digest_of(b"another")}, "candidate"),
    ({"scheduler": "another"}, "scheduler"),
    ({"arguments": ()}, "arguments"),
    ({"contract_digest": digest_of(b"another")}, "contract"),
    ({"digest": digest_of(b"another")}, "object"),
    ({"digest": None}, "object"),
    ({"ops_name": ""}, "without a name"),
    ({"contract_losses": (ContractLoss.NICE,)}, "does not let go"),
    ({"checks": ()}, "without Build, Bytecode, Attach, Dynamic, Contract"),
    ({"checks": checks(*((s, Phase.PASSED) for s in PROVEN[:-1]))}, "without Contract"),
    (
        {"checks": checks(*((s, Phase.PASSED) for s in PROVEN), (Stage.DYNAMIC, Phase.FAILED))},
        "did not pass",
    ),
    (
        {"checks": checks(*((s, Phase.PASSED) for s in PROVEN), (Stage.REPLAY, Phase.ERROR))},
        "did not pass",
    ),
    (
        {"checks": checks(*((s, Phase.SKIPPED) for s in PROVEN))},
        "without Build",
    ),
]


@pytest.mark.parametrize(("changes", "said"), LIES)
def test_a_lie_is_lost_and_unsigned(pod: Pod, changes: dict[str, Any], said: str) -> None:
    lie = pod.handover().verification.replace(verdict=pod.verdict().replace(**changes))
    reply = pod.sign(pod.handover(verification=lie))
    assert reply.verification.state is VerificationState.LOST
    assert said in reply.verification.message
    assert (reply.verification.verdict, reply.token, reply.object) == (None, "", "")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pod: pod.handover(object=""),
        lambda pod: pod.handover(object="***"),
        lambda pod: pod.handover(object=base64.b64encode(b"another").decode()),
        lambda pod: pod.handover(
            verification=pod.handover().verification.replace(id=digest_of(b"other"))
        ),
        lambda pod: pod.handover(verification=pod.handover().verification.replace(verdict=None)),
        lambda pod: pod.handover(
            verification=pod.handover().verification.replace(state=VerificationState.RUNNING)
        ),
    ],
)
def test_what_does_not_fit_is_lost(pod: Pod, spoil: Callable[[Pod], Handover]) -> None:
    reply = pod.sign(spoil(pod))
    assert (reply.verification.state, reply.token) == (VerificationState.LOST, "")


def test_a_replay_that_the_contract_requires_must_be_there(pod: Pod) -> None:
    pod.request = pod.request.replace(contract=EvaluationContract())
    reply = pod.sign(pod.handover())
    assert "without Replay" in reply.verification.message


def test_an_acceptance_that_was_lost_gets_no_token(pod: Pod) -> None:
    lost = pod.handover().verification.replace(state=VerificationState.LOST)
    assert pod.sign(pod.handover(verification=lost)).token == ""


def test_what_the_prover_leaves_is_what_the_signer_reads(pod: Pod) -> None:
    hand_over(FakeProver(), pod.shelf, pod.request, pod.folder)
    handover = read_handover(pod.folder)
    assert handover.verification.state is VerificationState.DONE
    assert base64.b64decode(handover.object) == OBJECT


def test_a_lost_guest_is_handed_over_as_lost(pod: Pod) -> None:
    hand_over(FakeProver(broken=VmLostError("hangs")), pod.shelf, pod.request, pod.folder)
    reply = pod.sign(read_handover(pod.folder))
    assert (reply.verification.state, reply.token) == (VerificationState.LOST, "")
    assert "hangs" in reply.verification.message


def test_the_signer_reads_nothing_but_a_bounded_regular_file(pod: Pod) -> None:
    path = pod.folder / "result.json"
    os.mkfifo(path)
    with pytest.raises(UsageError, match="no regular file"):
        read_handover(pod.folder)
    path.unlink()
    path.symlink_to(pod.folder / "state" / "signing-key.pem")
    with pytest.raises(UsageError, match="cannot read"):
        read_handover(pod.folder)
    path.unlink()
    with path.open("wb") as sparse:
        sparse.truncate(10**12)
    with pytest.raises(UsageError, match="larger than"):
        read_handover(pod.folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(UsageError):
        read_handover(pod.folder)


@given(st.binary(max_size=300))
def test_no_bytes_of_a_prover_do_anything_else(tmp_path_factory: Any, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "left.json"
    path.write_bytes(data)
    with pytest.raises(UsageError):
        read_noun(path, Handover)


def test_the_signers_command_prints_one_line(
    pod: Pod, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pod.folder)
    # As a kubelet lays out a ConfigMap: the files are links through a link.
    (pod.folder / "..2026").mkdir()
    (pod.folder / "..data").symlink_to("..2026")
    for name, noun in (("request.json", pod.request), ("claims.json", CLAIMS)):
        (pod.folder / "..2026" / name).write_text(json.dumps(noun.to_json()))
        (pod.folder / name).symlink_to(f"..data/{name}")
    (pod.folder / "result.json").write_text(json.dumps(pod.handover().to_json()))
    pod.mounted(Revocations())
    (pod.folder / "damaged.json").write_text("{")
    files = ("--request", "request.json", "--claims", "claims.json", "--handover", ".")
    key, revoked = ("--key", "state/signing-key.pem"), ("--revoked", "revoked.json")
    assert command_line.run_command(["sign", *files, *key, *revoked]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert SignedReply.model_validate_json(line.removeprefix(REPLY_MARK)).token
    assert command_line.run_command(["sign", *files, "--key", "none.pem", *revoked]) == 2
    assert command_line.run_command(["sign", *files, *key]) == 64
    for unreadable in ("none.json", "damaged.json"):
        capsys.readouterr()
        assert command_line.run_command(["sign", *files, *key, "--revoked", unreadable]) == 2
        said = capsys.readouterr()
        assert unreadable in said.err
        assert said.out == ""
