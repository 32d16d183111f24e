"""What can go wrong with the verifier itself. A bad candidate is a verdict, not an error.

VerifierError
├── UsageError            the command line or the request makes no sense; do not retry
├── CommandFailed         a tool of the machine failed or ran out of time
│   └── ToolMissing       a tool of the machine is not installed
├── LibraryInvalid        a manifest, or a file that it names, is missing or malformed
├── KernelUnavailable     no bundle of the kernel that was asked for, or an incomplete one
├── VmError               a proof could not be made; trying again may help
│   ├── VmLostError       the guest crashed, hung, or never came to its end
│   └── GuestOutputError  what the guest said is malformed or beyond its bounds
└── SigningRefused        the verdict does not carry a token

Every message says what failed, why, and what can be done about it.
"""

__all__ = [
    "CommandFailed",
    "GuestOutputError",
    "KernelUnavailable",
    "LibraryInvalid",
    "SigningRefused",
    "ToolMissing",
    "UsageError",
    "VerifierError",
    "VmError",
    "VmLostError",
]


class VerifierError(Exception):
    """The base of every error that the verifier raises on purpose."""


class UsageError(VerifierError):
    """The command line or the request makes no sense."""


class CommandFailed(VerifierError):
    """A tool of the machine failed or ran out of time."""


class ToolMissing(CommandFailed):
    """A tool of the machine is not installed."""


class LibraryInvalid(VerifierError):
    """A manifest, or a file that it names, is missing or malformed."""


class KernelUnavailable(VerifierError):
    """No bundle of the kernel that was asked for, or an incomplete one."""


class VmError(VerifierError):
    """A proof could not be made: neither a pass nor a rejection."""


class VmLostError(VmError):
    """The guest crashed, hung, or never came to its end."""

    def __init__(
        self, message: str, *, under_candidate: bool = False, late_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.under_candidate = under_candidate
        self.late_after = late_after
        """Of a guest that met its deadline: the CPU seconds that it had had by then."""


class GuestOutputError(VmError):
    """What the guest said is malformed or beyond its bounds."""


class SigningRefused(VerifierError):
    """The verdict does not carry a token."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
