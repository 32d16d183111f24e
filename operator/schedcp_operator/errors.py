"""What can go wrong in the operator. The class says whether trying again can help.

OperatorError
├── TemporaryError            the world is not ready: try again later
│   ├── KubeUnavailable       the API server cannot be reached, or refuses for the moment
│   ├── Conflict              the object changed since it was read: read it again
│   ├── PrometheusUnavailable figures cannot be had now
│   ├── SchemasOutdated       the cluster's CRDs do not have all that the operator writes
│   ├── VerifierUnavailable   the verifier cannot be reached or lost its machine
│   └── StoreUnavailable      the store cannot be reached
├── PermanentError            trying again gives the same answer
│   ├── NotFound              an object or blob does not exist
│   ├── Refused               the other side understood and said no
│   └── SettingsError         the operator is set up wrongly
└── NotLeader                 another replica leads, or the lease could not be renewed in time
"""

__all__ = [
    "Conflict",
    "KubeUnavailable",
    "NotFound",
    "NotLeader",
    "OperatorError",
    "PermanentError",
    "PrometheusUnavailable",
    "Refused",
    "SchemasOutdated",
    "SettingsError",
    "StoreUnavailable",
    "TemporaryError",
    "VerifierUnavailable",
]


class OperatorError(Exception):
    """The base of every error that the operator raises on purpose."""


class TemporaryError(OperatorError):
    """The world is not ready: try again later."""


class KubeUnavailable(TemporaryError):
    """The API server cannot be reached, or refuses for the moment."""


class Conflict(TemporaryError):
    """The object changed since it was read: read it again."""


class PrometheusUnavailable(TemporaryError):
    """Figures cannot be had now."""


class SchemasOutdated(TemporaryError):
    """The cluster's CRDs do not have all that the operator writes."""


class VerifierUnavailable(TemporaryError):
    """The verifier cannot be reached or lost its machine."""


class StoreUnavailable(TemporaryError):
    """The store cannot be reached."""


class PermanentError(OperatorError):
    """Trying again gives the same answer."""


class NotFound(PermanentError):
    """An object or blob does not exist."""


class Refused(PermanentError):
    """The other side understood and said no."""


class SettingsError(PermanentError):
    """The operator is set up wrongly."""


class NotLeader(OperatorError):
    """Another replica leads, or the lease could not be renewed in time."""
