"""The Execution Verifier as Kubernetes Jobs: one for each verification, its answer in the log.

A Job's pod has no service account token and no network, and gets the token's claims with the
request: what it signs, it signs right after its own proof.
"""

import base64
import binascii
import logging
from pathlib import Path

from pydantic import Field, ValidationError

from schedcp_api.base import Noun, digest_of
from schedcp_api.services import (
    MAX_BLOB_BYTES,
    TokenRequest,
    Verification,
    VerificationState,
)
from schedcp_api.tokens import MAX_TOKEN_CHARS, TokenClaims
from schedcp_api.verdicts import VerificationRequest

from .errors import Conflict, NotFound, Refused, SettingsError
from .job_driver import MARK
from .kube import CONFIG_MAPS, JOBS, PODS, Json, KubeApi
from .settings import JobSettings
from .store import Store

__all__ = ["JobReply", "JobVerifier"]

_log = logging.getLogger(__name__)
_MOST_LOG_BYTES = 9_500_000
"""A kubelet keeps ten megabytes of a container's log; a longer answer would lose its head."""
_DRIVER = Path(__file__).with_name("job_driver.py")
_COMPONENT = {"app.kubernetes.io/name": "schedcp", "app.kubernetes.io/component": "verifier"}
_USER = 65532


class JobReply(Noun):
    """What a Job prints."""

    verification: Verification
    object: str = ""
    """The built object, base64."""
    token: str = Field(default="", max_length=MAX_TOKEN_CHARS)


class JobVerifier:
    """Verifications as Jobs in the operator's namespace."""

    def __init__(
        self, kube: KubeApi, store: Store, *, settings: JobSettings, namespace: str
    ) -> None:
        if not settings.image:
            raise SettingsError("the verifier's Jobs need an image: SCHEDCP_OPERATOR_JOB__IMAGE")
        self._kube = kube
        self._store = store
        self._settings = settings
        self._namespace = namespace
        self._tokens: dict[str, str] = {}

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
        status = (await self._kube.get(JOBS, name, namespace=self._namespace)).get("status") or {}
        if int(status.get("succeeded") or 0) >= 1:
            return await self._answer(verification, name)
        conditions = status.get("conditions") or []
        failed = [c for c in conditions if c.get("type") == "Failed" and c.get("status") == "True"]
        if failed:
            said = failed[0].get("message") or failed[0].get("reason") or "no reason given"
            return _lost(verification, f"job {name} failed: {said}")
        return _running(verification)

    async def _answer(self, id_: str, name: str) -> Verification:
        selector = f"batch.kubernetes.io/job-name={name}"
        pods = await self._kube.list(PODS, namespace=self._namespace, selector=selector)
        done = [pod for pod in pods.items if (pod.get("status") or {}).get("phase") == "Succeeded"]
        if not done:
            return _lost(id_, f"the pod of job {name} is gone, and its log with it")
        log = await self._kube.pod_log(
            done[0]["metadata"]["name"], namespace=self._namespace, limit_bytes=_MOST_LOG_BYTES
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
            await self.status(request.verification)
        token = self._tokens.get(request.verification)
        if token is None:
            raise Refused(f"job {job_name(request.verification)} signed no token")
        return token

    async def keys(self) -> tuple[str, ...]:
        """Raise: Jobs do not name keys, a person does."""
        raise SettingsError(
            "with verifier Jobs the trusted keys come from a file:"
            " SCHEDCP_OPERATOR_TRUSTED_KEYS_FILE"
        )


def job_name(verification: str) -> str:
    """Return the name of the Job for a verification."""
    return f"schedcp-verify-{verification.removeprefix('sha256:')[:20]}"


def parsed_reply(log: bytes, id_: str) -> tuple[JobReply, bytes | None]:
    """Return what a Job printed and the object in it; raise ValueError when it does not fit.

    The log is hostile input: a candidate ran in that pod.
    """
    lines = [line for line in log.splitlines() if line.startswith(MARK.encode())]
    if len(lines) != 1:
        raise ValueError(f"its log has {len(lines)} answers instead of one")
    try:
        reply = JobReply.model_validate_json(lines[0][len(MARK) :])
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
            "driver.py": _DRIVER.read_text(),
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
    resources = {"cpu": settings.cpu, "memory": settings.memory}
    seconds = max(30, settings.deadline_seconds - 60)
    driver = ("/request", "/signing/key.pem", settings.kernels_path, "/scratch", str(seconds))
    return {
        "restartPolicy": "Never",
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "verifier",
                "image": settings.image,
                "imagePullPolicy": settings.pull_policy,
                "command": ["python3", "/request/driver.py", *driver],
                "resources": {"requests": resources, "limits": {"memory": settings.memory}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "request", "mountPath": "/request", "readOnly": True},
                    {"name": "signing", "mountPath": "/signing", "readOnly": True},
                    {"name": "scratch", "mountPath": "/scratch"},
                    {"name": "scratch", "mountPath": "/tmp", "subPath": "tmp"},  # noqa: S108
                    *_kernels_mounts(settings),
                ],
            }
        ],
        "volumes": [
            {"name": "request", "configMap": {"name": name}},
            {
                "name": "signing",
                "secret": {"secretName": settings.signing_key_secret, "defaultMode": 0o440},
            },
            {"name": "scratch", "emptyDir": {"sizeLimit": "2Gi"}},
            *({"name": "kernels", **settings.kernels_volume} for _ in _kernels_mounts(settings)),
        ],
    }


def _kernels_mounts(settings: JobSettings) -> list[Json]:
    if not settings.kernels_volume:
        return []
    return [{"name": "kernels", "mountPath": settings.kernels_path, "readOnly": True}]


def _running(id_: str) -> Verification:
    return Verification(id=id_, state=VerificationState.RUNNING, message=f"job {job_name(id_)}")


def _lost(id_: str, message: str) -> Verification:
    _log.warning("%s", message)
    return Verification(id=id_, state=VerificationState.LOST, message=message[:2048])
