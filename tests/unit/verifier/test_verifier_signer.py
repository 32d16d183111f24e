"""Only an accepted verdict under its own contract becomes a token, and the token holds."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.signatures import key_id_of
from schedcp_api.tokens import DeploymentToken, Revocations, TokenClaims, check, open_signed
from schedcp_api.verdicts import (
    ContractLoss,
    EvaluationContract,
    Phase,
    Verdict,
    VerificationRequest,
)
from schedcp_verifier.__main__ import run_command
from schedcp_verifier.errors import SigningRefused, VerifierError
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.keyring import MOST_KEYS, KeyFolder
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
    lines = [
        json.loads(line) for line in (tmp_path / "state/tokens.jsonl").read_text().splitlines()
    ]
    assert len({line["nonce"] for line in lines}) == 2


def test_a_rejection_is_not_signed(tmp_path: Path) -> None:
    verdict, _ = given_verdict(tmp_path, accepted=False)
    signer = Signer.open(tmp_path / "state")
    with pytest.raises(SigningRefused, match="trials") as refused:
        token_of(signer, verdict)
    assert refused.value.reason == "NotAccepted"
    assert not (tmp_path / "state/tokens.jsonl").exists()


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


def ids(signer: Signer) -> list[str]:
    return [key_id_of(key) for key in signer.public_keys()]


def test_a_rotated_key_signs_no_more_and_is_still_known(tmp_path: Path) -> None:
    verdict, kernel = given_verdict(tmp_path, accepted=True)
    old = Signer.open(tmp_path / "state")
    text = token_of(old, verdict)
    KeyFolder(tmp_path / "state").rotate()
    new = Signer.open(tmp_path / "state")
    assert ids(new) == [key_id_of(new.key.public_key()), key_id_of(old.key.public_key())]
    for signed in (text, token_of(new, verdict)):
        check(
            signed,
            new.public_keys(),
            node="node-1",
            kernel_digest=kernel.profile.content_digest(),
            now=NOW,
        )
    private = b"".join(p.read_bytes() for p in (tmp_path / "state").rglob("*.pem"))
    assert private.count(b"PRIVATE KEY-----\n") == 2  # one key's beginning and end
    assert (tmp_path / "state/signing-key.pem").stat().st_mode & 0o777 == 0o600


def test_a_server_that_runs_goes_on_with_its_key_and_names_the_new_one(tmp_path: Path) -> None:
    running = Signer.open(tmp_path)
    for _ in range(MOST_KEYS + 1):
        KeyFolder(tmp_path).rotate()
    assert ids(running)[0] == key_id_of(running.key.public_key())
    assert ids(running)[1] == key_id_of(Signer.open(tmp_path).key.public_key())
    assert len(ids(running)) == MOST_KEYS


@pytest.mark.parametrize("what", ["key", "object"])
def test_what_is_revoked_is_not_signed(tmp_path: Path, what: str) -> None:
    verdict, _ = given_verdict(tmp_path, accepted=True)
    signer = Signer.open(tmp_path / "state")
    own = key_id_of(signer.key.public_key())
    revoked = (
        Revocations(key_ids=(own,))
        if what == "key"
        else Revocations(object_digests=(verdict.digest or "",))
    )
    KeyFolder(tmp_path / "state").revoke(revoked)
    with pytest.raises(SigningRefused, match="revoked") as refused:
        token_of(signer, verdict)
    assert refused.value.reason == "Revoked"
    assert (own in ids(signer)) == (what == "object")


def test_damaged_revocations_stop_all_signing(tmp_path: Path) -> None:
    verdict, _ = given_verdict(tmp_path, accepted=True)
    signer = Signer.open(tmp_path / "state")
    (tmp_path / "state/revoked.json").write_text("{")
    with pytest.raises(VerifierError, match="damaged"):
        token_of(signer, verdict)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCHEDCP_VERIFIER_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_the_verbs_about_keys(
    command: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict, _ = given_verdict(tmp_path, accepted=True)
    assert run_command(["keygen"]) == 0
    first = capsys.readouterr().out
    token_of(Signer.open(command), verdict)
    assert run_command(["keygen", "--rotate"]) == 0
    second = capsys.readouterr().out
    assert first != second
    assert run_command(["keys"]) == 0
    assert capsys.readouterr().out == second + first
    assert run_command(["tokens", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    signed = DeploymentToken.model_validate_json(line)
    assert run_command(["revoke", "--run", "run-1", "--key", signed.key_id]) == 0
    printed = Revocations.model_validate_json(capsys.readouterr().out)
    assert printed == Revocations(key_ids=(signed.key_id,), nonces=(signed.nonce,))
    assert run_command(["revoke"]) == 0
    assert Revocations.model_validate_json(capsys.readouterr().out) == printed
    assert run_command(["keys"]) == 0
    assert capsys.readouterr().out == second


@pytest.mark.parametrize("what", [("--key", "x"), ("--token", "1"), ("--run", "nobody")])
def test_what_cannot_be_revoked_is_wrong_usage(
    command: Path, what: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["revoke", *what]) == 64
    assert what[1] in capsys.readouterr().err
    assert not (command / "revoked.json").exists()
