"""The operator's content-addressed store, as the agent uses it: fetch an object, put a profile."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from schedcp_api.base import digest_of
from schedcp_api.services import MAX_BLOB_BYTES

from .errors import AgentError, CorruptBlob, RequestFailed
from .observations import FetchFailure
from .web import Web

_KEPT_OBJECTS = 8
_BACKOFF_SECONDS = (1, 2, 4, 8, 15, 30)


class Blobs(Protocol):
    """Bytes by their digest."""

    def get(self, digest: str) -> bytes:
        """Return the blob; raise RequestFailed, or CorruptBlob for bytes that are not it."""

    def put(self, data: bytes) -> str:
        """Store `data` and return its digest; raise RequestFailed."""


class OperatorBlobs:
    """`Blobs` over the operator's HTTP interface."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def get(self, digest: str) -> bytes:
        """Fetch and check."""
        data = self._web.get(f"/v1/blobs/{digest}", limit=MAX_BLOB_BYTES)
        if digest_of(data) != digest:
            raise CorruptBlob(
                f"the operator sent {digest_of(data)} ({len(data)} bytes) for {digest}"
            )
        return data

    def put(self, data: bytes) -> str:
        """Upload under the digest."""
        digest = digest_of(data)
        self._web.send(
            "PUT", f"/v1/blobs/{digest}", body=data, content_type="application/octet-stream"
        )
        return digest


@dataclass(frozen=True)
class _Trouble:
    failure: FetchFailure
    retry_at: float


class ObjectCache:
    """Objects on this node's disk: fetched in the background, checked, a few of them kept.

    Whoever asks again and again is served again and again, with a pause of half a minute at most.
    """

    def __init__(
        self,
        blobs: Blobs,
        folder: Path,
        executor: Executor,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._blobs = blobs
        self._folder = folder
        self._executor = executor
        self._clock = clock
        self._pending: dict[str, Future[bytes]] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._present: list[str] = []
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, digest: str) -> Path:
        """Return where the object lies, or would lie."""
        return self._folder / f"{digest.removeprefix('sha256:')}.bpf.o"

    @property
    def present(self) -> frozenset[str]:
        """Return the digests of the objects that lie here."""
        return frozenset(self._present)

    @property
    def failures(self) -> dict[str, FetchFailure]:
        """Return why objects are not here, where fetching them has failed so far."""
        return {digest: trouble.failure for digest, trouble in self._troubles.items()}

    def request(self, digest: str) -> None:
        """Start to fetch, unless that is under way or must wait after a failure."""
        trouble = self._troubles.get(digest)
        waits = trouble is not None and self._clock() < trouble.retry_at
        if digest not in self._pending and digest not in self._present and not waits:
            self._pending[digest] = self._executor.submit(self._blobs.get, digest)

    def forgive(self, digest: str) -> None:
        """Forget that fetching failed: a new wish for the object begins anew."""
        self._troubles.pop(digest, None)

    def drop(self, digest: str) -> None:
        """Remove an object that turned out to be bad on this disk; it will be fetched again."""
        self.path(digest).unlink(missing_ok=True)
        self._present = [kept for kept in self._present if kept != digest]

    def collect(self) -> None:
        """Take in what has arrived since the last call."""
        for digest in [d for d, future in self._pending.items() if future.done()]:
            future = self._pending.pop(digest)
            try:
                self._keep(digest, future.result())
            except (AgentError, OSError) as err:
                self._note(digest, err)

    def _keep(self, digest: str, data: bytes) -> None:
        temporary = self.path(digest).with_suffix(".new")
        temporary.write_bytes(data)
        temporary.replace(self.path(digest))
        self._troubles.pop(digest, None)
        self._present.append(digest)
        for old in self._present[:-_KEPT_OBJECTS]:
            self.path(old).unlink(missing_ok=True)
        self._present = self._present[-_KEPT_OBJECTS:]

    def _note(self, digest: str, err: Exception) -> None:
        before = self._troubles.get(digest)
        attempts = before.failure.attempts + 1 if before else 1
        corrupt = isinstance(err, CorruptBlob)
        # Not found may only mean that the operator is restoring its store.
        refused = isinstance(err, RequestFailed) and err.permanent and err.status != 404
        self._troubles[digest] = _Trouble(
            FetchFailure(
                attempts=attempts,
                permanent=corrupt or refused,
                reason="CorruptObject" if corrupt else "FetchFailed",
                message=str(err),
            ),
            self._clock() + _BACKOFF_SECONDS[min(attempts, len(_BACKOFF_SECONDS)) - 1],
        )
