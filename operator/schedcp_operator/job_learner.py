"""Keeps what jobs took: from the watched world into the store, and what follows for a pod."""

import logging

from .cluster import Cluster
from .jobs import JobHistory
from .objects import PodObject
from .store import Store

__all__ = ["JobLearner"]

_log = logging.getLogger(__name__)


class JobLearner:
    """What is known of jobs. The leader's alone: it is read from the store once, then written."""

    def __init__(self, store: Store, cluster: Cluster) -> None:
        self._store = store
        self._cluster = cluster
        self._history: JobHistory | None = None

    async def learn(self) -> None:
        """Take in what agents and pods say by now; raise StoreUnavailable, and lose nothing."""
        if self._history is None:
            self._history = JobHistory(await self._store.job_runs())
        history = self._history
        departed = [
            (name, gone)
            for name, state in sorted(self._cluster.states.items())
            for gone in state.status.departed
            if not history.knows(gone.uid)
        ]
        if not departed:
            return
        runs = history.new_runs(departed, self._cluster.succeeded_pods())
        if runs:
            await self._store.add_job_runs(runs)
            history.take_in(runs)
            _log.info("learned what %d jobs took", len(runs))

    def expected_seconds(self, pod: PodObject) -> int | None:
        """Return the CPU seconds that a pod's job is expected to take; None when nobody knows."""
        return self._history.expected_seconds(pod.job) if self._history is not None else None
