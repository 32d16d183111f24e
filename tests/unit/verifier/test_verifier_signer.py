"""Only an accepted verdict under its own contract becomes a token, and the token holds."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.tokens import TokenClaims, check, open_signed
from schedcp_api.verdicts import (
    ContractLoss,
    EvaluationContract,
    Phase,
    Verdict,
    VerificationRequest,
)
from schedcp_verifier.errors import SigningRefused, VerifierError
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.signer import Signer
from support.verifier import NOW, make_bundle, verdict_of

CLAIMS = TokenClaims(run="run-1", nodes=("node-1",))
CONTRACT = EvaluationContract()


def given_verdict(folder: Path, *, accepted: bool) -> tuple[Verdict, KernelBundle]:
    kernel = KernelBundle.open(make_bundle(folder / "kernel"))
    request = VerificationRequest(
        candidate=Candidate(
            kind=PlanKind.CONFIGURE,
            scheduler="fifo",
            arguments=(Argument(name="slice_ns", value="1"),),
        ),
        kernel_digest=kernel.profile.content_digest(),
        contract=CONTRACT,
    )
    phase = Phase.PASSED if accepted else Phase.FAILED
    return verdict_of(request, kernel, accepted=accepted, phase=phase), kernel


def token_of(signer: Signer, verdict: Verdict, contract: EvaluationContract = CONTRACT) -> str:
    return signer.token(verdict, contract, CLAIMS, now=NOW, backdate_seconds=60)


def test_a_token_says_what_was_proven(tmp_path: Path) -> None:
    verdict, kernel = given_verdict(tmp_path, accepted=True)
    signer = Signer.open(tmp_path / "state")
    public = load_pem_public_key(signer.public_pem().encode())
    assert isinstance(public, Ed25519PublicKey)
    token = check(
        token_of(signer, verdict),
        (public,),
        node="node-1",
        kernel_digest=kernel.profile.content_digest(),
        now=NOW,
    )
    assert token.object_digest == verdict.digest
    assert token.arguments == verdict.arguments
    assert token.evidence_digest == verdict.replace(duration_seconds=0).content_digest()
    assert token.expires_at == NOW + timedelta(seconds=CLAIMS.validity_seconds)


def test_every_token_is_recorded_with_a_nonce_of_its_own(tmp_path: Path) -> None:
    verdict, _ = given_verdict(tmp_path, accepted=True)
    signer = Signer.open(tmp_path / "state")
    token_of(signer, verdict)
    token_of(signer, verdict)
    lines = [json.loads(line) for line in signer.record.read_text().splitlines()]
    assert len({line["nonce"] for line in lines}) == 2


def test_a_rejection_is_not_signed(tmp_path: Path) -> None:
    verdict, _ = given_verdict(tmp_path, accepted=False)
    signer = Signer.open(tmp_path / "state")
    with pytest.raises(SigningRefused, match="trials") as refused:
        token_of(signer, verdict)
    assert refused.value.reason == "NotAccepted"
    assert not signer.record.exists()


def test_another_contract_is_not_signed(tmp_path: Path) -> None:
    verdict, _ = given_verdict(tmp_path, accepted=True)
    with pytest.raises(SigningRefused, match="another contract"):
        token_of(Signer.open(tmp_path), verdict, EvaluationContract(seeds=3))


def test_the_key_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    first = Signer.open(tmp_path)
    path = tmp_path / "signing-key.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert Signer.open(tmp_path).public_pem() == first.public_pem()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["signing-key.pem"]
    path.chmod(0o644)
    with pytest.raises(VerifierError, match="chmod 600"):
        Signer.open(tmp_path)


def test_a_token_guards_the_losses_that_nobody_waived(tmp_path: Path) -> None:
    verdict, _ = given_verdict(tmp_path, accepted=True)
    contract = CONTRACT.replace(
        waived_losses=(ContractLoss.NICE,), unneeded_losses=(ContractLoss.CPU_MAX,)
    )
    lossy = verdict.replace(
        contract_losses=(ContractLoss.CPU_MAX, ContractLoss.NICE),
        contract_digest=contract.content_digest(),
    )
    signer = Signer.open(tmp_path / "state")
    public = load_pem_public_key(signer.public_pem().encode())
    assert isinstance(public, Ed25519PublicKey)
    token = open_signed(token_of(signer, lossy, contract), (public,))
    assert token.guarded_losses == (ContractLoss.CPU_MAX,)
