"""What jobs take: learned from pods that succeeded, and expected of pods that do the same again.

An agent says what CPU time a pod had used when it went; that its work was done is known of the pod
itself. Two runs are of the same job when they run the same program with the same arguments; where
the arguments are new, the program alone counts if its runs with several others agree.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, NamedTuple, Protocol

from pydantic import Field

from schedcp_api.base import Digest, Noun, ShortText, Timestamp, canonical_json, digest_of
from schedcp_api.nodestates import EXPECTED_RUNTIME_SECONDS_MAX, DepartedPod

__all__ = ["MOST_JOB_RUNS", "JobHistory", "JobKey", "JobRun", "job_key"]

MOST_JOB_RUNS = 10_000
"""Older ones are forgotten."""
_LATEST = 8
"""So many runs of a job count: what it works on changes with time."""
_AGREE = 2.0
"""Runs that took more than this many times their median, or less than its part, do not agree."""
_SETS_OF_ARGUMENTS = 2
"""With fewer, nobody knows whether the arguments matter."""
_INDEX = "batch.kubernetes.io/job-completion-index"


class JobKey(NamedTuple):
    """What a pod does, as digests: nothing that its authors wrote is kept."""

    exact: str
    """Of its namespace, and of every container's image, command, arguments and environment."""
    program: str
    """The same without arguments, environment and place among the pods of an indexed job."""


class JobRun(Noun):
    """One run of a job that succeeded."""

    uid: ShortText
    """The pod's."""
    exact: Digest
    program: Digest
    cpu_milliseconds: int = Field(ge=0)
    at: Timestamp


class Finished(Protocol):
    """A pod whose work is done; `objects.PodObject` is one."""

    @property
    def node(self) -> str: ...
    @property
    def restarted(self) -> bool: ...
    @property
    def job(self) -> JobKey | None: ...


def job_key(raw: Mapping[str, Any]) -> JobKey | None:
    """Return what a Pod, as the API server has it, does; None of a service, which never ends."""
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    if spec.get("restartPolicy", "Always") == "Always":
        return None
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    place = (metadata.get("annotations") or {}).get(_INDEX, "")
    programs = [[c.get("image", ""), c.get("command") or []] for c in containers]
    given = [[c.get("args") or [], c.get("env") or []] for c in containers]
    namespace = metadata.get("namespace", "")
    return JobKey(
        exact=digest_of(canonical_json([namespace, programs, given, place])),
        program=digest_of(canonical_json([namespace, programs])),
    )


class JobHistory:
    """The latest runs of each job that are known; jobs that ran long ago are forgotten.

    Runs are taken in once each, in the order in which they ended.
    """

    def __init__(self, runs: Iterable[JobRun] = ()) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()
        self._latest: OrderedDict[str, deque[JobRun]] = OrderedDict()
        self.take_in(runs)

    def knows(self, uid: str) -> bool:
        """Return whether a pod's run is known."""
        return uid in self._known

    def take_in(self, runs: Iterable[JobRun]) -> None:
        """Add runs; those that are known already change nothing."""
        for run in sorted(runs, key=lambda run: run.at):
            if run.uid in self._known:
                continue
            self._known[run.uid] = None
            for key in (run.exact, run.program):
                self._latest.setdefault(key, deque(maxlen=_LATEST)).append(run)
                self._latest.move_to_end(key)
        for kept in (self._known, self._latest):
            while len(kept) > 2 * MOST_JOB_RUNS:
                kept.popitem(last=False)

    def new_runs(
        self, departed: Iterable[tuple[str, DepartedPod]], finished: Mapping[str, Finished]
    ) -> tuple[JobRun, ...]:
        """Return the runs that are not known yet.

        `departed` are nodes with pods that went there, `finished` the pods that succeeded by UID.
        A node is believed about its own pods only; what began more than once took something else.
        """
        found: dict[str, JobRun] = {}
        for node, gone in departed:
            pod = finished.get(gone.uid)
            if pod is None or pod.node != node or pod.restarted or pod.job is None:
                continue
            if gone.uid not in self._known:
                found[gone.uid] = JobRun(
                    uid=gone.uid,
                    exact=pod.job.exact,
                    program=pod.job.program,
                    cpu_milliseconds=gone.cpu_milliseconds,
                    at=gone.at,
                )
        return tuple(found.values())

    def expected_seconds(self, job: JobKey | None) -> int | None:
        """Return the CPU seconds that a job will take by its latest runs; None when nobody knows.

        Where the very same was run before, its program's other runs say nothing. A program says
        nothing of other arguments until runs with two sets of them agree.
        """
        if job is None:
            return None
        latest = self._latest.get(job.exact)
        if latest is None:
            latest = self._latest.get(job.program)
            if latest is None or len({run.exact for run in latest}) < _SETS_OF_ARGUMENTS:
                return None
        middle = median(run.cpu_milliseconds for run in latest)
        if any(not middle / _AGREE <= run.cpu_milliseconds <= middle * _AGREE for run in latest):
            return None
        return min(EXPECTED_RUNTIME_SECONDS_MAX, max(1, round(middle / 1000)))
