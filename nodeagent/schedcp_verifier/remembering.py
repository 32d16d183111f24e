"""What was proven once is not proven again: finished verifications and built objects on disk.

A verdict is found by its request, and by what it is about: the candidate's source or program with
its arguments, the kernel, the contract, the profile, and the fingerprint of everything else that it
depends on, so that another policy's request for the same thing is answered at once. Of an
acceptance under another profile all but the replay holds. Nothing is found unless its signature
still holds and the object that it accepts is still there; a file that is damaged counts as nothing.
Programs are not kept: whoever asks about one has it. The longest unused goes when there is too
much. Verdicts that could not tell are not kept.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from schedcp_api.base import Digest, Noun, canonical_json, digest_of
from schedcp_api.verdicts import Verdict, VerificationRequest

from .settings import Settings
from .signer import Signer
from .verifying import Verified

__all__ = ["Remembered", "VerdictStore", "subject_digest", "verdict_store"]

_KINDS = ("verdicts", "subjects", "proofs", "objects")
_FILE_BYTES_MAX = 16 * 1024 * 1024


class Remembered(Noun):
    """A finished verification with what it was asked for."""

    fingerprint: Digest
    request: VerificationRequest
    verdict: Verdict


def subject_digest(request: VerificationRequest, fingerprint: str) -> str:
    """Return the digest of all that the answer depends on: how a candidate came about does not."""
    candidate = request.candidate
    parts = {
        "scheduler": candidate.scheduler,
        "source": candidate.source_digest or candidate.program_digest or "of the library",
        "commandLine": list(candidate.command_line),
        "arguments": [argument.to_json() for argument in candidate.arguments],
        "kernel": request.kernel_digest,
        "contract": request.contract.content_digest(),
        "profile": request.profile.content_digest() if request.profile is not None else "none",
        "fingerprint": fingerprint,
    }
    return digest_of(canonical_json(parts))


@dataclass(frozen=True)
class VerdictStore:
    """Finished verifications and built objects, one file each, written whole or not at all."""

    folder: Path
    vouches: Callable[[Verdict], bool]
    """Whether a verdict's signature holds."""
    most_files: int = 2048
    most_bytes: int = 256 * 1024 * 1024

    def find(self, id_: str) -> Remembered | None:
        """Return what is remembered of the request with that digest."""
        found = self._read(self._path("verdicts", id_))
        return found if found is not None and found.request.content_digest() == id_ else None

    def same(self, request: VerificationRequest, fingerprint: str) -> Verified | None:
        """Return the answer to whatever asked the same thing, as an answer to this request."""
        digest = subject_digest(request, fingerprint)
        found = self._read(self._path("subjects", digest))
        if found is None or subject_digest(found.request, found.fingerprint) != digest:
            return None
        verdict = found.verdict.replace(candidate_digest=request.candidate.content_digest())
        return Verified(verdict, self.object(verdict.digest) if verdict.digest else None)

    def proven(self, request: VerificationRequest, fingerprint: str) -> Verified | None:
        """Return an acceptance of the same under another profile: all but its replay still holds.

        Where a workload is profiled anew for each run, this is what a second run finds.
        """
        bare = request.replace(profile=None)
        found = self._read(self._path("proofs", subject_digest(bare, fingerprint)))
        if found is None or not found.verdict.accepted or found.verdict.digest is None:
            return None
        if subject_digest(found.request.replace(profile=None), found.fingerprint) != (
            subject_digest(bare, fingerprint)
        ):
            return None
        return Verified(found.verdict, self.object(found.verdict.digest))

    def object(self, digest: str) -> bytes | None:
        """Return a built object, unless it is unknown or no longer what it was."""
        data = _bytes(self._path("objects", digest))
        return data if data is not None and digest_of(data) == digest else None

    def keep(
        self, request: VerificationRequest, fingerprint: str, verified: Verified
    ) -> Remembered | None:
        """Remember a finished verification and its object, unless it could not tell."""
        verdict = verified.verdict
        if verdict.undecided:
            return None
        remembered = Remembered(fingerprint=fingerprint, request=request, verdict=verdict)
        text = remembered.model_dump_json(by_alias=True, exclude_none=True).encode()
        if verdict.accepted:
            if verified.object is not None:
                _write(self._path("objects", digest_of(verified.object)), verified.object)
            bare = request.replace(profile=None)
            _write(self._path("proofs", subject_digest(bare, fingerprint)), text)
        _write(self._path("subjects", subject_digest(request, fingerprint)), text)
        _write(self._path("verdicts", request.content_digest()), text)
        self._make_room()
        return remembered

    def _read(self, path: Path) -> Remembered | None:
        data = _bytes(path)
        if data is None:
            return None
        try:
            found = Remembered.model_validate_json(data)
        except ValidationError:
            return None
        verdict = found.verdict
        whole = (
            self.vouches(verdict)
            and verdict.candidate_digest == found.request.candidate.content_digest()
            and verdict.contract_digest == found.request.contract.content_digest()
        )
        if not whole:
            return None
        if verdict.accepted and verdict.program_digest is None:
            if verdict.digest is None or self.object(verdict.digest) is None:
                return None
            _touch(self._path("objects", verdict.digest))
        _touch(path)
        return found

    def _make_room(self) -> None:
        """Remove the longest unused until what is left is within both bounds."""
        files = [
            (stat.st_mtime_ns, stat.st_size, path)
            for kind in _KINDS
            for path in (self.folder / kind).glob("*")
            if (stat := _stat(path)) is not None
        ]
        files.sort(reverse=True)
        total = 0
        for number, (_, size, path) in enumerate(files, 1):
            total += size
            if number > self.most_files or total > self.most_bytes:
                path.unlink(missing_ok=True)

    def _path(self, kind: str, digest: str) -> Path:
        return self.folder / kind / digest.removeprefix("sha256:")


def verdict_store(settings: Settings, signer: Signer) -> VerdictStore:
    """Return the store of the verifier's state folder, which believes what `signer` vouches for."""
    return VerdictStore(
        settings.state_dir.resolve(),
        signer.vouches,
        settings.store_max_files,
        settings.store_max_bytes,
    )


def _bytes(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
    except OSError:
        return None
    return data if len(data) <= _FILE_BYTES_MAX else None


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None  # another process has just made room


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except FileNotFoundError:
        return  # another process has just made room; what was read is whole all the same


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    fresh.write_bytes(data)
    fresh.replace(path)
