"""May this assignment run here and now? Pure; the answer is checked again at every tick."""

from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schedcp_api.kernels import KernelFeature, KernelProfile
from schedcp_api.nodestates import PASSING_REFUSALS, Assignment, Quarantined
from schedcp_api.tokens import (
    NOTHING_REVOKED,
    DeploymentToken,
    Revocations,
    TokenError,
    check,
)

from .kernel_probe import ENABLED, ENABLING
from .observations import Observed


@dataclass(frozen=True)
class Rules:
    """What the agent judges by: its own name, and whose signatures count."""

    node: str
    keys: tuple[Ed25519PublicKey, ...]
    revoked: Revocations | None = NOTHING_REVOKED
    """None: it cannot be told, so nothing may run."""
    restart_limit: int = 3
    """How often within `restart_window_seconds` a loader that ended is started again."""
    restart_window_seconds: float = 900.0
    restart_pause_seconds: float = 1.0
    """Before the first of them; twice as long before each further one."""
    fetch_attempts: int = 10
    """After how many tries a canary gives up; what is kept goes on trying."""
    arm_timeout_seconds: float = 180.0
    """How long the node may take to reach a block's arm."""


@dataclass(frozen=True)
class Refusal:
    """Why an assignment must not run."""

    reason: str
    message: str

    @property
    def final(self) -> bool:
        """Whether this is the last word; what passes by itself is looked at again at every tick."""
        return self.reason not in PASSING_REFUSALS


def admit(
    assignment: Assignment,
    observed: Observed,
    quarantine: tuple[Quarantined, ...],
    *,
    rules: Rules,
    now: datetime,
) -> DeploymentToken | Refusal:
    """Return the token's claims when the assignment may run here and now, or why it may not."""
    kernel = observed.kernel
    if kernel is None or KernelFeature.SCHED_EXT not in kernel.features:
        return Refusal("NoSchedExt", "this node's kernel has no sched_ext")
    if rules.revoked is None:
        words = "what is revoked cannot be read, so no token is believed; see the agent's log"
        return Refusal("RevocationsUnreadable", words)
    try:
        claims = check(
            assignment.token,
            rules.keys,
            node=rules.node,
            kernel_digest=kernel.content_digest(),
            now=now,
            revoked=rules.revoked,
        )
    except TokenError as err:
        return Refusal(err.reason, str(err))
    return (
        _mismatch(assignment, claims)
        or _program(claims, observed)
        or _quarantined(assignment, kernel, quarantine)
        or _needed(claims, observed)
        or _unreadable(observed)
        or _foreign(observed)
        or claims
    )


def _mismatch(assignment: Assignment, claims: DeploymentToken) -> Refusal | None:
    pairs = {
        "object": (assignment.object_digest, claims.object_digest),
        "arguments": (assignment.arguments, claims.arguments),
        "command line": (assignment.command_line, claims.command_line),
        "ops name": (assignment.ops_name, claims.ops_name),
        "run": (assignment.run, claims.run),
        "unit": (assignment.unit, claims.unit),
        "scheduler": (assignment.scheduler, claims.scheduler),
    }
    wrong = [name for name, (asked, signed) in pairs.items() if asked != signed]
    if not wrong:
        return None
    return Refusal(
        "ClaimsMismatch",
        f"the assignment's {', '.join(wrong)} differ from what the token was signed for",
    )


def _program(claims: DeploymentToken, observed: Observed) -> Refusal | None:
    """Return a refusal of a program that is not the image's own: none is ever fetched."""
    digest = claims.program_digest
    here = {built.digest for built in observed.programs}
    if digest is None or digest in here:
        return None
    known = ", ".join(sorted(here)) or "none"
    return Refusal(
        "ProgramNotHere",
        f"{claims.scheduler} is the program {digest}, which did not come with this agent; it has: "
        f"{known}. Build verifier and agent with the same programs",
    )


def _quarantined(
    assignment: Assignment, kernel: KernelProfile, quarantine: tuple[Quarantined, ...]
) -> Refusal | None:
    for entry in quarantine:
        if (entry.object_digest, entry.kernel_digest) == (
            assignment.object_digest,
            kernel.content_digest(),
        ):
            return Refusal(
                "Quarantined",
                f"this object was quarantined here at {entry.at}: {entry.reason}: {entry.message}",
            )
    return None


def _needed(claims: DeploymentToken, observed: Observed) -> Refusal | None:
    """Return a refusal when a pod asks for what is lost and was accepted for want of such pods."""
    needed = sorted(observed.demands.intersection(claims.guarded_losses))
    if not needed:
        return None
    return Refusal(
        "ContractNeeded",
        f"a pod on this node asks for {', '.join(needed)}, which {claims.scheduler} does not keep; "
        "no pod did when it was proven. Move that pod, or waive the loss in the policy",
    )


def _unreadable(observed: Observed) -> Refusal | None:
    problem = observed.sched_ext.problem
    return Refusal("KernelUnreadable", problem) if problem else None


def _foreign(observed: Observed) -> Refusal | None:
    if not foreign(observed):
        return None
    return Refusal(
        "ForeignScheduler",
        f"{observed.sched_ext.ops or 'another scheduler'} is attached and is not the agent's; "
        "detach it to let this assignment run",
    )


def foreign(observed: Observed) -> bool:
    """Return whether something is attached that the agent did not load."""
    return observed.sched_ext.state in (ENABLED, ENABLING) and not observed.ours
