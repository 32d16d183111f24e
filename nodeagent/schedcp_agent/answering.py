"""Answer profile requests: open a window, close it, upload, and say how it went."""

import logging
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from schedcp_api.base import canonical_json
from schedcp_api.nodestates import (
    ProfilePhase,
    ProfileRequest,
    ProfileResult,
    SchedulerNodeStateSpec,
)

from .blobs import Blobs
from .errors import AgentError, RequestFailed
from .measuring import Measuring
from .profiler import Mark, Subject, build_profile

_LOG = logging.getLogger(__name__)
_PROBES_WAIT = timedelta(seconds=120)
"""How long a request waits for probes that are still being compiled."""
_UPLOAD_RETRIES = 5


@dataclass(frozen=True)
class _Window:
    request: ProfileRequest
    subject: Subject
    begin: Mark


@dataclass(frozen=True)
class _Upload:
    request_id: str
    data: bytes
    future: Future[str]
    failures: int = 0
    retry_at: datetime | None = None


class Answering:
    """At most one profile at a time; a new request replaces the one under way."""

    def __init__(
        self, measuring: Measuring, blobs: Blobs, executor: Executor, *, node: str, cpus: int
    ) -> None:
        self._measuring = measuring
        self._blobs = blobs
        self._executor = executor
        self._node = node
        self._cpus = cpus
        self._window: _Window | None = None
        self._upload: _Upload | None = None
        self._asked: tuple[str, datetime] | None = None

    def tick(
        self,
        result: ProfileResult | None,
        spec: SchedulerNodeStateSpec | None,
        *,
        kernel_digest: str,
        now: datetime,
    ) -> ProfileResult | None:
        """Return the answer so far; call after `Measuring.refresh` with the same spec."""
        request = spec.profile_request if spec else None
        if request is None or spec is None:
            self._drop()
            return result
        if result is not None and result.id == request.id and result.phase is not _RUNNING:
            return result
        if self._window is not None and self._window.request.id != request.id:
            self._drop()
        try:
            return self._go_on(request, spec, kernel_digest=kernel_digest, now=now)
        except AgentError as err:
            self._drop()
            return _failed(request, str(err))

    def _go_on(
        self,
        request: ProfileRequest,
        spec: SchedulerNodeStateSpec,
        *,
        kernel_digest: str,
        now: datetime,
    ) -> ProfileResult:
        if self._upload is not None and self._upload.request_id == request.id:
            return self._uploaded(request, self._upload, now=now)
        if self._window is None:
            if self._asked is None or self._asked[0] != request.id:
                self._asked = (request.id, now)
            if not self._measuring.ready and now < self._asked[1] + _PROBES_WAIT:
                return _running(request, self._measuring.problem)
            return self._open(request, spec, kernel_digest=kernel_digest, now=now)
        if now < self._window.begin.at + timedelta(seconds=request.seconds):
            return _running(request, f"profiling for {request.seconds} s")
        return self._finish(self._window, now=now)

    def _open(
        self,
        request: ProfileRequest,
        spec: SchedulerNodeStateSpec,
        *,
        kernel_digest: str,
        now: datetime,
    ) -> ProfileResult:
        workload = next((w for w in spec.workloads if w.policy == request.policy), None)
        side = self._measuring.ledger.sides.get(request.policy)
        if workload is None or side is None:
            return _failed(request, f"no workload of policy {request.policy} is tracked here")
        if not any(pod.uid in self._measuring.ledger.last for pod in workload.pods):
            return _failed(request, f"no pod of {workload.workload} runs on this node")
        self._measuring.begin_groups()
        subject = Subject(self._node, workload.workload, kernel_digest, self._cpus, side)
        begin = self._measuring.mark(request.policy, now=now)
        self._window = _Window(request, subject, begin)
        return _running(request, f"profiling for {request.seconds} s")

    def _finish(self, window: _Window, *, now: datetime) -> ProfileResult:
        groups = self._measuring.end_groups()
        end = self._measuring.mark(window.request.policy, now=now)
        self._window = None
        profile = build_profile(window.subject, window.begin, end, groups)
        data = canonical_json(profile.to_json())
        self._upload = _Upload(
            window.request.id, data, self._executor.submit(self._blobs.put, data)
        )
        return _running(window.request, "uploading the profile")

    def _uploaded(
        self, request: ProfileRequest, upload: _Upload, *, now: datetime
    ) -> ProfileResult:
        """Look after the upload: done, under way, or to be tried again a few times."""
        if upload.retry_at is not None:
            if now >= upload.retry_at:
                future = self._executor.submit(self._blobs.put, upload.data)
                self._upload = replace(upload, future=future, retry_at=None)
            return _running(request, "the upload failed and is tried again")
        if not upload.future.done():
            return _running(request, "uploading the profile")
        error = upload.future.exception()
        if error is None:
            self._upload = None
            return ProfileResult(
                id=request.id,
                phase=ProfilePhase.DONE,
                digest=upload.future.result(),
                message="uploaded",
            )
        if not isinstance(error, RequestFailed) or upload.failures >= _UPLOAD_RETRIES:
            raise error
        wait = timedelta(seconds=2**upload.failures)
        self._upload = replace(upload, failures=upload.failures + 1, retry_at=now + wait)
        return _running(request, str(error))

    def _drop(self) -> None:
        if self._window is not None and self._measuring.ready:
            self._measuring.end_groups()
        self._window, self._upload = None, None


_RUNNING = ProfilePhase.RUNNING


def _running(request: ProfileRequest, message: str) -> ProfileResult:
    return ProfileResult(id=request.id, phase=_RUNNING, message=message[:2048])


def _failed(request: ProfileRequest, message: str) -> ProfileResult:
    _LOG.warning("profile %s failed: %s", request.id, message)
    return ProfileResult(id=request.id, phase=ProfilePhase.FAILED, message=message[:2048])
