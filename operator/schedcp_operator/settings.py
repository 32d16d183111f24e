"""Every setting of the operator: one frozen tree, read once, from `SCHEDCP_OPERATOR_*` variables.

Nested settings take a double underscore: `SCHEDCP_OPERATOR_DEADLINES__PROFILING_SECONDS=300`.
"""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as NoJson

from schedcp_api.runs import RunStage

from .errors import SettingsError
from .views import Rules

__all__ = ["Deadlines", "JobSettings", "Settings", "VerifierKind", "load_settings"]


class VerifierKind(StrEnum):
    """Where verifications run."""

    SOCKET = "Socket"
    JOB = "Job"


class Deadlines(BaseModel):
    """Longest stay in each stage, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pending_seconds: int = Field(default=600, ge=1)
    profiling_seconds: int = Field(default=300, ge=1)
    planning_seconds: int = Field(default=300, ge=1)
    verifying_seconds: int = Field(default=1800, ge=1)
    signing_seconds: int = Field(default=300, ge=1)
    awaiting_approval_seconds: int = Field(default=604_800, ge=1)
    canary_seconds: int = Field(default=300, ge=1)
    """On top of one and a half times the length of the blocks."""
    judging_seconds: int = Field(default=300, ge=1)
    promoting_seconds: int = Field(default=300, ge=1)
    """On top of the soak time of every node, and of five minutes for nodes that are away."""
    rolling_back_seconds: int = Field(default=300, ge=1)
    learning_seconds: int = Field(default=120, ge=1)

    def by_stage(self) -> dict[RunStage, timedelta]:
        """Return the deadlines by stage."""
        seconds = {
            RunStage.PENDING: self.pending_seconds,
            RunStage.PROFILING: self.profiling_seconds,
            RunStage.PLANNING: self.planning_seconds,
            RunStage.VERIFYING: self.verifying_seconds,
            RunStage.SIGNING: self.signing_seconds,
            RunStage.AWAITING_APPROVAL: self.awaiting_approval_seconds,
            RunStage.CANARY: self.canary_seconds,
            RunStage.JUDGING: self.judging_seconds,
            RunStage.PROMOTING: self.promoting_seconds,
            RunStage.ROLLING_BACK: self.rolling_back_seconds,
            RunStage.LEARNING: self.learning_seconds,
        }
        return {stage: timedelta(seconds=value) for stage, value in seconds.items()}


class JobSettings(BaseModel):
    """How verifications run as Kubernetes Jobs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    image: str = ""
    """Image with `schedcp-verifier` and the kernels."""
    kernels_path: str = "/kernels"
    """Folder of kernel bundles in the Job's container."""
    kernels_volume: dict[str, Any] = Field(default_factory=dict)
    """Volume source of a pod that is mounted there, read-only; empty: the image holds them."""
    signing_key_secret: str = "schedcp-signing-key"  # noqa: S105
    """Secret in the operator's namespace whose key `key.pem` the Job's signer signs with."""
    trusted_keys_secret: str = "schedcp-trusted-keys"  # noqa: S105
    """Secret whose key `revoked.json` says what the Job's signer must not sign any more."""
    service_account: str = "schedcp-verifier"
    """The account of the Job's pod; it gets no token of it."""
    cpu: str = "2"
    cpu_limit: str = "4"
    memory: str = "3Gi"
    kvm_resource: str = ""
    """Extended resource of a device plugin that gives /dev/kvm to the prover; empty: none."""
    runtime_class: str = ""
    """RuntimeClass of the Job's pod, a Kata one for instance; empty: the cluster's default."""
    deadline_seconds: int = Field(default=1500, ge=30)
    stuck_seconds: int = Field(default=120, ge=1)
    """A pod that has no image or cannot be configured for so long is given up."""
    start_seconds: int = Field(default=600, ge=1)
    """A pod that has no node for so long, or does not start without saying why, is given up; nodes
    may have to be made first, images to be fetched, and other verifications to end."""
    pull_policy: str = "IfNotPresent"


class Settings(BaseSettings):
    """The operator's settings."""

    model_config = SettingsConfigDict(
        env_prefix="SCHEDCP_OPERATOR_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    kubeconfig: Path | None = None
    """None: the pod's own service account."""
    namespace: str = "schedcp-system"
    """Where the leader's Lease and the verifier's Jobs are."""
    identity: str = ""
    """Name of this replica in the Lease; empty: host name and a random part."""
    lease_name: str = "schedcp-operator"
    leader_lease_seconds: float = Field(default=15.0, ge=1.0)
    request_timeout_seconds: float = Field(default=10.0, gt=0)
    """Deadline of one request to the API server."""

    manifests_dir: Path = Path("/usr/share/schedcp/manifests")
    """Folder of the library's scheduler manifests."""
    store_path: Path = Path("/var/lib/schedcp/store.sqlite")
    """The embedded store; not used when `redis_url` is set."""
    redis_url: str = ""
    store_max_bytes: int = Field(default=1_073_741_824, ge=16_777_216)
    """Blobs beyond this are dropped, the longest unused first."""
    trusted_keys_file: Path | None = None
    """PEM public keys of the signers, an empty file for none; None: those the verifier names."""

    verifier: VerifierKind = VerifierKind.SOCKET
    verifier_socket: Path = Path("/run/schedcp/verifier.sock")
    job: JobSettings = JobSettings()

    prometheus_url: str = "http://prometheus.monitoring:9090"
    prometheus_ca_file: Path | None = None
    prometheus_token_file: Path | None = None
    prometheus_timeout_seconds: float = Field(default=10.0, gt=0)

    http_host: str = "0.0.0.0"  # noqa: S104
    http_port: int = Field(default=8443, ge=0, le=65535)
    tls_cert_file: Path = Path("/etc/schedcp/tls/tls.crt")
    tls_key_file: Path = Path("/etc/schedcp/tls/tls.key")
    agent_service_account: str = "system:serviceaccount:schedcp-system:schedcp-agent"
    """The user that may read and write blobs."""

    deadlines: Deadlines = Deadlines()
    heartbeat_seconds: float = Field(default=30.0, gt=0)
    """An agent whose last heartbeat is older counts as gone."""
    profile_seconds: int = Field(default=20, ge=1, le=600)
    soak_seconds: float = Field(default=30.0, gt=0)
    attach_seconds: float = Field(default=90.0, gt=0)
    node_lease_seconds: int = Field(default=60, ge=5, le=3600)
    """How long a node keeps its scheduler without being told so again; longer than it takes
    another replica to lead."""
    node_lease_renew_seconds: float = Field(default=10.0, gt=0)
    poll_seconds: float = Field(default=2.0, gt=0)
    """How often a run is looked at when nothing is heard."""
    resync_seconds: float = Field(default=5.0, gt=0)
    """How often policies and nodes are looked at when nothing is heard."""
    promotion_noise_percent: float = Field(default=50.0, ge=0)
    """By how much more than its margin a figure may worsen on a newly promoted node: one figure
    before and one after prove little, and the proof was the canary."""
    token_validity_seconds: int = Field(default=2_592_000, ge=60, le=2_592_000)
    max_retries: int = Field(default=2, ge=0, le=10)

    @model_validator(mode="after")
    def _nodes_outlast_a_change_of_leader(self) -> Self:
        least = 3 * self.leader_lease_seconds + self.node_lease_renew_seconds
        if self.node_lease_seconds < least:
            raise ValueError(
                f"node_lease_seconds must be at least {least:g}, three leader_lease_seconds and one"
                " node_lease_renew_seconds: another replica needs that long to lead, and meanwhile"
                " nodes must keep what they run"
            )
        return self

    def rules(self) -> Rules:
        """Return what the decisions need to know; trusted keys come later."""
        return Rules(
            deadlines=self.deadlines.by_stage(),
            heartbeat=timedelta(seconds=self.heartbeat_seconds),
            profile_seconds=self.profile_seconds,
            soak=timedelta(seconds=self.soak_seconds),
            attach=timedelta(seconds=self.attach_seconds),
            token_validity_seconds=self.token_validity_seconds,
            max_retries=self.max_retries,
            promotion_noise_percent=self.promotion_noise_percent,
        )


def load_settings() -> Settings:
    """Return the settings of this process, or raise SettingsError that names the variable."""
    try:
        return Settings()
    except ValidationError as err:
        lines = [
            f"SCHEDCP_OPERATOR_{'__'.join(str(part) for part in found['loc']).upper() or '*'}:"
            f" {found['msg']}"
            for found in err.errors()
        ]
        raise SettingsError("; ".join(lines)) from err
    except NoJson as err:
        raise SettingsError(f"SCHEDCP_OPERATOR_*: {err}: write it as JSON") from err
