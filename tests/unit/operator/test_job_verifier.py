"""Verifications as Jobs: what is created, and what of the answer is believed."""

import base64
from datetime import timedelta
from typing import Any

import pytest

from schedcp_api.base import digest_of
from schedcp_api.services import (
    REPLY_MARK,
    SignedReply,
    TokenRequest,
    Verification,
    VerificationState,
)
from schedcp_api.tokens import TokenClaims, open_signed
from schedcp_api.verdicts import VerificationRequest
from schedcp_operator.errors import NotFound, Refused, SettingsError
from schedcp_operator.job_verifier import (
    JobVerifier,
    config_map,
    job_manifest,
    job_name,
)
from schedcp_operator.kube import CONFIG_MAPS, JOBS, PODS
from schedcp_operator.settings import JobSettings
from support.operator_doubles import MemoryKube, MemoryStore
from support.operator_nouns import KERNEL, KEY, NOW, OBJECT, candidate, token, verdict

NAMESPACE = "schedcp-system"
SETTINGS = JobSettings(image="registry.example/verifier:1")
REQUEST = VerificationRequest(candidate=candidate(), kernel_digest=KERNEL.content_digest())
ID = REQUEST.content_digest()
CLAIMS = TokenClaims(run="checkout-1", nodes=("node-1",))
GIVEN = verdict(candidate(), REQUEST.contract.content_digest())
DATA = OBJECT + b"latency_class"


def test_kernels_may_come_in_a_volume() -> None:
    volume = {"persistentVolumeClaim": {"claimName": "kernels", "readOnly": True}}
    with_volume = SETTINGS.model_copy(update={"kernels_volume": volume, "kernels_path": "/k"})
    plain, mounted = (
        job_manifest("schedcp-verify-x", settings)["spec"]["template"]["spec"]
        for settings in (SETTINGS, with_volume)
    )
    assert "kernels" not in {found["name"] for found in plain["volumes"]}
    assert {"name": "kernels", **volume} in mounted["volumes"]
    mount = {"name": "kernels", "mountPath": "/k", "readOnly": True}
    assert mount in mounted["initContainers"][0]["volumeMounts"]


def reply(**changes: Any) -> bytes:
    """The line that a good Job prints, changed."""
    done = Verification(id=ID, state=VerificationState.DONE, verdict=GIVEN)
    fields: dict[str, Any] = {
        "verification": done,
        "object": base64.b64encode(DATA).decode(),
        "token": token(TokenRequest(verification=ID, claims=CLAIMS), GIVEN),
    }
    text = SignedReply(**{**fields, **changes}).model_dump_json(by_alias=True, exclude_none=True)
    return f"noise\n{REPLY_MARK}{text}\n".encode()


class Bench:
    """A verifier with its API server."""

    def __init__(self) -> None:
        self.kube = MemoryKube()
        self.store = MemoryStore()
        self.now = NOW
        self.verifier = self.restarted()

    def restarted(self, settings: JobSettings = SETTINGS) -> JobVerifier:
        """A verifier that has just begun."""
        return JobVerifier(
            self.kube, self.store, settings=settings, namespace=NAMESPACE, clock=lambda: self.now
        )

    async def ended(self, log: bytes) -> Verification:
        """Start the Job, let it succeed with this log, and ask how it stands."""
        await self.verifier.start(REQUEST, CLAIMS)
        await self.change({"succeeded": 1})
        self.kube.logs[await self.pod({"phase": "Succeeded"})] = log
        return await self.verifier.status(ID)

    async def pod(self, status: dict[str, Any], *, owner: str = "") -> str:
        """Let the Job, or an earlier one of its name, have a pod; return the pod's name."""
        job = await self.kube.get(JOBS, job_name(ID), namespace=NAMESPACE)
        uid = owner or job["metadata"]["uid"]
        labels = {
            "batch.kubernetes.io/job-name": job_name(ID),
            "batch.kubernetes.io/controller-uid": uid,
        }
        name = f"{job_name(ID)}-{uid}"
        pod = {"metadata": {"name": name, "labels": labels}, "status": status}
        self.kube.put(PODS, pod, namespace=NAMESPACE)
        return name

    async def change(self, status: dict[str, Any]) -> None:
        """Let the Job have a status."""
        job = await self.kube.get(JOBS, job_name(ID), namespace=NAMESPACE)
        self.kube.put(JOBS, {**job, "status": status}, namespace=NAMESPACE)


async def test_a_job_is_created_with_what_it_works_on() -> None:
    bench = Bench()
    started = await bench.verifier.start(REQUEST, CLAIMS)
    assert (started.id, started.state) == (ID, VerificationState.RUNNING)
    again = await bench.verifier.start(REQUEST, CLAIMS)
    assert again.state is VerificationState.RUNNING
    body = await bench.kube.get(CONFIG_MAPS, job_name(ID), namespace=NAMESPACE)
    assert VerificationRequest.model_validate_json(body["data"]["request.json"]) == REQUEST
    assert TokenClaims.model_validate_json(body["data"]["claims.json"]) == CLAIMS
    job = await bench.kube.get(JOBS, job_name(ID), namespace=NAMESPACE)
    assert body["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]


@pytest.mark.parametrize("left", [None, "an earlier job"])
async def test_a_job_without_its_request_gets_it_when_asked_again(left: str | None) -> None:
    bench = Bench()
    await bench.verifier.start(REQUEST, CLAIMS)
    await bench.kube.delete(CONFIG_MAPS, job_name(ID), namespace=NAMESPACE)
    if left is not None:
        body = config_map(job_name(ID), left, REQUEST, CLAIMS)
        bench.kube.put(CONFIG_MAPS, body, namespace=NAMESPACE)
    again = await bench.verifier.start(REQUEST, CLAIMS)
    assert again.state is VerificationState.RUNNING
    body = await bench.kube.get(CONFIG_MAPS, job_name(ID), namespace=NAMESPACE)
    job = await bench.kube.get(JOBS, job_name(ID), namespace=NAMESPACE)
    assert body["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]


async def test_the_answer_is_read_and_the_object_kept() -> None:
    bench = Bench()
    done = await bench.ended(reply())
    assert done.verdict == GIVEN
    assert await bench.verifier.fetch(digest_of(DATA)) == DATA
    request = TokenRequest(verification=ID, claims=CLAIMS)
    signed = await bench.verifier.sign(request)
    assert open_signed(signed, (KEY.public_key(),)).run == "checkout-1"
    assert await bench.restarted().sign(request) == signed


PROGRAM = candidate("scx_tried").replace(program_digest=digest_of(b"a program"))
OF_PROGRAM = verdict(PROGRAM, REQUEST.contract.content_digest())


async def test_the_answer_about_a_program_brings_no_object() -> None:
    bench = Bench()
    done = Verification(id=ID, state=VerificationState.DONE, verdict=OF_PROGRAM)
    request = TokenRequest(verification=ID, claims=CLAIMS)
    seen = await bench.ended(reply(verification=done, object="", token=token(request, OF_PROGRAM)))
    assert seen.verdict == OF_PROGRAM
    assert bench.store.blobs == {}
    claims = open_signed(await bench.verifier.sign(request), (KEY.public_key(),))
    assert claims.program_digest == OF_PROGRAM.digest


OTHER = Verification(id=digest_of(b"other"), state=VerificationState.DONE, verdict=GIVEN)


@pytest.mark.parametrize(
    "log",
    [
        b"",
        b"no answer",
        reply() + reply(),
        REPLY_MARK.encode() + b"{}",
        REPLY_MARK.encode() + b"\xff\xfe",
        reply(verification=OTHER),
        reply(object="not base64!"),
        reply(object=base64.b64encode(b"another object").decode()),
    ],
)
async def test_an_answer_that_does_not_fit_is_a_lost_one(log: bytes) -> None:
    bench = Bench()
    lost = await bench.ended(log)
    assert lost.state is VerificationState.LOST
    assert bench.store.blobs == {}


async def test_a_failed_job_is_lost_and_made_anew_when_asked_again() -> None:
    bench = Bench()
    await bench.verifier.start(REQUEST, CLAIMS)
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
    await bench.change({"conditions": [failed]})
    lost = await bench.verifier.status(ID)
    assert lost.state is VerificationState.LOST
    assert "DeadlineExceeded" in lost.message
    again = await bench.verifier.start(REQUEST, CLAIMS)
    assert again.state is VerificationState.RUNNING
    assert (await bench.verifier.status(ID)).state is VerificationState.RUNNING


async def test_a_failed_job_says_which_container_failed_and_what_it_said_last() -> None:
    bench = Bench()
    await bench.verifier.start(REQUEST, CLAIMS)
    failed = {"type": "Failed", "status": "True", "message": "backoff limit"}
    await bench.change({"conditions": [failed]})
    ended = {
        "exitCode": 64,
        "reason": "Error",
        "message": f"{'x' * 5000}cannot read\x1b\nthe request",
    }
    await bench.pod(
        {
            "phase": "Failed",
            "initContainerStatuses": [{"name": "prover", "state": {"terminated": ended}}],
            "containerStatuses": [{"name": "signer", "state": {"waiting": {}}}],
        }
    )
    lost = await bench.verifier.status(ID)
    assert "backoff limit; prover: Error, status 64: " in lost.message
    assert lost.message.endswith("xxxcannot read the request")
    assert "signer" not in lost.message
    assert len(lost.message) < 1000


def at(seconds: int = 0) -> str:
    """A time as the API server writes it."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def scheduled(status: str = "True", **more: str) -> list[dict[str, str]]:
    """The conditions of a pod that has a node, or none."""
    return [{"type": "PodScheduled", "status": status, "lastTransitionTime": at(), **more}]


def containers(prover: dict[str, Any], signer: dict[str, Any] | None = None) -> dict[str, Any]:
    """The status of a pod on a node, by its containers' states."""
    starting = {"waiting": {"reason": "PodInitializing"}}
    return {
        "phase": "Pending",
        "conditions": scheduled(),
        "initContainerStatuses": [{"name": "prover", "state": prover}],
        "containerStatuses": [{"name": "signer", "state": signer or starting}],
    }


def held(reason: str, message: str = "") -> dict[str, Any]:
    """The state of a container that waits."""
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


NO_ROOM = {
    "phase": "Pending",
    "conditions": scheduled("False", reason="Unschedulable", message="Insufficient memory."),
}
PROVED = {"terminated": {"exitCode": 0, "finishedAt": at(900)}}
NO_KEY = held("CreateContainerConfigError", 'secret "schedcp-signing-key" not found')
STARTING = containers(held("PodInitializing"))
MISSING = "PodInitializing; check Secrets schedcp-signing-key and schedcp-trusted-keys, and claim k"
RUNNING, LOST = VerificationState.RUNNING, VerificationState.LOST


@pytest.mark.parametrize(
    ("pod", "seconds", "state", "words"),
    [
        (NO_ROOM, 0, RUNNING, "waits since 12:00:00 UTC: Unschedulable: Insufficient memory.; it"),
        (NO_ROOM, 599, RUNNING, "it asks for 2 CPUs, 3Gi on one node"),
        (NO_ROOM, 600, LOST, "cannot start in 600 s: pod schedcp-verify-"),
        ({"phase": "Pending"}, 0, RUNNING, ""),
        (containers(held("ErrImagePull", "no\x1b host")), 119, RUNNING, "ErrImagePull: no host;"),
        (containers(held("ImagePullBackOff")), 120, LOST, "check the image registry.example/v"),
        (containers(held("InvalidImageName")), 120, LOST, "prover of pod schedcp-verify-"),
        (containers(NO_KEY), 120, LOST, 'secret "schedcp-signing-key" not found; check Secrets'),
        (containers(PROVED, NO_KEY), 119, RUNNING, "waits since 12:15:00 UTC: CreateContainer"),
        (containers(PROVED, NO_KEY), 120, LOST, "signer of pod schedcp-verify-"),
        (STARTING, 29, RUNNING, ""),
        (STARTING, 30, RUNNING, MISSING),
        (STARTING, 600, LOST, MISSING),
        ({"phase": "Pending", "conditions": scheduled()}, 600, LOST, "its kubelet has not said"),
        (containers({"running": {}}), 1499, RUNNING, ""),
        (containers(PROVED), 929, RUNNING, ""),
        (containers(PROVED, {"running": {}}), 1499, RUNNING, ""),
        (containers({"terminated": {"exitCode": 1}}), 1499, RUNNING, ""),
        ({"phase": "Failed"}, 1499, RUNNING, ""),
        (None, 29, RUNNING, ""),
        (None, 30, RUNNING, "waits since 12:00:00 UTC: it has no pod; it asks"),
        (None, 600, LOST, "describe job schedcp-verify-"),
    ],
)
async def test_a_job_that_does_not_start_says_why_and_is_given_up(
    pod: dict[str, Any] | None, seconds: int, state: VerificationState, words: str
) -> None:
    bench = Bench()
    claim = {"persistentVolumeClaim": {"claimName": "k", "readOnly": True}}
    verifier = bench.restarted(SETTINGS.model_copy(update={"kernels_volume": claim}))
    await verifier.start(REQUEST, CLAIMS)
    job = await bench.kube.get(JOBS, job_name(ID), namespace=NAMESPACE)
    job["metadata"]["creationTimestamp"] = at()
    bench.kube.put(JOBS, job, namespace=NAMESPACE)
    if pod is not None:
        await bench.pod(pod)
    await verifier.status(ID)
    bench.now = NOW + timedelta(seconds=seconds)
    found = await verifier.status(ID)
    assert (found.state, found.verdict) == (state, None)
    assert words in found.message
    assert bool(words) == (found.message != f"job {job_name(ID)}")
    again = await verifier.start(REQUEST, CLAIMS)
    assert again.state is RUNNING


async def test_an_image_that_came_slowly_and_then_failed_has_its_time() -> None:
    bench = Bench()
    await bench.verifier.start(REQUEST, CLAIMS)
    late = NOW + timedelta(seconds=SETTINGS.stuck_seconds + 10)
    states = []
    for reason, now in (
        ("ContainerCreating", NOW),
        ("ErrImagePull", late),
        ("ImagePullBackOff", late + timedelta(seconds=SETTINGS.stuck_seconds - 1)),
        ("ErrImagePull", late + timedelta(seconds=SETTINGS.stuck_seconds)),
    ):
        await bench.pod(containers(held(reason)))
        bench.now = now
        states.append((await bench.verifier.status(ID)).state)
    assert states == [RUNNING, RUNNING, RUNNING, VerificationState.LOST]


async def test_a_job_without_its_pod_is_lost() -> None:
    bench = Bench()
    await bench.verifier.start(REQUEST, CLAIMS)
    await bench.change({"succeeded": 1})
    bench.kube.logs[await bench.pod({"phase": "Succeeded"}, owner="an-earlier-job")] = reply()
    assert (await bench.verifier.status(ID)).state is VerificationState.LOST


async def test_what_no_job_made_is_not_found() -> None:
    bench = Bench()
    with pytest.raises(NotFound):
        await bench.verifier.status(ID)
    with pytest.raises(NotFound):
        await bench.verifier.fetch(digest_of(b"x"))
    revoked = Verification(
        id=ID, state=VerificationState.DONE, verdict=GIVEN, message="the key is revoked"
    )
    await bench.ended(reply(verification=revoked, token=""))
    with pytest.raises(Refused, match="signed no token: the key is revoked"):
        await bench.verifier.sign(TokenRequest(verification=ID, claims=CLAIMS))
    with pytest.raises(SettingsError, match="TRUSTED_KEYS_FILE"):
        await bench.verifier.keys()


def test_jobs_need_an_image() -> None:
    with pytest.raises(SettingsError, match="JOB__IMAGE"):
        Bench().restarted(JobSettings())


def test_the_pod_may_do_nothing_but_verify() -> None:
    spec = job_manifest("x", SETTINGS)["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["terminationGracePeriodSeconds"] == 1
    assert spec["securityContext"]["runAsNonRoot"] is True
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_the_key_is_not_where_a_candidate_runs() -> None:
    spec = job_manifest("x", SETTINGS)["spec"]["template"]["spec"]
    secrets = {v["name"] for v in spec["volumes"] if "secret" in v}
    (prover,), (signer,) = spec["initContainers"], spec["containers"]
    assert secrets == {"signing", "revoked"}
    assert not secrets & {mount["name"] for mount in prover["volumeMounts"]}
    assert secrets <= {mount["name"] for mount in signer["volumeMounts"]}
    assert (prover["args"][0], signer["args"][0]) == ("prove", "sign")
    handed = next(m for m in signer["volumeMounts"] if m["name"] == "handover")
    assert handed["readOnly"]


def test_a_device_and_a_runtime_class_only_where_they_are_named() -> None:
    resource = "devices.kubevirt.io/kvm"
    update = {"kvm_resource": resource, "runtime_class": "kata-qemu"}
    named = job_manifest("x", SETTINGS.model_copy(update=update))["spec"]["template"]["spec"]
    plain = job_manifest("x", SETTINGS)["spec"]["template"]["spec"]
    assert named["runtimeClassName"] == "kata-qemu"
    assert "runtimeClassName" not in plain
    for kind in ("requests", "limits"):
        assert named["initContainers"][0]["resources"][kind][resource] == "1"
        assert resource not in named["containers"][0]["resources"][kind]
        assert resource not in plain["initContainers"][0]["resources"][kind]
