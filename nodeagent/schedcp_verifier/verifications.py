"""Verifications as jobs: asked for once, run once, remembered on disk.

A verification's id is the digest of its request. What it came to is kept together with a digest of
everything else that the verdict depends on (sources, headers, kernel, programs, tools), so that a
changed scheduler is proven anew under the same id, and a verdict from before the change counts for
nothing: it is neither found nor signed. What was proven for another request is not proven again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from schedcp_api.services import Verification, VerificationState
from schedcp_api.verdicts import Verdict, VerificationRequest

from .errors import KernelUnavailable, VerifierError
from .kernels import KernelBundle, KernelShelf
from .remembering import Remembered, VerdictStore
from .verifying import Verified

__all__ = ["Prover", "Verifications", "outcome_of"]


class Prover(Protocol):
    """What proves a candidate on a kernel."""

    def identity(self, request: VerificationRequest, kernel: KernelBundle) -> str:
        """Return the digest of all that a verdict depends on beside the request."""
        ...

    def verify(
        self,
        request: VerificationRequest,
        kernel: KernelBundle,
        *,
        proven: Verified | None = None,
    ) -> Verified:
        """Return the verdict and the object; `proven` holds but for its replay."""
        ...


@dataclass
class Verifications:
    """The verifications of one server."""

    prover: Prover
    shelf: KernelShelf
    store: VerdictStore
    pool: ThreadPoolExecutor
    sign: Callable[[Verdict], Verdict]
    """Puts the signer's signature under whatever leaves here."""
    _running: dict[str, Verification] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, request: VerificationRequest) -> Verification:
        """Start a verification unless it runs or is done, and return how it stands.

        Raise UsageError when the request contradicts itself.
        """
        id_ = request.content_digest()
        fingerprint = self._fingerprint(request)
        with self._lock:
            known = self._running.get(id_)
            if known is not None and known.state is VerificationState.RUNNING:
                return known
            remembered = self._known(id_, request, fingerprint)
            if remembered is not None:
                self._running.pop(id_, None)
                return _done(id_, remembered.verdict)
            started = Verification(id=id_, state=VerificationState.RUNNING)
            self._running[id_] = started
        self.pool.submit(self._work, id_, request, fingerprint)
        return started

    def _known(self, id_: str, request: VerificationRequest, fingerprint: str) -> Remembered | None:
        """Return the answer to this request, or to one that asked the same thing."""
        remembered = self.store.find(id_)
        if remembered is not None and remembered.fingerprint == fingerprint:
            return remembered
        same = self.store.same(request, fingerprint)
        if same is None:
            return None
        signed = replace(same, verdict=self.sign(same.verdict))
        return self.store.keep(request, fingerprint, signed)

    def find(self, id_: str) -> Verification | None:
        """Return how a verification stands, nothing when it is unknown or out of date."""
        with self._lock:
            known = self._running.get(id_)
        if known is not None:
            return known
        remembered = self.proven(id_)
        return _done(id_, remembered.verdict) if remembered is not None else None

    def proven(self, id_: str) -> Remembered | None:
        """Return a finished verification if all that it depends on is still the same."""
        remembered = self.store.find(id_)
        if remembered is None or remembered.fingerprint != self._fingerprint(remembered.request):
            return None
        return remembered

    def _fingerprint(self, request: VerificationRequest) -> str:
        """Return the digest of what a verdict depends on, none where its kernel is not there."""
        try:
            kernel = self.shelf.by_digest(request.kernel_digest)
        except KernelUnavailable:
            return ""
        return self.prover.identity(request, kernel)

    def _work(self, id_: str, request: VerificationRequest, fingerprint: str) -> None:
        outcome = outcome_of(id_, lambda: self._verify(request, fingerprint))
        with self._lock:
            if outcome.state is VerificationState.DONE:
                del self._running[id_]  # the store has it, and knows when it is out of date
            else:
                self._running[id_] = outcome

    def _verify(self, request: VerificationRequest, fingerprint: str) -> Verified:
        kernel = self.shelf.by_digest(request.kernel_digest)
        proven = self.store.proven(request, fingerprint)
        verified = self.prover.verify(request, kernel, proven=proven)
        verified = replace(verified, verdict=self.sign(verified.verdict))
        self.store.keep(request, fingerprint, verified)
        return verified


def _done(id_: str, verdict: Verdict) -> Verification:
    return Verification(id=id_, state=VerificationState.DONE, verdict=verdict)


def outcome_of(id_: str, work: Callable[[], Verified]) -> Verification:
    """Return what the work came to; whatever breaks is the verifier's trouble and says so."""
    try:
        verdict = work().verdict
    except VerifierError as error:
        return Verification(id=id_, state=VerificationState.LOST, message=str(error)[:2048])
    except Exception as error:  # noqa: BLE001 -- a thread's end must be told to whoever waits
        words = f"the verifier failed: {type(error).__name__}: {error}"
        return Verification(id=id_, state=VerificationState.LOST, message=words[:2048])
    if verdict.undecided:
        why = "; ".join(verdict.reasons())[:2048]
        return Verification(id=id_, state=VerificationState.LOST, verdict=verdict, message=why)
    return _done(id_, verdict)
