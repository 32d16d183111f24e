"""The operator's other sides as small servers of their own: verifier and agents."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import create_default_context
from typing import Any

import httpx
import uvicorn
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from schedcp_api.base import digest_of
from schedcp_api.kernels import KernelProfile
from schedcp_api.manifests import BuiltProgram
from schedcp_api.nodestates import (
    Arm,
    Assignment,
    AssignmentStatus,
    AttachedScheduler,
    DepartedPod,
    ProfilePhase,
    ProfileResult,
    RunState,
    SchedulerNodeStateSpec,
    SchedulerNodeStateStatus,
    SwitchbackProgress,
)
from schedcp_api.policies import OnDisconnect
from schedcp_api.services import (
    ErrorReply,
    PublicKeys,
    TokenReply,
    TokenRequest,
    Verification,
    VerificationState,
)
from schedcp_api.tokens import TokenError, check
from schedcp_api.verdicts import Verdict, VerificationRequest

from .api_server import STATES, Api, ApiError, Json, wait_for
from .operator_blocks import Interval, PacedBlocks
from .operator_nodes import block_records, told
from .operator_nouns import KERNEL, KEY, OBJECT, OTHER_KEY, token, verdict
from .operator_profiles import profile

_TICK_SECONDS = 0.1


@dataclass
class Behaviour:
    """What the world does; a test sets it, the fakes read it."""

    on: float = 0.5
    """The objective in ON blocks; it is 1 in OFF blocks."""
    prometheus_up: bool = True
    rejected: set[str] = field(default_factory=set)
    lost: int = 0
    """How many verifications are lost before one succeeds."""
    forged: bool = False
    ejected: set[str] = field(default_factory=set)
    """Schedulers that the kernel ejects."""
    stuck: bool = False
    """Agents do not give a scheduler up."""
    block_seconds: float = 0
    """How long a block of a switchback takes; 0: all of them are over at once."""
    departed: dict[str, tuple[DepartedPod, ...]] = field(default_factory=dict)
    """The pods that went from each node."""
    kernel: KernelProfile = KERNEL
    programs: tuple[BuiltProgram, ...] = ()
    """What verifier and agents came with."""
    intervals: dict[str, list[Interval]] = field(default_factory=dict)
    """Each node's blocks."""
    verifications: int = 0
    refused_uploads: list[str] = field(default_factory=list)


def signer_reply(
    behaviour: Behaviour, request: TokenRequest, given: Verdict | None
) -> JSONResponse:
    """What the signer says: a token for an accepted verdict, else a refusal."""
    if given is None or not given.accepted:
        refusal = ErrorReply(reason="NotAccepted", message="no accepted verdict")
        return JSONResponse(refusal.to_json(), status_code=409)
    key = OTHER_KEY if behaviour.forged else KEY
    text = token(request, given, now=datetime.now(UTC), key=key)
    return JSONResponse(TokenReply(token=text).to_json())


def verifier_application(behaviour: Behaviour) -> FastAPI:
    """The verifier's interface, as `schedcp_api.services` has it, with a real signing key."""
    app = FastAPI()
    verdicts: dict[str, Verdict] = {}
    objects: dict[str, bytes] = {}

    @app.post("/v1/verifications", status_code=202)
    async def start(request: VerificationRequest) -> Response:
        behaviour.verifications += 1
        program = request.candidate.program_digest
        if program not in (None, *(built.digest for built in behaviour.programs)):
            refusal = ErrorReply(reason="BadRequest", message=f"the program {program} is not here")
            return JSONResponse(refusal.to_json(), status_code=422)
        if behaviour.lost > 0:
            behaviour.lost -= 1
            lost = Verification(
                id=request.content_digest(), state=VerificationState.LOST, message="VM lost"
            )
            return JSONResponse(lost.to_json(), status_code=202)
        accepted = request.candidate.scheduler not in behaviour.rejected
        contract = request.contract.content_digest()
        given = verdict(request.candidate, contract, accepted=accepted)
        verdicts[request.content_digest()] = given
        if given.digest is not None and program is None:
            objects[given.digest] = OBJECT + request.candidate.scheduler.encode()
        running = Verification(id=request.content_digest(), state=VerificationState.RUNNING)
        return JSONResponse(running.to_json(), status_code=202)

    @app.get("/v1/verifications/{name}")
    async def status(name: str) -> Response:
        if name not in verdicts:
            return Response(status_code=404)
        done = Verification(id=name, state=VerificationState.DONE, verdict=verdicts[name])
        return JSONResponse(done.to_json())

    @app.get("/v1/objects/{digest}")
    async def fetch(digest: str) -> Response:
        return Response(objects[digest]) if digest in objects else Response(status_code=404)

    @app.post("/v1/tokens")
    async def sign(request: TokenRequest) -> Response:
        return signer_reply(behaviour, request, verdicts.get(request.verification))

    @app.get("/v1/keys")
    async def keys() -> Json:
        pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return PublicKeys(keys=(pem.decode(),)).to_json()

    return app


class _Server(uvicorn.Server):
    """A server without signal handlers, for a thread."""

    def install_signal_handlers(self) -> None:
        """The test's process keeps its signals."""


@contextmanager
def fake_verifier(behaviour: Behaviour, socket: Path) -> Iterator[None]:
    """A verifier on a unix socket."""
    config = uvicorn.Config(verifier_application(behaviour), uds=str(socket), log_level="error")
    server = _Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, what="the fake verifier serves")
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=30)


class FakeAgents:
    """One thread that plays the agents of every node, through the API server."""

    def __init__(
        self, api: Api, behaviour: Behaviour, *, operator_url: str, authority: str, token: str
    ) -> None:
        self._api = api
        self._behaviour = behaviour
        self._blobs = httpx.Client(
            base_url=operator_url,
            verify=create_default_context(cadata=authority),
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
            trust_env=False,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._paced: dict[tuple[str, str], PacedBlocks] = {}
        self.problems: list[str] = []

    def ask(self, method: str, path: str, token: str | None, data: bytes | None) -> tuple[int, str]:
        """One request to the operator; its status and words."""
        headers = {"Authorization": f"Bearer {token}" if token is not None else ""}
        answer = self._blobs.request(method, path, headers=headers, content=data)
        return answer.status_code, answer.text[:200]

    def __enter__(self) -> "FakeAgents":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        self._blobs.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for raw in self._api.items(STATES):
                    self._tell(raw)
            except httpx.HTTPError as err:
                self.problems.append(str(err))
            time.sleep(_TICK_SECONDS)

    def _tell(self, raw: Json) -> None:
        try:
            self._act(raw)
        except ApiError as err:
            if err.status not in (404, 409, 503):  # gone, changed meanwhile, or just restarted
                self.problems.append(str(err))

    def _act(self, raw: Json) -> None:
        name = raw["metadata"]["name"]
        spec = SchedulerNodeStateSpec.model_validate(raw["spec"])
        before = SchedulerNodeStateStatus.model_validate(raw.get("status") or {})
        now = datetime.now(UTC)
        status = before
        if spec.lease_epoch >= before.observed_epoch:  # never follow one that has been replaced
            status = told(self._observed(name, spec, before, now), now=now).replace(
                observed_generation=raw["metadata"]["generation"],
                observed_epoch=spec.lease_epoch,
                kernel=self._behaviour.kernel,
                programs=self._behaviour.programs,
                departed=self._behaviour.departed.get(name, ()),
            )
        fresh = before.heartbeat_at is not None and now - before.heartbeat_at < timedelta(seconds=1)
        if fresh and status.replace(heartbeat_at=before.heartbeat_at) == before:
            return
        body = {**raw, "status": status.replace(heartbeat_at=now).to_json()}
        self._api.replace(f"{STATES}/{name}/status", body)

    def _observed(
        self,
        name: str,
        spec: SchedulerNodeStateSpec,
        before: SchedulerNodeStateStatus,
        now: datetime,
    ) -> SchedulerNodeStateStatus:
        status = before
        if spec.profile_request is not None and (
            before.profile is None or before.profile.id != spec.profile_request.id
        ):
            digest = self._upload(name)
            if digest is not None:
                done = ProfileResult(
                    id=spec.profile_request.id, phase=ProfilePhase.DONE, digest=digest
                )
                status = status.replace(profile=done)
        if not spec.assignments:
            if self._behaviour.stuck and status.attached:
                return status
            self._behaviour.intervals.pop(name, None)
            return status.replace(
                assignments=(), attached=(), switchback=None, sched_ext_state="disabled"
            )
        return self._assigned(name, spec, status, now)

    def _assigned(
        self,
        name: str,
        spec: SchedulerNodeStateSpec,
        status: SchedulerNodeStateStatus,
        now: datetime,
    ) -> SchedulerNodeStateStatus:
        wanted = spec.assignments[0]
        known = next((s for s in status.assignments if s.run == wanted.run), None)
        since = (
            known.since
            if known is not None
            and known.object_digest == (wanted.object_digest)
            and (status.switchback is None) == (wanted.switchback is None)
            else now
        )
        leased = _is_leased(spec, now)
        state, reason = self._state(name, wanted, now, leased=leased)
        said = AssignmentStatus(
            run=wanted.run,
            object_digest=wanted.object_digest,
            state=state,
            reason=reason,
            since=since,
        )
        base: dict[str, Any] = {"assignments": (said,), "attached": (), "switchback": None}
        if wanted.switchback is not None and self._behaviour.block_seconds:
            progress = self._pace(name, wanted, now, leased=leased)
            return status.replace(**{**base, "switchback": progress}, sched_ext_state="disabled")
        if state is not RunState.ACTIVE:
            return status.replace(**base, sched_ext_state="disabled")
        if wanted.switchback is not None:
            blocks = block_records(wanted.switchback.blocks, wanted.ops_name, since)
            self._behaviour.intervals[name] = [
                (block.started_at, block.ended_at, block.arm) for block in blocks
            ]
            progress = SwitchbackProgress(
                id=wanted.switchback.id, run=wanted.run, blocks=blocks, finished=True
            )
            return status.replace(**{**base, "switchback": progress}, sched_ext_state="disabled")
        self._behaviour.intervals[name] = [(since, since + timedelta(hours=1), Arm.ON)]
        attached = AttachedScheduler(
            ops_name=wanted.ops_name,
            enable_seq=1,
            object_digest=wanted.object_digest,
            run=wanted.run,
            since=since,
        )
        return status.replace(**{**base, "attached": (attached,)}, sched_ext_state="enabled")

    def _state(
        self, name: str, wanted: Assignment, now: datetime, *, leased: bool
    ) -> tuple[RunState, str]:
        """What becomes of an assignment, and why."""
        if wanted.scheduler in self._behaviour.ejected:
            return RunState.EJECTED, "stall"
        try:
            check(
                wanted.token,
                (KEY.public_key(),),
                node=name,
                kernel_digest=KERNEL.content_digest(),
                now=now,
            )
        except TokenError as err:
            return RunState.REFUSED, err.reason
        held = wanted.on_disconnect is OnDisconnect.HOLD and wanted.switchback is None
        if not leased and not held:
            return RunState.LEASE_EXPIRED, "LeaseExpired"
        return RunState.ACTIVE, ""

    def _pace(
        self, name: str, wanted: Assignment, now: datetime, *, leased: bool
    ) -> SwitchbackProgress:
        assert wanted.switchback is not None
        key = (name, wanted.switchback.id)
        if key not in self._paced:
            self._paced[key] = PacedBlocks(wanted, seconds=self._behaviour.block_seconds)
        progress = self._paced[key].tick(now, leased=leased)
        self._behaviour.intervals[name] = self._paced[key].intervals()
        return progress

    def _upload(self, name: str) -> str | None:
        """Upload a profile as an agent does; None while the operator is away."""
        found = profile(node=name)
        data = found.model_dump_json(by_alias=True).encode()
        digest = digest_of(data)
        try:
            response = self._blobs.put(f"/v1/blobs/{digest}", content=data)
        except httpx.HTTPError:
            return None
        if response.status_code != 204:
            self._behaviour.refused_uploads.append(response.text)
            return None
        return digest


def _is_leased(spec: SchedulerNodeStateSpec, now: datetime) -> bool:
    renewed = spec.lease_renewed_at
    return renewed is not None and now < renewed + timedelta(seconds=spec.lease_seconds)
