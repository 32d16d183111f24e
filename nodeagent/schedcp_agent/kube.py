"""The one object that the agent reads and writes: its own node's SchedulerNodeState.

Two background threads keep the agent's tick free of waiting: one lists and watches, one writes the
latest status. Both go on trying for ever: the agent works when the API server is gone.
"""

import copy
import json
import logging
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from schedcp_api.base import API_VERSION
from schedcp_api.nodestates import SchedulerNodeStateSpec, SchedulerNodeStateStatus

from .errors import RequestFailed
from .web import Web

_LOG = logging.getLogger(__name__)
_PATH = f"/apis/{API_VERSION}/schedulernodestates"
_LIST_LIMIT = 4 * 1024 * 1024
_BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Seen:
    """One version of the object, or its absence."""

    resource_version: str
    spec: SchedulerNodeStateSpec | None = None
    generation: int = 0
    status: SchedulerNodeStateStatus | None = None
    problem: str = ""
    """Why the spec could not be read; empty when it could, or when there is no object."""


class NodeStates(Protocol):
    """The object's place in the API."""

    def read(self) -> Seen:
        """Return the present version; raise RequestFailed."""

    def watch(self, resource_version: str) -> Iterator[Seen]:
        """Yield later versions until the server ends it; raise RequestFailed."""

    def write(self, status: SchedulerNodeStateStatus) -> None:
        """Replace the status; raise RequestFailed."""

    def close(self) -> None:
        """Give the connection up."""


class KubeNodeStates:
    """`NodeStates` over the API server, for one node's object alone."""

    def __init__(self, web: Web, *, node: str, watch_seconds: int) -> None:
        self._web = web
        self._node = node
        self._selector = f"metadata.name={node}"
        self._watch_seconds = watch_seconds

    def read(self) -> Seen:
        """List with a field selector: the list's version is where the watch goes on."""
        body = self._web.get(_PATH, limit=_LIST_LIMIT, params={"fieldSelector": self._selector})
        listed: Any = json.loads(body)
        version = str(listed["metadata"]["resourceVersion"])
        items = listed.get("items") or []
        return parse_object(items[0], version) if items else Seen(version)

    def watch(self, resource_version: str) -> Iterator[Seen]:
        """Watch with a field selector, for a bounded time."""
        params = {
            "fieldSelector": self._selector,
            "watch": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(self._watch_seconds),
            "allowWatchBookmarks": "true",
        }
        silence = self._watch_seconds + 10.0
        for line in self._web.lines(_PATH, params=params, silence_seconds=silence):
            event: Any = json.loads(line)
            kind, found = event["type"], event["object"]
            if kind == "ERROR":
                raise RequestFailed(f"the watch ended: {found.get('message')}", status=410)
            version = str(found["metadata"]["resourceVersion"])
            if kind == "DELETED":
                yield Seen(version)
            elif kind in ("ADDED", "MODIFIED"):
                yield parse_object(found, version)

    def write(self, status: SchedulerNodeStateStatus) -> None:
        """Replace the status as a whole: a merge would leave behind what is no longer true."""
        body = json.dumps([{"op": "add", "path": "/status", "value": status.to_json()}])
        self._web.send(
            "PATCH",
            f"{_PATH}/{self._node}/status",
            body=body.encode(),
            content_type="application/json-patch+json",
        )

    def close(self) -> None:
        """Close the connection."""
        self._web.close()


def parse_object(found: dict[str, Any], version: str) -> Seen:
    """Return what an object says; a spec that this agent cannot read is a problem, not a crash."""
    generation = int(found["metadata"].get("generation", 0))
    status = read_status(found.get("status") or {})
    try:
        spec = SchedulerNodeStateSpec.model_validate(found["spec"])
    except ValidationError as err:
        problem = f"the spec cannot be read (is the operator newer than the agent?): {err}"
        return Seen(version, generation=generation, status=status, problem=problem[:2048])
    return Seen(version, spec=spec, generation=generation, status=status)


def read_status(raw: Any) -> SchedulerNodeStateStatus:
    """Return a former status without whatever this agent cannot read of it.

    A newer agent may have written it. What the fence and the quarantine hang on must not be lost
    because of a field or a word that is new: the smallest part around it is left out.
    """
    status: Any = copy.deepcopy(raw)
    while True:
        try:
            return SchedulerNodeStateStatus.model_validate(status)
        except ValidationError as err:
            place = err.errors()[0]["loc"]
            _LOG.warning("left out of the former status: %s: %s", place, err.errors()[0]["msg"])
            if not place:
                return SchedulerNodeStateStatus()
            _leave_out(status, place, unknown=err.errors()[0]["type"] == "extra_forbidden")


def _leave_out(value: Any, place: tuple[int | str, ...], *, unknown: bool) -> None:
    """Delete an unknown field; around a bad value, the list's element or the whole field."""
    numbers = [depth for depth, step in enumerate(place) if isinstance(step, int)]
    last = len(place) - 1 if unknown else numbers[-1] if numbers else 0
    for step in place[:last]:
        value = value[step]
    del value[place[last]]


class SpecWatcher:
    """Follows the object in a thread of its own; the agent takes what was seen when it wants."""

    def __init__(self, states: NodeStates) -> None:
        self._states = states
        self._seen: queue.SimpleQueue[Seen] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spec-watcher", daemon=True)
        self._connected = False

    @property
    def alive(self) -> bool:
        """Return whether nothing has ended the thread before its time."""
        return self._thread.ident is None or self._thread.is_alive()

    def start(self) -> None:
        """Start to follow."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Return whether the last exchange with the API server went well."""
        return self._connected

    def take(self) -> tuple[Seen, ...]:
        """Return what was seen since the last call, oldest first."""
        taken: list[Seen] = []
        while not self._seen.empty():
            taken.append(self._seen.get_nowait())
        return tuple(taken)

    def stop(self) -> None:
        """Ask the thread to end, which it does with the next version or at the watch's end."""
        self._ended.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread's end; return whether it came in time."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._ended.is_set():
            try:
                self._follow()
                failures = 0
            except (RequestFailed, ValueError, KeyError, OSError) as err:
                self._connected = False
                _LOG.warning("cannot follow the desired state: %s", err)
                self._ended.wait(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
                failures += 1
        self._states.close()

    def _follow(self) -> None:
        """List once, then watch until the server ends it; every version goes into the queue."""
        seen = self._states.read()
        self._connected = True
        self._seen.put(seen)
        for version in self._states.watch(seen.resource_version):
            self._seen.put(version)
            if self._ended.is_set():
                return


class StatusWriter:
    """Writes the latest status in a thread of its own; older ones that wait are dropped."""

    def __init__(self, states: NodeStates) -> None:
        self._states = states
        self._condition = threading.Condition()
        self._offered: SchedulerNodeStateStatus | None = None
        self._busy = False
        self._ended = False
        self.failures = 0
        """How often writing has failed, ever."""
        self.refused = ""
        """Why the API server will not take what this agent writes; empty when it does.

        An object that is not there yet is no refusal: the operator makes it.
        """
        self._thread = threading.Thread(target=self._run, name="status-writer", daemon=True)

    @property
    def alive(self) -> bool:
        """Return whether nothing has ended the thread before its time."""
        return self._thread.ident is None or self._thread.is_alive()

    def start(self) -> None:
        """Start to write."""
        self._thread.start()

    def offer(self, status: SchedulerNodeStateStatus) -> None:
        """Have `status` written as soon as the API server takes it."""
        with self._condition:
            self._offered = status
            self._condition.notify_all()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until what was offered is written; return whether it was, in time."""
        with self._condition:
            return self._condition.wait_for(
                lambda: self._offered is None and not self._busy, timeout_seconds
            )

    def stop(self) -> None:
        """Ask the thread to end."""
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread's end; return whether it came in time."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while (status := self._next()) is not None:
            try:
                self._states.write(status)
                failures, self.refused = 0, ""
            except (RequestFailed, OSError) as err:
                _LOG.warning("cannot write the status: %s", err)
                self._note(err)
                self._give_back(status)
                pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
                failures += 1
                self._pause(pause)
            finally:
                with self._condition:
                    self._busy = False
                    self._condition.notify_all()
        self._states.close()

    def _note(self, err: Exception) -> None:
        self.failures += 1
        refused = isinstance(err, RequestFailed) and err.permanent and err.status != 404
        self.refused = str(err) if refused else ""

    def _next(self) -> SchedulerNodeStateStatus | None:
        with self._condition:
            self._condition.wait_for(lambda: self._offered is not None or self._ended)
            status, self._offered = self._offered, None
            self._busy = status is not None
            return None if self._ended and status is None else status

    def _give_back(self, status: SchedulerNodeStateStatus) -> None:
        with self._condition:
            if self._offered is None and not self._ended:
                self._offered = status

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._condition:
            self._condition.wait_for(lambda: self._ended or time.monotonic() >= until, seconds)
