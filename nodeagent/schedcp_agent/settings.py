"""Settings of the agent: environment variables `SCHEDCP_AGENT_*`, read once, then frozen."""

import os
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import SettingsError

_PREFIX = "SCHEDCP_AGENT_"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def _in_cluster_url() -> str:
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    bracketed = f"[{host}]" if ":" in host else host
    return f"https://{bracketed}:{port}" if host else ""


class AgentSettings(BaseSettings):
    """One tree; every field has a unit in its name where it has one."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    node_name: str = ""
    """Name of this node, and of its SchedulerNodeState."""
    pod_uid: str = ""
    """The agent's own pod, which is nobody's neighbour."""

    kube_url: str = Field(default_factory=_in_cluster_url)
    """The API server; by default the one of the cluster that the agent runs in."""
    kube_ca_file: Path = _ACCOUNT / "ca.crt"
    kube_token_file: Path = _ACCOUNT / "token"
    """A token bound to this node's pod: its node-name claim is what admission compares."""

    operator_url: str = ""
    """Where objects are fetched and profiles are put, e.g. `https://schedcp-operator:8443`."""
    operator_ca_file: Path = Path("/etc/schedcp/operator-tls/ca.crt")
    operator_token_file: Path = Path("/var/run/secrets/schedcp.io/token")
    """Projected service-account token with the operator's audience."""
    trusted_keys_file: Path = Path("/etc/schedcp/trusted-keys/keys.pem")
    """Public keys, PEM, one after another, of the signers whose tokens count; `revoked.json` beside
    it names keys, tokens and objects that do not."""

    programs_dir: Path | None = None
    """Programs that came with the agent, and their catalogue; None: none is run."""
    statistics_socket: Path = Path("/var/run/scx/root/stats")
    """Where programs of the scx project answer requests for statistics."""
    loader_path: Path = Path("/usr/lib/schedcp/schedcp-loader")
    manifests_dir: Path = Path("/usr/share/schedcp/manifests")
    """The library's manifests, whose needs `probe-kernel` compares with what the kernel has."""
    loader_lease_ms: int = Field(default=10_000, ge=1_000, le=60_000)
    """The loader lets go when the agent has not renewed for so long."""
    attach_timeout_seconds: float = Field(default=60.0, gt=0)
    detach_timeout_seconds: float = Field(default=50.0, gt=0)
    """Above the loader's own wait for the kernel to finish disabling, which is 45 s."""
    realtime_priority: int = Field(default=1, ge=0, le=50)
    """SCHED_FIFO priority of the loader, and of the agent when it is starved; 0: never."""

    cgroup_root: Path = Path("/sys/fs/cgroup")
    """The node's cgroup2 tree."""
    sys_root: Path = Path("/sys")
    state_dir: Path = Path("/run/schedcp")
    pod_logs_dir: Path = Path("/var/log/pods")
    """Where the kubelet keeps logs; its folder names map pods to their UIDs for the CLI."""

    metrics_bind: str = "0.0.0.0"  # noqa: S104
    metrics_port: int = Field(default=9464, ge=0, le=65_535)
    metrics_certificate_file: Path = Path("/etc/schedcp/agent-tls/tls.crt")
    metrics_key_file: Path = Path("/etc/schedcp/agent-tls/tls.key")
    advertise_host: str = ""
    """Address under which Prometheus reaches this agent; goes into the status."""

    tick_seconds: float = Field(default=1.0, gt=0, le=5)
    heartbeat_seconds: float = Field(default=10.0, gt=0)
    """The status is written at least so often, and at once when something changed."""
    request_timeout_seconds: float = Field(default=15.0, gt=0)
    watch_seconds: int = Field(default=120, ge=1, le=3600)
    """A watch is renewed after so long, so that a dead connection is noticed."""
    restart_limit: int = Field(default=3, ge=0, le=10)
    """How often a scheduler is loaded again when the kernel asks for a restart."""


def load_settings() -> AgentSettings:
    """Return the settings of this process, or raise SettingsError that names the variable."""
    try:
        return AgentSettings()
    except ValidationError as err:
        lines = [
            f"{_PREFIX}{'_'.join(str(part) for part in found['loc']).upper() or '*'}"
            f" is {str(found['input'])[:100]!r}: {found['msg']}"
            for found in err.errors()
        ]
        raise SettingsError(
            f"{'; '.join(lines)}; correct it in the environment, or in the chart's agent.settings"
        ) from err
