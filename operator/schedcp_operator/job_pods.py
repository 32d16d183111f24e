"""What the pods of a verification's Job say of themselves: why one waits, and how one broke. Pure.

What a pod says is hostile, too: it is bounded, and cannot act on the terminal that shows it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .kube import Json

__all__ = ["HOPELESS", "IMAGE", "Waiting", "broken_containers", "waiting"]

_MOST_SAID_CHARS = 600
IMAGE = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
    }
)
"""Reasons for which a container waits for its image."""
HOPELESS = IMAGE | {"CreateContainerConfigError", "CreateContainerError"}
"""Reasons that hardly ever go away unless a person does something."""
_USUAL = frozenset({"", "ContainerCreating", "PodInitializing"})
"""What each container waits for at first; what keeps it there is only in the pod's events."""


@dataclass(frozen=True)
class Waiting:
    """A Job of which nothing runs: who waits, for what, and since when."""

    who: str
    """In words."""
    where: str
    """Kind and name of the object whose events say more."""
    reason: str
    said: str
    since: datetime | None
    placed: bool = True
    """Whether it has a node."""

    @property
    def usual(self) -> bool:
        """Whether it gives no reason beyond that it starts."""
        return self.reason in _USUAL

    def seconds(self, now: datetime) -> float:
        """Return for how long it has waited."""
        return (now - self.since).total_seconds() if self.since else 0.0

    def __str__(self) -> str:
        since = f" since {self.since:%H:%M:%S} UTC" if self.since else ""
        words = ": ".join(word for word in (self.reason, self.said) if word)
        return f"{self.who} waits{since}: {words or 'no reason given'}"


def waiting(job: Json, pods: list[Json]) -> Waiting | None:
    """Return what a Job's pod that is alive waits for; None where it runs or has ended."""
    for pod in pods:
        status = pod.get("status") or {}
        going = pod["metadata"].get("deletionTimestamp")
        if not going and status.get("phase") not in ("Succeeded", "Failed"):
            return _unplaced(pod, status) or _unstarted(pod, status)
    if pods:
        return None
    name = f"job {job['metadata']['name']}"
    since = _time(job["metadata"].get("creationTimestamp"))
    return Waiting(name, name, "", "it has no pod", since, placed=False)


def _unplaced(pod: Json, status: Json) -> Waiting | None:
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "True":
        return None
    name = f"pod {pod['metadata']['name']}"
    return Waiting(
        who=name,
        where=name,
        reason=_clean(scheduled.get("reason")),
        said=_clean(scheduled.get("message") or "no scheduler has looked at it"),
        since=_time(
            scheduled.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp")
        ),
        placed=False,
    )


def _unstarted(pod: Json, status: Json) -> Waiting | None:
    """Return what the first container that has not ended well waits for."""
    name = f"pod {pod['metadata']['name']}"
    since = _time(_condition(status, "PodScheduled").get("lastTransitionTime"))
    for container in _containers(status):
        state = container.get("state") or {}
        ended = state.get("terminated")
        if ended is not None and not ended.get("exitCode"):
            since = _time(ended.get("finishedAt")) or since
            continue
        if ended is not None or state.get("running") is not None:
            return None
        found = state.get("waiting") or {}
        reason, said = _clean(found.get("reason")), _clean(found.get("message"))
        return Waiting(f"{container['name']} of {name}", name, reason, said, since)
    if _containers(status):
        return None
    return Waiting(name, name, "", "its kubelet has not said anything yet", since)


def broken_containers(pod: Json) -> list[str]:
    """Return what a pod's containers that ended with a failure ended with, and last said."""
    found = []
    for container in _containers(pod.get("status") or {}):
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            said = _clean(ended.get("message") or "nothing said")
            reason = f"{ended.get('reason', 'Error')}, status {ended['exitCode']}"
            found.append(f"{container['name']}: {reason}: {said}")
    return found


def _containers(status: Json) -> list[Json]:
    """Return the containers' states in the order in which they start."""
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _condition(status: Json, type_: str) -> Json:
    found = (c for c in status.get("conditions") or [] if c.get("type") == type_)
    return next(found, {})


def _clean(words: Any) -> str:
    """Return the end of what was said, in one line of printable characters."""
    said = "".join(c if c.isprintable() else " " for c in str(words or ""))
    return " ".join(said.split())[-_MOST_SAID_CHARS:]


def _time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text or ""))
    except ValueError:
        return None
    return found if found.tzinfo else None
