"""What jobs take: learned from pods that succeeded, expected of those that do the same."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from schedcp_api.nodestates import EXPECTED_RUNTIME_SECONDS_MAX, DepartedPod
from schedcp_operator import jobs
from schedcp_operator.errors import StoreUnavailable
from schedcp_operator.job_learner import JobLearner
from schedcp_operator.jobs import JobHistory, JobRun, job_key
from schedcp_operator.kube import PODS, STATES, Json
from schedcp_operator.objects import PodObject, pod_object
from support.operator_doubles import MemoryKube, MemoryStore
from support.operator_nouns import NOW
from support.operator_objects import primed, raw_node_state, raw_pod


def job(number: int, *args: str, node: str = "node-1", phase: str = "Succeeded") -> Json:
    """A pod of a job that runs with these arguments."""
    raw = raw_pod(f"pod-{number}", node, phase=phase)
    container: Json = {"name": "main", "image": "render:1", "command": ["render"]}
    raw["spec"] |= {"restartPolicy": "Never", "containers": [{**container, "args": list(args)}]}
    return raw


def parsed(raw: Json) -> PodObject:
    found = pod_object(raw)
    assert found is not None
    return found


def ran(number: int, *args: str, milliseconds: int) -> JobRun:
    """One run of such a job; a higher number ended later."""
    raw = job(number, *args)
    key = job_key(raw)
    assert key is not None
    return JobRun(
        uid=raw["metadata"]["uid"],
        exact=key.exact,
        program=key.program,
        cpu_milliseconds=milliseconds,
        at=NOW + timedelta(seconds=number),
    )


def expected(history: JobHistory, *args: str) -> int | None:
    return history.expected_seconds(job_key(job(99, *args)))


def test_the_same_job_takes_what_it_took() -> None:
    history = JobHistory(
        ran(number, "frame-1", milliseconds=took)
        for number, took in enumerate((9_000, 10_000, 11_400))
    )
    assert expected(history, "frame-1") == 10
    assert history.expected_seconds(None) is None
    assert JobHistory().expected_seconds(job_key(job(1))) is None


def test_other_arguments_take_what_the_program_takes_if_its_runs_agree() -> None:
    history = JobHistory([ran(1, "a", milliseconds=9_000), ran(2, "b", milliseconds=11_000)])
    assert expected(history, "c") == 10
    history.take_in([ran(3, "d", milliseconds=60_000)])
    assert expected(history, "c") is None
    assert [expected(history, word) for word in "abd"] == [9, 11, 60]


def test_a_job_that_takes_now_this_and_now_that_is_not_known() -> None:
    history = JobHistory([ran(1, "a", milliseconds=1_000), ran(2, "a", milliseconds=60_000)])
    history.take_in([ran(3, "b", milliseconds=30_000)])
    assert expected(history, "a") is None


def test_only_the_latest_runs_count() -> None:
    grew = [ran(n, "a", milliseconds=1_000 if n < 10 else 40_000) for n in reversed(range(18))]
    assert expected(JobHistory(grew), "a") == 40


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(0, 1), (3, 1), (10**13, EXPECTED_RUNTIME_SECONDS_MAX)]
)
def test_what_is_expected_is_within_what_agents_take(milliseconds: int, seconds: int) -> None:
    assert expected(JobHistory([ran(1, milliseconds=milliseconds)])) == seconds


CHANGES: list[tuple[str, Any, bool]] = [
    ("image", "render:2", False),
    ("command", ["other"], False),
    ("args", ["frame-2"], True),
    ("env", [{"name": "FRAME", "value": "2"}], True),
    ("volumeMounts", [{"name": "token", "mountPath": "/run"}], True),
]


@pytest.mark.parametrize(("field", "value", "same_program"), CHANGES)
def test_what_makes_another_job(field: str, value: object, same_program: bool) -> None:
    before, raw = job_key(job(1, "frame-1")), copy.deepcopy(job(2, "frame-1"))
    raw["spec"]["containers"][0][field] = value
    after = job_key(raw)
    assert before is not None
    assert after is not None
    assert (before.program == after.program) is same_program
    assert (before.exact == after.exact) is (field == "volumeMounts")


def test_a_place_in_an_indexed_job_is_a_job_of_its_own() -> None:
    keys = []
    for place in ("0", "1"):
        raw = job(1)
        raw["metadata"]["annotations"] = {"batch.kubernetes.io/job-completion-index": place}
        keys.append(job_key(raw))
    first, second = keys
    assert first is not None
    assert second is not None
    assert (first.program == second.program, first.exact == second.exact) == (True, False)


def test_a_namespace_does_not_hear_of_another() -> None:
    other = job(2)
    other["metadata"]["namespace"] = "bank"
    mine, theirs = job_key(job(1)), job_key(other)
    assert mine is not None
    assert theirs is not None
    assert mine.program != theirs.program


def test_a_service_is_no_job_whatever_it_runs() -> None:
    service = job(2)
    service["spec"]["restartPolicy"] = "Always"
    assert job_key(job(1)) is not None
    assert job_key(service) is None
    assert job_key(raw_pod("pod-1", "node-1")) is None, "that is what a pod is by default"


def test_a_program_says_nothing_of_other_arguments_by_one_set_of_them() -> None:
    history = JobHistory([ran(n, "a", milliseconds=10_000) for n in range(5)])
    assert expected(history, "b") is None


def test_no_more_is_kept_than_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_JOB_RUNS", 2)
    history = JobHistory([ran(n, str(n), milliseconds=1000 * n) for n in range(1, 10)])
    assert not history.knows(ran(1, milliseconds=0).uid)
    assert history.knows(ran(9, milliseconds=0).uid)
    assert [expected(history, "1"), expected(history, "9")] == [None, 9]


def gone(number: int, *, milliseconds: int = 5_000) -> DepartedPod:
    """What an agent says of a pod."""
    uid = job(number)["metadata"]["uid"]
    return DepartedPod(uid=uid, cpu_milliseconds=milliseconds, at=NOW)


class Learning:
    """A learner with a cluster and a store."""

    def __init__(self, kube: MemoryKube, store: MemoryStore, learner: JobLearner) -> None:
        self.kube, self.store, self.learner = kube, store, learner

    @classmethod
    async def of(cls, *pods: Json, departed: dict[str, tuple[DepartedPod, ...]]) -> "Learning":
        kube, store = MemoryKube(), MemoryStore()
        for raw in pods:
            kube.put(PODS, raw, namespace="shop")
        for node, went in departed.items():
            kube.put(STATES, raw_node_state(node, departed=went))
        return cls(kube, store, JobLearner(store, await primed(kube)))

    async def again(self) -> "Learning":
        """Another leader's, with the same store."""
        return Learning(self.kube, self.store, JobLearner(self.store, await primed(self.kube)))


async def test_what_succeeded_is_learned_once_and_outlives_its_pod() -> None:
    learning = await Learning.of(job(1), departed={"node-1": (gone(1),)})
    for _ in range(2):
        await learning.learner.learn()
    assert [run.cpu_milliseconds for run in learning.store.jobs.values()] == [5_000]
    await learning.kube.delete(PODS, "pod-1", namespace="shop")
    later = await learning.again()
    assert later.learner.expected_seconds(parsed(job(2, phase="Running"))) is None, "not read yet"
    await later.learner.learn()
    assert later.learner.expected_seconds(parsed(job(2, phase="Running"))) == 5


RESTARTED = {"containerStatuses": [{"restartCount": 0}, {"restartCount": 1}]}
PREPARED_TWICE = {"initContainerStatuses": [{"restartCount": 1}]}


@pytest.mark.parametrize(
    ("raw", "node"),
    [
        (job(1, phase="Running"), "node-1"),
        (job(1, phase="Failed"), "node-1"),
        (job(1, node="node-2"), "node-1"),
        ({**job(1), "status": {"phase": "Succeeded", **RESTARTED}}, "node-1"),
        ({**job(1), "status": {"phase": "Succeeded", **PREPARED_TWICE}}, "node-1"),
        (job(2), "node-1"),
        (raw_pod("pod-1", "node-1", phase="Succeeded"), "node-1"),
    ],
)
async def test_nothing_is_learned_of_anything_else(raw: Json, node: str) -> None:
    learning = await Learning.of(raw, departed={node: (gone(1),)})
    await learning.learner.learn()
    assert not learning.store.jobs


async def test_a_store_that_is_away_costs_nothing_that_can_still_be_seen() -> None:
    learning = await Learning.of(job(1), departed={"node-1": (gone(1),)})
    learning.store.problem = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await learning.learner.learn()
    learning.store.problem = None
    await learning.learner.learn()
    learning.store.problem = StoreUnavailable("away again")
    await learning.learner.learn()
    assert learning.learner.expected_seconds(parsed(job(2, phase="Running"))) == 5
