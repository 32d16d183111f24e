"""What can go wrong in the agent.

AgentError
├── ProbesUnavailable    the kernel's tracepoints cannot be read: no profiles, no latency figures
├── RequestFailed        an HTTP request failed; `permanent` says that repeating it is useless
├── CorruptBlob          bytes that do not have the digest they were asked for
├── ManifestInvalid      a file in the folder of manifests is none
├── NodeUnsuitable       the node lacks what the agent cannot do without
├── NotRestored          the kernel's own scheduler is not back after the deadline
├── SettingsError        the agent is set up wrongly
└── TargetNotFound       a profile was asked for something that is not there

Every message says what failed, why, and what can be done about it.
"""

__all__ = [
    "AgentError",
    "CorruptBlob",
    "ManifestInvalid",
    "NodeUnsuitable",
    "NotRestored",
    "ProbesUnavailable",
    "RequestFailed",
    "SettingsError",
    "TargetNotFound",
]


class AgentError(Exception):
    """The base of every error that the agent raises on purpose."""


class ProbesUnavailable(AgentError):
    """The kernel's tracepoints cannot be read here."""


class RequestFailed(AgentError):
    """An HTTP request failed."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status, or 0 when there was no answer."""

    @property
    def permanent(self) -> bool:
        """Whether the same request will fail again."""
        return self.status in (400, 401, 403, 404, 409, 413, 422)


class CorruptBlob(AgentError):
    """Bytes that do not have the digest they were asked for."""


class ManifestInvalid(AgentError):
    """A file in the folder of manifests is none."""


class NodeUnsuitable(AgentError):
    """The node lacks what the agent cannot do without."""


class NotRestored(AgentError):
    """The kernel's own scheduler is not back after the deadline."""


class SettingsError(AgentError):
    """The agent is set up wrongly."""


class TargetNotFound(AgentError):
    """A profile was asked for something that is not there."""
