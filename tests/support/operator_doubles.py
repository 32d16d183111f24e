"""In-memory twins of the operator's edges."""

import json
from collections.abc import Mapping
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schedcp_api.base import digest_of
from schedcp_api.manifests import SchedulerManifest
from schedcp_api.policies import MetricSource
from schedcp_api.runs import Lesson
from schedcp_api.services import (
    TokenRequest,
    Verification,
    VerificationState,
)
from schedcp_api.tokens import TokenClaims
from schedcp_api.verdicts import Verdict, VerificationRequest
from schedcp_operator.errors import (
    Conflict,
    KubeUnavailable,
    NotFound,
    OperatorError,
    Refused,
)
from schedcp_operator.jobs import JobRun
from schedcp_operator.kube import Json, Listing, Resource
from schedcp_operator.library import LibraryEntry
from schedcp_operator.store import LESSONS

from .operator_nouns import KEY, NOW, OBJECT, token, verdict


def _copied(body: Json) -> Json:
    copied: Json = json.loads(json.dumps(body))
    return copied


class MemoryKube:
    """An API server in memory: versions, conflicts, and outages on demand."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Json] = {}
        self.logs: dict[str, bytes] = {}
        self.down = False
        self.refused: set[tuple[str, str]] = set()
        self.version = 0

    def refuse(self, resource: Resource, name: str) -> None:
        """Have no write of that object admitted."""
        self.refused.add((resource.kind, name))

    def put(self, resource: Resource, body: Json, *, namespace: str = "") -> Json:
        """Write an object as somebody else does."""
        self.version += 1
        kept = _copied(body)
        kept["metadata"] = {
            "uid": f"uid-{self.version}",
            **kept["metadata"],
            "resourceVersion": str(self.version),
        }
        if resource.namespaced:
            kept["metadata"]["namespace"] = namespace or kept["metadata"].get("namespace", "")
        self.objects[self._key(resource, kept)] = kept
        return _copied(kept)

    def _key(self, resource: Resource, body: Json) -> tuple[str, str, str]:
        metadata = body["metadata"]
        return resource.kind, metadata.get("namespace", ""), metadata["name"]

    def _check(self) -> None:
        if self.down:
            raise KubeUnavailable("connection refused")

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> Json:
        """One object."""
        self._check()
        found = self.objects.get((resource.kind, namespace, name))
        if found is None:
            raise NotFound(name)
        return _copied(found)

    async def list(self, resource: Resource, *, namespace: str = "", selector: str = "") -> Listing:
        """Every object of a kind; the selector is one `key=value`."""
        self._check()
        key, _, value = selector.partition("=")
        found = [
            _copied(body)
            for (kind, _, _), body in self.objects.items()
            if kind == resource.kind
            and (not key or (body["metadata"].get("labels") or {}).get(key) == value)
        ]
        return Listing(found, self.version)

    async def create(self, resource: Resource, body: Json, *, namespace: str = "") -> Json:
        """Create, unless it is there."""
        self._check()
        if (resource.kind, body["metadata"]["name"]) in self.refused:
            raise Refused("admission says no")
        if (resource.kind, namespace, body["metadata"]["name"]) in self.objects:
            raise Conflict("exists")
        return self.put(resource, body, namespace=namespace)

    async def replace(self, resource: Resource, body: Json, *, status: bool = False) -> Json:
        """Replace the spec or the status of the version that was read."""
        self._check()
        found = self.objects.get(self._key(resource, body))
        if found is None:
            raise NotFound(body["metadata"]["name"])
        if found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise Conflict("another version")
        part = "status" if status else "spec"
        changed = {**found, part: body[part]}
        if part == "spec" and found.get("spec") != body["spec"]:
            generation = int(found["metadata"].get("generation", 1)) + 1
            changed["metadata"] = {**found["metadata"], "generation": generation}
        return self.put(resource, changed, namespace=found["metadata"].get("namespace", ""))

    async def delete(
        self, resource: Resource, name: str, *, namespace: str = "", version: str = ""
    ) -> None:
        """Delete, unless another version than the one that is named is there."""
        self._check()
        found = self.objects.get((resource.kind, namespace, name))
        if found is not None and version not in ("", found["metadata"]["resourceVersion"]):
            raise Conflict("another version")
        self.objects.pop((resource.kind, namespace, name), None)

    async def pod_log(
        self, name: str, *, namespace: str, container: str, limit_bytes: int
    ) -> bytes:
        """The log of a pod's signer; of any other container nothing is believed."""
        assert container == "signer"
        self._check()
        return self.logs[name][:limit_bytes]


class MemoryStore:
    """A store in memory."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.kept: dict[str, Lesson] = {}
        self.jobs: dict[str, JobRun] = {}
        self.imported: dict[str, tuple[LibraryEntry, str]] = {}
        self.problem: OperatorError | None = None

    def _check(self) -> None:
        if self.problem is not None:
            raise self.problem

    async def put_blob(self, data: bytes) -> str:
        """Keep bytes."""
        self._check()
        self.blobs[digest_of(data)] = data
        return digest_of(data)

    async def get_blob(self, digest: str) -> bytes | None:
        """Bytes, or None."""
        self._check()
        return self.blobs.get(digest)

    async def add_lessons(self, lessons: tuple[Lesson, ...]) -> str:
        """Keep lessons."""
        self._check()
        self.kept.update({lesson.content_digest(): lesson for lesson in lessons})
        return await self.put_blob(LESSONS.dump_json(lessons, by_alias=True))

    async def lessons(self) -> tuple[Lesson, ...]:
        """Every lesson."""
        self._check()
        return tuple(self.kept.values())

    async def add_job_runs(self, runs: tuple[JobRun, ...]) -> None:
        """Keep runs of jobs."""
        self._check()
        self.jobs.update({run.uid: run for run in runs})

    async def job_runs(self) -> tuple[JobRun, ...]:
        """Every run of a job."""
        self._check()
        return tuple(self.jobs.values())

    async def add_source(self, manifest: SchedulerManifest, source: str) -> str:
        """Keep a source."""
        digest = digest_of(source.encode())
        self.imported[manifest.name] = (LibraryEntry(manifest, digest), source)
        return digest

    async def sources(self) -> Mapping[str, LibraryEntry]:
        """Imported schedulers."""
        self._check()
        return {name: entry for name, (entry, _) in self.imported.items()}

    async def source(self, digest: str) -> str | None:
        """A source."""
        found = [s for entry, s in self.imported.values() if entry.source_digest == digest]
        return found[0] if found else None

    async def close(self) -> None:
        """Nothing to close."""


class MemoryVerifier:
    """A verifier that accepts everything."""

    def __init__(self) -> None:
        self.problem: OperatorError | None = None
        self.requests: list[VerificationRequest] = []
        self._verdicts: dict[str, Verdict] = {}

    async def start(self, request: VerificationRequest, claims: TokenClaims) -> Verification:
        """Start."""
        if self.problem is not None:
            raise self.problem
        self.requests.append(request)
        given = verdict(request.candidate, request.contract.content_digest())
        self._verdicts[request.content_digest()] = given
        return Verification(id=request.content_digest(), state=VerificationState.RUNNING)

    async def status(self, verification: str) -> Verification:
        """Done at once."""
        if self.problem is not None:
            raise self.problem
        if verification not in self._verdicts:
            raise NotFound(verification)
        return Verification(
            id=verification,
            state=VerificationState.DONE,
            verdict=self._verdicts[verification],
        )

    async def fetch(self, digest: str) -> bytes:
        """The object."""
        built = (given for given in self._verdicts.values() if given.program_digest is None)
        for given in built:
            data = OBJECT + given.scheduler.encode()
            if digest_of(data) == digest:
                return data
        raise NotFound(digest)

    async def sign(self, request: TokenRequest) -> str:
        """A token."""
        if request.verification not in self._verdicts:
            raise Refused("no accepted verdict")
        return token(request, self._verdicts[request.verification], now=NOW)

    async def keys(self) -> tuple[str, ...]:
        """The signer's keys."""
        if self.problem is not None:
            raise self.problem
        return (pem(),)


def pem() -> str:
    """The test signer's public key."""
    raw = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return raw.decode()


class MemoryFigures:
    """Figures that are the same everywhere."""

    def __init__(self, value: float | None = 1.0) -> None:
        self.answer = value
        self.scraped: int | None = None
        self.problem: OperatorError | None = None
        self.asked: list[tuple[str, str, datetime, datetime]] = []

    async def ping(self) -> None:
        """Answer."""
        if self.problem is not None:
            raise self.problem

    async def value(
        self, metric: MetricSource, *, policy: str, node: str, start: datetime, end: datetime
    ) -> float | None:
        """The one figure."""
        await self.ping()
        self.asked.append((metric.name, node, start, end))
        return self.answer

    async def scrapes(self, *, start: datetime, end: datetime) -> int | None:
        """The one number."""
        await self.ping()
        return self.scraped
