"""A verdict's signature covers all of it: no change of a field survives, and none accepts."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.signatures import SignatureError, check_verdict, decode, encode, sign_verdict
from schedcp_api.tokens import DeploymentToken, sign
from schedcp_api.verdicts import (
    Check,
    ContractLoss,
    EvaluationContract,
    Phase,
    Replay,
    ReplayFigures,
    Stage,
    Verdict,
    VerificationRequest,
)
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.proving import judge_proof
from schedcp_verifier.records import parse_report
from support.agent import claims
from support.verifier import OPS, make_bundle, proof_lines, verdict_of

KEY = Ed25519PrivateKey.from_private_bytes(b"v" * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
KEYS = (KEY.public_key(),)
NOT_COVERED = ("durationSeconds",)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def rejected(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """A rejection with every field filled, from the judges that make real ones."""
    kernel = KernelBundle.open(make_bundle(tmp_path_factory.mktemp("kernel")))
    request = VerificationRequest(
        candidate=Candidate(
            kind=PlanKind.GENERATE,
            scheduler="unfair",
            arguments=(Argument(name="slice_ns", value="1"),),
            source_digest=digest_of(b"source"),
        ),
        kernel_digest=kernel.profile.content_digest(),
    )
    proof = judge_proof(parse_report(proof_lines(fair=False)), OPS, EvaluationContract())
    assert proof.failed
    figures = ReplayFigures(
        wakeup_p50_ns=1, wakeup_p99_ns=2, wakeup_p999_ns=3, target_cpu_ns=4, neighbour_cpu_ns=5
    )
    replay = Replay(
        baseline=figures,
        candidate=figures,
        floor=figures,
        improvement="6%",
        neighbour_loss="1%",
        seeds=2,
        fidelity="90%",
        spread="0%",
    )
    bare = verdict_of(request, kernel, accepted=False, phase=Phase.FAILED)
    return sign_verdict(
        bare.replace(
            checks=proof.checks,
            contract_losses=proof.losses or (ContractLoss.NICE,),
            replay=replay,
            source_digest=digest_of(b"source"),
        ),
        KEY,
    )


def holds(text: str) -> Verdict | None:
    """Return the verdict that an auditor believes, if there is one in the text."""
    try:
        verdict = Verdict.model_validate_json(text)
        check_verdict(verdict, KEYS)
    except (ValidationError, SignatureError):
        return None
    return verdict


def test_a_signature_holds_and_names_its_key(rejected: Verdict) -> None:
    assert holds(rejected.model_dump_json(by_alias=True, exclude_none=True)) == rejected
    assert holds(rejected.replace(duration_seconds=9).model_dump_json(by_alias=True)) is not None
    with pytest.raises(SignatureError, match="trusted: none") as error:
        check_verdict(rejected, ())
    assert error.value.reason == "UntrustedKey"
    assert (
        rejected.evidence_digest()
        == rejected.replace(signature=None, key_id=None, duration_seconds=7).evidence_digest()
    )


Place = tuple[str | int, ...]


def places(value: Any, path: Place = ()) -> Iterator[Place]:
    """Yield where every value of a JSON document is, the whole first."""
    yield path
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for name, child in children:
        yield from places(child, (*path, name))


def at(document: Any, path: Place) -> Any:
    for name in path:
        document = document[name]
    return document


def others(value: Any) -> list[Any]:
    """Return other values, of the same type and of every other one."""
    found: list[Any] = [None, True, False, 0, 1, -1, 1.5, "", "x", [], {}, [value], {"x": value}]
    found += [phase.value for phase in Phase]
    if isinstance(value, str):
        found += [value + "x", value[:-1], value.swapcase(), value[::-1]]
        found += [value[:-1] + ("0" if value[-1:] != "0" else "1")]
    if isinstance(value, int):
        found += [value + 1, value - 1, -value, str(value)]
    return found


def changes(document: Any) -> Iterator[Callable[[Any], None]]:
    """Yield every change of one place: another value, none, one more, another order."""
    for path in places(document):
        value = at(document, path)
        if path:
            for other in others(value):
                yield lambda d, p=path, o=other: at(d, p[:-1]).__setitem__(p[-1], o)
            yield lambda d, p=path: at(d, p[:-1]).__delitem__(p[-1])
        if isinstance(value, dict):
            for name in ("extra", "accepted", "phase", "waived"):
                if name not in value:
                    yield lambda d, p=path, n=name: at(d, p).__setitem__(n, True)
        if isinstance(value, list):
            for item in value[:1]:
                yield lambda d, p=path, i=item: at(d, p).append(i)
            if len(value) > 1:
                yield lambda d, p=path: at(d, p).reverse()


def test_no_change_of_one_field_survives(rejected: Verdict) -> None:
    document = rejected.to_json()
    broken = 0
    for change in changes(document):
        changed = copy.deepcopy(document)
        change(changed)
        believed = holds(json.dumps(changed))
        if believed is None:
            broken += 1
        else:
            # Another spelling of the same verdict, or the one field that is not covered.
            assert believed.replace(duration_seconds=rejected.duration_seconds) == rejected
            assert not believed.accepted
    assert broken > 10 * sum(1 for _ in places(document))


@given(st.data())
def test_no_other_value_anywhere_survives(rejected: Verdict, data: st.DataObject) -> None:
    document = copy.deepcopy(rejected.to_json())
    path = data.draw(st.sampled_from([p for p in places(document) if p]))
    at(document, path[:-1])[path[-1]] = data.draw(JSON)
    believed = holds(json.dumps(document))
    if believed is not None:
        assert believed.replace(duration_seconds=rejected.duration_seconds) == rejected


@pytest.mark.parametrize("field", [*NOT_COVERED, "accepted", "signature", "keyId", "digest"])
def test_what_is_covered(rejected: Verdict, field: str) -> None:
    document = rejected.to_json()
    document[field] = {"durationSeconds": 9, "accepted": True}.get(field)
    assert (holds(json.dumps(document)) is not None) == (field in NOT_COVERED)


def test_a_strangers_signature_counts_for_nothing(rejected: Verdict) -> None:
    flipped = sign_verdict(rejected.replace(accepted=True), STRANGER)
    assert holds(flipped.model_dump_json(by_alias=True)) is None
    disguised = flipped.replace(key_id=rejected.key_id)
    with pytest.raises(SignatureError) as error:
        check_verdict(disguised, KEYS)
    assert error.value.reason == "BadSignature"


def test_a_tokens_signature_is_none_of_a_verdict(rejected: Verdict) -> None:
    token: DeploymentToken = claims(key_id=rejected.key_id)
    signature = sign(token, KEY).partition(".")[2]
    assert holds(rejected.replace(signature=signature).model_dump_json(by_alias=True)) is None


def test_a_verdict_with_a_float_is_not_signed(rejected: Verdict) -> None:
    check = Check(
        id="x", stage=Stage.BUILD, phase=Phase.PASSED, message="", evidence={"figure": 0.5}
    )
    with pytest.raises(SignatureError, match="canonical"):
        sign_verdict(rejected.replace(checks=(check,)), KEY)


@given(st.binary(max_size=70))
def test_base64url_has_one_spelling(data: bytes) -> None:
    assert decode(encode(data)) == data


@given(st.text(alphabet="AB-_=+/ \n", max_size=9))
def test_other_spellings_are_refused(text: str) -> None:
    try:
        data = decode(text)
    except ValueError:
        return
    assert encode(data) == text


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_are_believed(data: bytes) -> None:
    assert holds(data.decode(errors="replace")) is None
