"""Watched objects as frozen records, parsed once, here. Pure."""

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from schedcp_api.base import digest_of
from schedcp_api.nodestates import (
    EXPECTED_RUNTIME_SECONDS_MAX,
    SchedulerNodeStateSpec,
    SchedulerNodeStateStatus,
    TrackedPod,
)
from schedcp_api.policies import SchedulerPolicySpec, SchedulerPolicyStatus
from schedcp_api.runs import OptimizationRunSpec, OptimizationRunStatus

from .errors import PermanentError
from .jobs import JobKey, job_key
from .kube import Json
from .views import Run

MOST_KEY_CHARS = 256
ZONE_LABEL = "topology.kubernetes.io/zone"
APPROVED = "schedcp.io/approved"
"""Annotation of a run: the digest of the candidate that a person approved."""
EXPECTED_RUNTIME = "schedcp.io/expected-runtime-seconds"
"""Annotation of a pod: the CPU time that its job is expected to take."""


class Unreadable(PermanentError):
    """An object does not fit its model; the message names it and the field."""


@dataclass(frozen=True)
class UnreadableObject:
    """An object of ours that is there, though this version of the operator cannot read it."""

    raw: Json
    name: str
    uid: str
    problem: str


@dataclass(frozen=True)
class PolicyObject:
    """A SchedulerPolicy."""

    raw: Json
    name: str
    uid: str
    generation: int
    spec: SchedulerPolicySpec
    status: SchedulerPolicyStatus


@dataclass(frozen=True)
class RunObject:
    """An OptimizationRun."""

    raw: Json
    name: str
    uid: str
    approved: str
    run: Run


@dataclass(frozen=True)
class StateObject:
    """A SchedulerNodeState."""

    raw: Json
    name: str
    generation: int
    spec: SchedulerNodeStateSpec
    status: SchedulerNodeStateStatus
    spec_problem: str = ""
    """Why the spec could not be read; then only its epoch is in `spec`."""
    status_problem: str = ""
    """Why the status could not be read; then `status` is empty."""


@dataclass(frozen=True)
class NodeObject:
    """A Node."""

    name: str
    uid: str
    labels: dict[str, str]
    ready: bool

    @property
    def zone(self) -> str:
        """Return the node's zone; nodes without one share the empty zone's place, their name."""
        return self.labels.get(ZONE_LABEL, self.name)


@dataclass(frozen=True)
class PodObject:
    """A pod on a node whose processes may run there, or whose work is done."""

    namespace: str
    name: str
    uid: str
    labels: dict[str, str]
    node: str
    expected_runtime_seconds: int | None = None
    annotation_problem: str = ""
    """Why its expected run time is not known although it is annotated."""
    succeeded: bool = False
    """Its work is done."""
    running: bool = True
    """Neither done nor about to begin or end: only such pods count as a workload's."""
    restarted: bool = False
    """Some of its containers began more than once, so that its CPU time is of several attempts."""
    job: JobKey | None = None

    def tracked(self, *, expected: int | None = None) -> TrackedPod:
        """Return the pod as the agents are told of it; what its annotation says comes first."""
        return TrackedPod(
            namespace=self.namespace,
            name=self.name,
            uid=self.uid,
            expected_runtime_seconds=self.expected_runtime_seconds or expected,
        )


@dataclass(frozen=True)
class WorkloadObject:
    """A Deployment, StatefulSet or DaemonSet, as far as rollouts go."""

    kind: str
    namespace: str
    name: str
    labels: dict[str, str]
    """Of the pod template."""
    revision: str
    complete: bool

    @property
    def key(self) -> str:
        """Return `Kind/namespace/name`; names that are too long end in a digest of the whole."""
        key = f"{self.kind}/{self.namespace}/{self.name}"
        if len(key) <= MOST_KEY_CHARS:
            return key
        return f"{key[: MOST_KEY_CHARS - 17]}~{digest_of(key.encode())[7:23]}"


def policy_object(raw: Json) -> PolicyObject:
    """Parse a SchedulerPolicy."""
    metadata = raw["metadata"]
    try:
        spec = SchedulerPolicySpec.model_validate(raw["spec"])
        status = SchedulerPolicyStatus.model_validate(raw.get("status") or {})
    except ValidationError as err:
        raise _unreadable(raw, err) from err
    return PolicyObject(
        raw=raw,
        name=metadata["name"],
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 0)),
        spec=spec,
        status=status,
    )


def run_object(raw: Json) -> RunObject:
    """Parse an OptimizationRun."""
    metadata = raw["metadata"]
    try:
        spec = OptimizationRunSpec.model_validate(raw["spec"])
        status = OptimizationRunStatus.model_validate(raw.get("status") or {})
    except ValidationError as err:
        raise _unreadable(raw, err) from err
    approved = (metadata.get("annotations") or {}).get(APPROVED, "")
    run = Run(metadata["name"], spec, status)
    return RunObject(raw, metadata["name"], metadata["uid"], approved, run)


def state_object(raw: Json) -> StateObject:
    """Parse a SchedulerNodeState; it is never unreadable as a whole.

    The spec is ours to write again, and of it only the epoch counts when it cannot be read. The
    status may be a newer agent's: fields that are not known are left out, and of a status that does
    not fit at all nothing is believed.
    """
    metadata = raw["metadata"]
    spec_problem = status_problem = ""
    try:
        spec = SchedulerNodeStateSpec.model_validate(raw["spec"])
    except ValidationError as err:
        spec_problem = str(_unreadable(raw, err))
        epoch = raw["spec"].get("leaseEpoch")
        spec = SchedulerNodeStateSpec(lease_epoch=epoch if isinstance(epoch, int) else 0)
    try:
        status = SchedulerNodeStateStatus.model_validate(raw.get("status") or {}, extra="ignore")
    except ValidationError as err:
        status_problem = str(_unreadable(raw, err))
        status = SchedulerNodeStateStatus()
    generation = int(metadata.get("generation", 0))
    return StateObject(
        raw, metadata["name"], generation, spec, status, spec_problem, status_problem
    )


def node_object(raw: Json) -> NodeObject:
    """Parse a Node."""
    metadata = raw["metadata"]
    conditions = (raw.get("status") or {}).get("conditions") or []
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return NodeObject(metadata["name"], metadata["uid"], metadata.get("labels") or {}, ready)


def pod_object(raw: Json) -> PodObject | None:
    """Parse a Pod; None without a node, and for one that has failed: nothing of it runs."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    node = (raw.get("spec") or {}).get("nodeName")
    phase = status.get("phase")
    if not node or phase == "Failed":
        return None
    namespace, name = metadata["namespace"], metadata["name"]
    text = (metadata.get("annotations") or {}).get(EXPECTED_RUNTIME)
    expected = expected_runtime(text) if text is not None else None
    problem = ""
    if text is not None and expected is None:
        problem = (
            f"Pod {namespace}/{name}: annotation {EXPECTED_RUNTIME}: {text[:64]!r} is not a whole "
            f"number from 1 to {EXPECTED_RUNTIME_SECONDS_MAX}: correct it"
        )
    containers = [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]
    return PodObject(
        namespace,
        name,
        metadata["uid"],
        metadata.get("labels") or {},
        node,
        expected,
        problem,
        succeeded=phase == "Succeeded",
        running=phase == "Running" and not metadata.get("deletionTimestamp"),
        restarted=any(container.get("restartCount") for container in containers),
        job=job_key(raw),
    )


def expected_runtime(text: str) -> int | None:
    """Return the seconds that an annotation's value says; None when it says none."""
    if not re.fullmatch(r"[1-9][0-9]{0,6}", text):
        return None
    seconds = int(text)
    return seconds if seconds <= EXPECTED_RUNTIME_SECONDS_MAX else None


def workload_object(raw: Json, kind: str) -> WorkloadObject:
    """Parse a workload; its revision is the digest of its pod template."""
    metadata = raw["metadata"]
    template = (raw.get("spec") or {}).get("template") or {}
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return WorkloadObject(
        kind=kind,
        namespace=metadata["namespace"],
        name=metadata["name"],
        labels=(template.get("metadata") or {}).get("labels") or {},
        revision=digest_of(text.encode())[7:23],
        complete=is_complete(raw, kind),
    )


def is_complete(raw: Json, kind: str) -> bool:
    """Return whether every replica runs the present template and is available."""
    status = raw.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(raw["metadata"].get("generation") or 0):
        return False
    present: tuple[str, ...]
    if kind == "DaemonSet":
        wanted = _number(status, "desiredNumberScheduled")
        present = ("updatedNumberScheduled", "numberAvailable")
    else:
        replicas = (raw.get("spec") or {}).get("replicas")
        wanted = 1 if replicas is None else int(replicas)
        present = ("replicas", "updatedReplicas", "availableReplicas")
    if kind == "StatefulSet" and status.get("updateRevision") == status.get("currentRevision"):
        present = ("replicas", "availableReplicas")
    return wanted > 0 and all(_number(status, name) == wanted for name in present)


def _number(status: dict[str, Any], name: str) -> int:
    return int(status.get(name) or 0)


def _unreadable(raw: Json, err: ValidationError) -> Unreadable:
    first = err.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    name = f"{raw.get('kind', 'object')} {raw['metadata']['name']}"
    return Unreadable(f"{name}: {where}: {first['msg']}")
