"""The Execution Verifier as Kubernetes Jobs: one for each verification, its answer in the log.

A Job's pod has no service account token and no network. Its first container proves the candidate
and has no key. Its second one has the key, starts when the first is gone, and signs what it finds
left if that holds together. The chart's admission policy lets the operator make no other pod.
"""

import base64
import binascii
import logging
from collections.abc import Callable
from datetime import datetime

from pydantic import ValidationError

from schedcp_api.base import digest_of
from schedcp_api.services import (
    MAX_BLOB_BYTES,
    REPLY_MARK,
    SignedReply,
    TokenRequest,
    Verification,
    VerificationState,
)
from schedcp_api.tokens import TokenClaims
from schedcp_api.verdicts import VerificationRequest

from .errors import Conflict, NotFound, Refused, SettingsError
from .job_pods import HOPELESS, IMAGE, Waiting, broken_containers, waiting
from .kube import CONFIG_MAPS, JOBS, PODS, Json, KubeApi
from .settings import JobSettings
from .store import Store

__all__ = ["JobVerifier"]

_log = logging.getLogger(__name__)
_MOST_LOG_BYTES = 9_500_000
"""A kubelet keeps ten megabytes of a container's log; a longer answer would lose its head."""
_SLOW_SECONDS = 30
"""Starting a pod may take this long before it is worth a word."""
_COMPONENT = {"app.kubernetes.io/name": "schedcp", "app.kubernetes.io/component": "verifier"}
_USER = 65532
PROVER, SIGNER = "prover", "signer"
REVOKED_KEY = "revoked.json"


class JobVerifier:
    """Verifications as Jobs in the operator's namespace."""

    def __init__(
        self,
        kube: KubeApi,
        store: Store,
        *,
        settings: JobSettings,
        namespace: str,
        clock: Callable[[], datetime],
    ) -> None:
        if not settings.image:
            raise SettingsError("the verifier's Jobs need an image: SCHEDCP_OPERATOR_JOB__IMAGE")
        self._kube = kube
        self._store = store
        self._settings = settings
        self._namespace = namespace
        self._clock = clock
        self._tokens: dict[str, str] = {}
        self._stuck: dict[str, datetime] = {}
        """Since when pods wait for what hardly ever comes by itself."""

    async def start(self, request: VerificationRequest, claims: TokenClaims) -> Verification:
        """Create the Job for a request; one that was lost is removed and made anew."""
        id_ = request.content_digest()
        try:
            await self._create(id_, request, claims)
        except Conflict:
            found = await self.status(id_)
            if found.state is not VerificationState.LOST:
                job = await self._kube.get(JOBS, job_name(id_), namespace=self._namespace)
                await self._provide(job, request, claims)
                return found
            for resource in (JOBS, CONFIG_MAPS):
                await self._kube.delete(resource, job_name(id_), namespace=self._namespace)
            self._stuck.clear()
            await self._create(id_, request, claims)
        return _running(id_)

    async def _create(self, id_: str, request: VerificationRequest, claims: TokenClaims) -> None:
        name = job_name(id_)
        job = job_manifest(name, self._settings)
        created = await self._kube.create(JOBS, job, namespace=self._namespace)
        await self._provide(created, request, claims)

    async def _provide(self, job: Json, request: VerificationRequest, claims: TokenClaims) -> None:
        """See to it that a Job has what it works on, also after a crash that came in between."""
        name = str(job["metadata"]["name"])
        body = config_map(name, str(job["metadata"]["uid"]), request, claims)
        try:
            await self._kube.create(CONFIG_MAPS, body, namespace=self._namespace)
        except Conflict:
            found = await self._kube.get(CONFIG_MAPS, name, namespace=self._namespace)
            owners = [(o["kind"], o["uid"]) for o in found["metadata"].get("ownerReferences", [])]
            if owners == [("Job", job["metadata"]["uid"])]:
                return
            # Left over by an earlier Job of the same name, and not collected yet.
            await self._kube.delete(CONFIG_MAPS, name, namespace=self._namespace)
            await self._kube.create(CONFIG_MAPS, body, namespace=self._namespace)

    async def status(self, verification: str) -> Verification:
        """Return how a Job stands; raise NotFound when there is none."""
        name = job_name(verification)
        job = await self._kube.get(JOBS, name, namespace=self._namespace)
        status = job.get("status") or {}
        if int(status.get("succeeded") or 0) >= 1:
            return await self._answer(verification, job)
        conditions = status.get("conditions") or []
        failed = [c for c in conditions if c.get("type") == "Failed" and c.get("status") == "True"]
        if failed:
            said = failed[0].get("message") or failed[0].get("reason") or "no reason given"
            why = [words for pod in await self._pods(job) for words in broken_containers(pod)]
            return _lost(verification, "; ".join((f"job {name} failed: {said}", *why)))
        found = waiting(job, await self._pods(job))
        return self._waits(verification, found) if found else _running(verification)

    def _waits(self, verification: str, found: Waiting) -> Verification:
        """Return a verification whose pod does not start: lost when it has not for too long.

        Without the operator's end to it, its Job's deadline would delete the pod, and why with it.
        """
        settings, now = self._settings, self._clock()
        if found.reason in HOPELESS:
            # It may have been on its way for long before: an image that was slow, and then failed.
            seconds = (now - self._stuck.setdefault(found.where, now)).total_seconds()
            longest = settings.stuck_seconds
        else:
            self._stuck.pop(found.where, None)
            seconds, longest = found.seconds(now), settings.start_seconds
        if found.usual and seconds < _SLOW_SECONDS:
            return _running(verification)
        words = f"{found}; {_advice(found, settings, self._namespace)}"
        if seconds < longest:
            return _running(verification, words)
        name = job_name(verification)
        return _lost(verification, f"job {name} cannot start in {seconds:.0f} s: {words}")

    async def _pods(self, job: Json) -> list[Json]:
        """Return a Job's own pods: those of an earlier one of its name may still be going."""
        selector = f"batch.kubernetes.io/controller-uid={job['metadata']['uid']}"
        found = await self._kube.list(PODS, namespace=self._namespace, selector=selector)
        return found.items

    async def _answer(self, id_: str, job: Json) -> Verification:
        name = job["metadata"]["name"]
        pods = await self._pods(job)
        done = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Succeeded"]
        if not done:
            return _lost(id_, f"the pod of job {name} is gone, and its log with it")
        log = await self._kube.pod_log(
            done[0]["metadata"]["name"],
            namespace=self._namespace,
            container=SIGNER,
            limit_bytes=_MOST_LOG_BYTES,
        )
        try:
            reply, data = parsed_reply(log, id_)
        except ValueError as err:
            return _lost(id_, f"job {name}: {err}")
        if data is not None:
            await self._store.put_blob(data)
        if reply.token:
            self._tokens[id_] = reply.token
        return reply.verification

    async def fetch(self, digest: str) -> bytes:
        """Return the built object of that digest; raise NotFound."""
        data = await self._store.get_blob(digest)
        if data is None:
            raise NotFound(f"no Job has built {digest}, or the store has dropped it")
        return data

    async def sign(self, request: TokenRequest) -> str:
        """Return the token that the Job signed; its claims were given with the request."""
        if request.verification not in self._tokens:
            found = await self.status(request.verification)
            if request.verification not in self._tokens:
                why = found.message or "it does not say why"
                raise Refused(f"job {job_name(request.verification)} signed no token: {why}")
        return self._tokens[request.verification]

    async def keys(self) -> tuple[str, ...]:
        """Raise: Jobs do not name keys, a person does."""
        raise SettingsError(
            "with verifier Jobs the trusted keys come from a file:"
            " SCHEDCP_OPERATOR_TRUSTED_KEYS_FILE"
        )


def job_name(verification: str) -> str:
    """Return the name of the Job for a verification."""
    return f"schedcp-verify-{verification.removeprefix('sha256:')[:20]}"


def parsed_reply(log: bytes, id_: str) -> tuple[SignedReply, bytes | None]:
    """Return what a Job printed and the object in it; raise ValueError when it does not fit.

    The log is hostile input: what the signer was left came from where a candidate ran.
    """
    lines = [line for line in log.splitlines() if line.startswith(REPLY_MARK.encode())]
    if len(lines) != 1:
        raise ValueError(f"its log has {len(lines)} answers instead of one")
    try:
        reply = SignedReply.model_validate_json(lines[0][len(REPLY_MARK) :])
    except ValidationError as err:
        raise ValueError(f"its answer does not fit: {err.errors()[0]['msg']}") from err
    if reply.verification.id != id_:
        raise ValueError(f"its answer is about {reply.verification.id}")
    if not reply.object:
        return reply, None
    try:
        data = base64.b64decode(reply.object, validate=True)
    except (binascii.Error, ValueError) as err:
        raise ValueError("its object is not base64") from err
    verdict = reply.verification.verdict
    if len(data) > MAX_BLOB_BYTES or verdict is None or digest_of(data) != verdict.digest:
        raise ValueError("its object is not the one that its verdict names")
    return reply, data


def config_map(name: str, owner: str, request: VerificationRequest, claims: TokenClaims) -> Json:
    """Return the ConfigMap with what the Job works on; it goes when the Job goes."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "labels": dict(_COMPONENT),
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": owner}
            ],
        },
        "immutable": True,
        "data": {
            "request.json": request.model_dump_json(by_alias=True, exclude_none=True),
            "claims.json": claims.model_dump_json(by_alias=True, exclude_none=True),
        },
    }


def job_manifest(name: str, settings: JobSettings) -> Json:
    """Return the Job: restricted, without a token, tried once."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": dict(_COMPONENT)},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": settings.deadline_seconds,
            "ttlSecondsAfterFinished": 3600,
            "template": {
                "metadata": {"labels": dict(_COMPONENT)},
                "spec": _pod_spec(name, settings),
            },
        },
    }


def _pod_spec(name: str, settings: JobSettings) -> Json:
    return {
        "restartPolicy": "Never",
        # Nothing of a verification that is given up is worth the node's time, and the first process
        # of a container does not hear SIGTERM.
        "terminationGracePeriodSeconds": 1,
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **({"runtimeClassName": settings.runtime_class} if settings.runtime_class else {}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_prover(settings)],
        "containers": [_signer(settings)],
        "volumes": [
            {"name": "request", "configMap": {"name": name}},
            {
                "name": "signing",
                "secret": {"secretName": settings.signing_key_secret, "defaultMode": 0o440},
            },
            {
                "name": "revoked",
                "secret": {
                    "secretName": settings.trusted_keys_secret,
                    "items": [{"key": REVOKED_KEY, "path": REVOKED_KEY}],
                    "defaultMode": 0o440,
                },
            },
            {"name": "handover", "emptyDir": {"sizeLimit": "64Mi"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}},
            *({"name": "kernels", **settings.kernels_volume} for _ in _kernels_mounts(settings)),
        ],
    }


def _prover(settings: JobSettings) -> Json:
    """Return the container that runs candidates: no key, and a device only if there is one."""
    device = {settings.kvm_resource: "1"} if settings.kvm_resource else {}
    return {
        **_container(PROVER, settings),
        "args": [
            *("prove", "--request", "/request/request.json", "--handover", "/handover"),
            *("--kernels", settings.kernels_path),
        ],
        "resources": {
            "requests": {"cpu": settings.cpu, "memory": settings.memory, **device},
            "limits": {"cpu": settings.cpu_limit, "memory": settings.memory, **device},
        },
        "volumeMounts": [
            {"name": "request", "mountPath": "/request", "readOnly": True},
            {"name": "handover", "mountPath": "/handover"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            *_kernels_mounts(settings),
        ],
    }


def _signer(settings: JobSettings) -> Json:
    """Return the container that has the key: it runs nothing but our own Python."""
    resources = {"cpu": "100m", "memory": "256Mi"}
    return {
        **_container(SIGNER, settings),
        "args": [
            *("sign", "--request", "/request/request.json", "--claims", "/request/claims.json"),
            *("--handover", "/handover", "--key", "/signing/key.pem"),
            *("--revoked", f"/revoked/{REVOKED_KEY}"),
        ],
        "resources": {"requests": resources, "limits": {"cpu": "1", "memory": "256Mi"}},
        "volumeMounts": [
            {"name": "request", "mountPath": "/request", "readOnly": True},
            {"name": "handover", "mountPath": "/handover", "readOnly": True},
            {"name": "signing", "mountPath": "/signing", "readOnly": True},
            {"name": "revoked", "mountPath": "/revoked", "readOnly": True},
        ],
    }


def _container(name: str, settings: JobSettings) -> Json:
    return {
        "name": name,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        # Why a container failed is then in its pod's status: the end of what it wrote.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _kernels_mounts(settings: JobSettings) -> list[Json]:
    if not settings.kernels_volume:
        return []
    return [{"name": "kernels", "mountPath": settings.kernels_path, "readOnly": True}]


def _advice(found: Waiting, settings: JobSettings, namespace: str) -> str:
    """Return what a person can look at."""
    if found.reason in IMAGE:
        account = f"the pull secrets of service account {settings.service_account}"
        return f"check the image {settings.image} and {account}"
    more = f"kubectl -n {namespace} describe {found.where} says more"
    if not found.placed:
        device = f" and {settings.kvm_resource}" if settings.kvm_resource else ""
        return f"it asks for {settings.cpu} CPUs, {settings.memory}{device} on one node; {more}"
    claim = (settings.kernels_volume.get("persistentVolumeClaim") or {}).get("claimName")
    needed = f"Secrets {settings.signing_key_secret} and {settings.trusted_keys_secret}"
    if claim:
        needed += f", and claim {claim}"
    return f"check {needed}; {more}"


def _running(id_: str, words: str = "") -> Verification:
    message = f"job {job_name(id_)}" + (f": {words}" if words else "")
    return Verification(id=id_, state=VerificationState.RUNNING, message=message[:2048])


def _lost(id_: str, message: str) -> Verification:
    _log.warning("%s", message)
    return Verification(id=id_, state=VerificationState.LOST, message=message[:2048])
