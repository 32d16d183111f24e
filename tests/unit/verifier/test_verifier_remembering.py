"""A known answer is given again only while everything about it still holds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.verdicts import EvaluationContract, Phase, VerificationRequest
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.keyring import KeyFolder
from schedcp_verifier.remembering import VerdictStore, subject_digest
from schedcp_verifier.signer import Signer
from schedcp_verifier.verifying import Verified
from support.verifier import OBJECT, make_bundle, verdict_of, workload_profile

FINGERPRINT = digest_of(b"today's tools")


class Shelf:
    """A store with one verdict in it."""

    def __init__(self, folder: Path, *, accepted: bool = True) -> None:
        self.folder = folder
        self.kernel = KernelBundle.open(make_bundle(folder / "kernel"))
        self.signer = Signer.open(folder / "state")
        self.store = VerdictStore(folder / "state", self.signer.vouches)
        self.request = VerificationRequest(
            candidate=Candidate(
                kind=PlanKind.CONFIGURE,
                scheduler="fifo",
                arguments=(Argument(name="slice_ns", value="1"),),
            ),
            kernel_digest=self.kernel.profile.content_digest(),
        )
        self.keep(self.request, accepted=accepted)

    def keep(self, request: VerificationRequest, *, accepted: bool = True) -> None:
        """Remember a verdict on a request."""
        phase = Phase.PASSED if accepted else Phase.FAILED
        verdict = verdict_of(request, self.kernel, accepted=accepted, phase=phase)
        self.store.keep(request, FINGERPRINT, Verified(self.signer.verdict(verdict), OBJECT))

    def files(self, kind: str) -> list[Path]:
        """The files of a kind."""
        return sorted((self.folder / "state" / kind).glob("*"))


@pytest.mark.parametrize("accepted", [True, False])
def test_a_known_answer_is_found_with_its_object(tmp_path: Path, *, accepted: bool) -> None:
    shelf = Shelf(tmp_path, accepted=accepted)
    found = shelf.store.same(shelf.request, FINGERPRINT)
    assert found is not None
    assert found.verdict.accepted is accepted
    assert found.object == (OBJECT if accepted else None)
    assert shelf.store.find(shelf.request.content_digest()) is not None


CANDIDATE = Candidate(kind=PlanKind.CONFIGURE, scheduler="fifo")
OTHERS: list[Callable[[VerificationRequest], VerificationRequest]] = [
    lambda r: r.replace(candidate=CANDIDATE),
    lambda r: r.replace(candidate=r.candidate.replace(scheduler="lifo")),
    lambda r: r.replace(candidate=r.candidate.replace(source_digest=digest_of(b"source"))),
    lambda r: r.replace(kernel_digest=digest_of(b"another kernel")),
    lambda r: r.replace(contract=EvaluationContract(seeds=3)),
    lambda r: r.replace(profile=workload_profile()),
]


@pytest.mark.parametrize("other", OTHERS)
def test_whatever_the_answer_depends_on_makes_another_question(
    tmp_path: Path, other: Callable[[VerificationRequest], VerificationRequest]
) -> None:
    shelf = Shelf(tmp_path)
    assert shelf.store.same(other(shelf.request), FINGERPRINT) is None
    assert subject_digest(other(shelf.request), FINGERPRINT) != subject_digest(
        shelf.request, FINGERPRINT
    )


PROFILED = OTHERS[-1]


def test_of_an_acceptance_under_another_profile_the_proof_holds(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for request in (shelf.request, PROFILED(shelf.request)):
        found = shelf.store.proven(request, FINGERPRINT)
        assert found is not None
        assert (found.verdict.accepted, found.object) == (True, OBJECT)


@pytest.mark.parametrize("other", OTHERS[:-1])
def test_a_proof_of_anything_else_does_not_hold(
    tmp_path: Path, other: Callable[[VerificationRequest], VerificationRequest]
) -> None:
    shelf = Shelf(tmp_path)
    assert shelf.store.proven(other(shelf.request), FINGERPRINT) is None
    assert shelf.store.proven(shelf.request, digest_of(b"tomorrow's tools")) is None


@pytest.mark.parametrize("damage", ["forged", "object"])
def test_a_proof_that_is_damaged_does_not_hold(tmp_path: Path, damage: str) -> None:
    shelf = Shelf(tmp_path)
    (path,) = shelf.files("proofs" if damage == "forged" else "objects")
    if damage == "forged":
        flip(path)
    else:
        path.unlink()
    assert shelf.store.proven(PROFILED(shelf.request), FINGERPRINT) is None


def test_of_a_rejection_nothing_holds_for_another_profile(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, accepted=False)
    assert shelf.store.proven(PROFILED(shelf.request), FINGERPRINT) is None


def test_other_tools_make_another_question(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert shelf.store.same(shelf.request, digest_of(b"tomorrow's tools")) is None


def flip(path: Path) -> None:
    """Turn a kept rejection into an acceptance, as whoever can write to the disk might."""
    kept = json.loads(path.read_text())
    kept["verdict"]["accepted"] = True
    kept["verdict"]["checks"] = []
    path.write_text(json.dumps(kept))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(b"\xff" * 99),
        lambda path: path.write_text("{}"),
        lambda path: os.truncate(path, 10**10),
        flip,
    ],
)
def test_what_is_damaged_counts_as_nothing(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    shelf = Shelf(tmp_path, accepted=False)
    for kind in ("subjects", "verdicts"):
        (path,) = shelf.files(kind)
        damage(path)
    assert shelf.store.same(shelf.request, FINGERPRINT) is None
    assert shelf.store.find(shelf.request.content_digest()) is None


@pytest.mark.parametrize("spoil", [lambda p: p.unlink(), lambda p: p.write_bytes(b"another")])
def test_an_acceptance_without_its_object_counts_as_nothing(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    shelf = Shelf(tmp_path)
    (path,) = shelf.files("objects")
    spoil(path)
    assert shelf.store.same(shelf.request, FINGERPRINT) is None
    assert shelf.store.find(shelf.request.content_digest()) is None


def test_a_file_under_another_name_answers_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    other = shelf.request.replace(contract=EvaluationContract(seeds=3))
    (subject,), (verdict,) = shelf.files("subjects"), shelf.files("verdicts")
    for path, digest in (
        (subject, subject_digest(other, FINGERPRINT)),
        (verdict, other.content_digest()),
    ):
        path.rename(path.with_name(digest.removeprefix("sha256:")))
    assert shelf.store.same(other, FINGERPRINT) is None
    assert shelf.store.find(other.content_digest()) is None


def test_verdicts_of_an_old_key_count_until_it_is_revoked(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    folder = KeyFolder(tmp_path / "state")
    old = shelf.signer.key.public_key()
    folder.rotate()
    signer = Signer.open(tmp_path / "state")
    store = VerdictStore(tmp_path / "state", signer.vouches)
    found = store.same(shelf.request, FINGERPRINT)
    assert found is not None
    assert found.verdict.key_id is not None
    folder.revoke(folder.revocations().replace(key_ids=(found.verdict.key_id,)))
    assert old.public_bytes_raw() != signer.key.public_key().public_bytes_raw()
    assert store.same(shelf.request, FINGERPRINT) is None


def test_what_could_not_tell_is_not_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    request = shelf.request.replace(contract=EvaluationContract(seeds=3))
    verdict = verdict_of(request, shelf.kernel, accepted=False, phase=Phase.ERROR)
    shelf.store.keep(request, FINGERPRINT, Verified(shelf.signer.verdict(verdict), None))
    assert shelf.store.same(request, FINGERPRINT) is None


def age(shelf: Shelf) -> None:
    """Put every file further into the past."""
    for kind in ("verdicts", "subjects", "objects"):
        for path in shelf.files(kind):
            stamp = path.stat().st_mtime_ns - 10**9
            os.utime(path, ns=(stamp, stamp))


@pytest.mark.parametrize("bound", ["files", "bytes"])
def test_the_longest_unused_goes_first(tmp_path: Path, bound: str) -> None:
    shelf = Shelf(tmp_path, accepted=False)
    size = sum(path.stat().st_size for path in shelf.files("verdicts"))
    limits = {"most_files": 4} if bound == "files" else {"most_bytes": 4 * size + 99}
    shelf.store = VerdictStore(tmp_path / "state", shelf.signer.vouches, **limits)
    requests = [shelf.request]
    for seeds in (3, 4):
        age(shelf)
        assert shelf.store.same(shelf.request, FINGERPRINT) is not None  # used, so it stays
        assert shelf.store.find(shelf.request.content_digest()) is not None
        requests.append(shelf.request.replace(contract=EvaluationContract(seeds=seeds)))
        shelf.keep(requests[-1], accepted=False)
    known = [shelf.store.same(request, FINGERPRINT) is not None for request in requests]
    assert known == [True, False, True]
    kept = [path for kind in ("verdicts", "subjects") for path in shelf.files(kind)]
    assert len(kept) == 4
