"""The operator as a process against a real API server; the other sides are small servers."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from schedcp_api.nodestates import DepartedPod
from schedcp_api.tokens import open_signed
from schedcp_lab.control_plane import ControlPlane
from schedcp_lab.control_plane_components import APISERVER
from support.api_server import POLICIES, RUNS, STATES, Api, api_client
from support.operator_library import BUILT, PROGRAM
from support.operator_nouns import KEY, OLD_KERNEL
from support.operator_world import (
    PODS,
    POLICY,
    World,
    operator_world,
    policy,
    prepare,
    probe_spec,
    rolled_out,
)
from support.stage_gate import StageGate


@pytest.fixture(scope="module")
def api(
    kube: ControlPlane, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """A client of an API server that has our kinds."""
    with api_client(kube.kubeconfig, tmp_path_factory.mktemp("client")) as client:
        prepare(client, repository / "crds")
        yield client


@pytest.fixture
def world(kube: ControlPlane, api: Api, tmp_path: Path) -> Iterator[World]:
    """Two nodes with a rolled out service; the operator is not started yet."""
    with operator_world(kube, api, tmp_path) as made:
        yield made


@pytest.fixture
def gate(api: Api) -> Iterator[StageGate]:
    """A gate that holds runs in a stage."""
    made = StageGate(api)
    yield made
    made.remove()


def job_pod(api: Api, name: str, *, phase: str) -> str:
    """A pod of the policy's that renders the same picture as any other; its UID."""
    container = {"name": "main", "image": "render:1", "args": ["picture"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "checkout"}},
        "spec": {"nodeName": "node-1", "restartPolicy": "Never", "containers": [container]},
    }
    created = api.create(PODS, pod)
    api.merge(f"{PODS}/{name}/status", {"status": {"phase": phase}})
    return str(created["metadata"]["uid"])


def expects(world: World, pod: str, seconds: int) -> bool:
    """Whether a node's agent is told that a pod's job takes so long."""
    return any(
        (told["name"], told.get("expectedRuntimeSeconds")) == (pod, seconds)
        for state in world.api.items(STATES)
        for workload in state["spec"].get("workloads", [])
        for told in workload["pods"]
    )


def test_a_rollout_ends_in_a_promotion(world: World) -> None:
    world.start()
    world.apply(policy())
    status = world.finished()
    assert status["outcome"]["kind"] == "Improved"
    assert status["attempts"][-1]["result"] == "Promoted"
    assert len(status["attempts"][-1]["blocks"]) == 10
    assert status["lessonDigest"].startswith("sha256:")
    world.wait(lambda: world.status().get("promoted"), "the policy says what it keeps")
    assert world.status()["promoted"]["scheduler"] == "latency_class"
    assert "activeRun" not in world.status()
    for assigned in world.assignments().values():
        assert [a["scheduler"] for a in assigned] == ["latency_class"]
        assert "switchback" not in assigned[0]
    world.wait(lambda: "keeps latency_class" in world.status()["summary"], "it is summed up")
    policy_object = world.api.get(f"{POLICIES}/{POLICY}") or {}
    assert "finalizers" not in policy_object["metadata"]
    assert "annotations" not in policy_object["metadata"]


def test_a_pinned_program_ends_in_a_promotion(world: World) -> None:
    words = ["--slice-us", "5000"]
    world.behaviour.programs = (BUILT,)
    world.start()
    world.apply(policy(search={"pinned": [{"scheduler": PROGRAM.name, "commandLine": words}]}))
    status = world.finished()
    (attempt,) = status["attempts"]
    assert (attempt["result"], attempt["objectDigest"]) == ("Promoted", BUILT.digest)
    assert attempt["candidate"]["programDigest"] == BUILT.digest
    world.wait(lambda: world.condition("Kept").get("status") == "True", "the program is kept")
    assert world.status()["promoted"]["commandLine"] == words
    for (assigned,) in world.assignments().values():
        assert (assigned["objectDigest"], assigned["commandLine"]) == (BUILT.digest, words)
        token = open_signed(assigned["token"], (KEY.public_key(),))
        assert token.program_digest == BUILT.digest


def test_a_pinned_program_that_no_agent_has_reaches_no_verifier(world: World) -> None:
    world.start()
    world.apply(policy(search={"pinned": [{"scheduler": PROGRAM.name}]}))
    outcome = world.finished()["outcome"]
    assert (outcome["kind"], outcome["reason"]) == ("Error", "ProgramNotOnNodes")
    assert "agent.programs.enabled" in outcome["message"]
    assert world.behaviour.verifications == 0


def test_a_job_is_expected_to_take_what_it_took(world: World) -> None:
    world.start()
    world.apply(policy())
    uid = job_pod(world.api, "render-1", phase="Succeeded")
    took = DepartedPod(uid=uid, cpu_milliseconds=90_400, at=datetime.now(UTC))
    world.behaviour.departed["node-1"] = (took,)
    job_pod(world.api, "render-2", phase="Running")
    world.wait(partial(expects, world, "render-2", 90), "the agent is told what the job will take")
    world.kill()
    world.api.delete(f"{PODS}/render-1")
    world.api.delete(f"{PODS}/render-2")
    world.behaviour.departed.clear()
    world.start()
    job_pod(world.api, "render-3", phase="Running")
    world.wait(partial(expects, world, "render-3", 90), "the next operator knows it, too")


def test_no_gain_is_rolled_back(world: World) -> None:
    world.behaviour.on = 2.0
    world.start()
    world.apply(policy(search={"maxCandidates": 2}))
    status = world.finished()
    assert (status["outcome"]["kind"], status["outcome"]["reason"]) == ("Worse", "Worse")
    assert [a["result"] for a in status["attempts"]] == ["RolledBack", "RolledBack"]
    assert all("restoredAt" in node for node in status["nodes"])
    assert not any(world.assignments().values())
    said = f"Worse: {status['outcome']['message']}"[:256]
    world.wait(lambda: world.status().get("lastOutcome") == said, "the policy says so")
    assert "promoted" not in world.status()


def test_an_ejected_scheduler_is_left_and_the_next_one_tried(world: World) -> None:
    world.behaviour.ejected = {"latency_class"}
    world.start()
    world.apply(policy())
    status = world.finished()
    assert [a["result"] for a in status["attempts"]] == ["RolledBack", "Promoted"]
    assert status["attempts"][0]["outcome"]["reason"] == "Ejected"


def test_a_lost_verification_is_tried_again(world: World) -> None:
    world.behaviour.lost = 1
    world.start()
    world.apply(policy(mode="Recommend"))
    assert world.finished()["outcome"]["reason"] == "ModeRecommend"
    assert world.behaviour.verifications == 2


def test_a_forged_token_reaches_no_node(world: World) -> None:
    world.behaviour.forged = True
    world.start()
    world.apply(policy())
    outcome = world.finished()["outcome"]
    assert (outcome["kind"], outcome["reason"]) == ("Error", "BadSignature")
    assert not any(world.assignments().values())


def test_a_selector_that_matches_nothing(world: World) -> None:
    world.start()
    world.apply(policy(workload={"podSelector": {"matchLabels": {"app": "chekout"}}}))
    matched = world.wait(lambda: world.condition("WorkloadMatched"), "the condition is there")
    assert (matched["status"], matched["reason"]) == ("False", "NoPods")
    assert "podSelector" in matched["message"]
    assert world.condition("Ready")["reason"] == "NoPods"
    assert world.run() is None


def test_no_node_has_sched_ext(world: World) -> None:
    world.behaviour.kernel = OLD_KERNEL
    world.start()
    world.apply(policy())
    world.wait(
        lambda: world.condition("NodesEligible").get("reason") == "NoSchedExt",
        "the policy says that no kernel has sched_ext",
    )
    assert OLD_KERNEL.release in world.condition("NodesEligible")["message"]
    assert world.run() is None


def test_without_prometheus_a_rollout_waits(world: World) -> None:
    world.behaviour.prometheus_up = False
    world.start()
    world.apply(policy())
    world.wait(
        lambda: world.condition("PrometheusReachable").get("status") == "False",
        "the policy says that Prometheus is gone",
    )
    assert world.condition("Ready")["reason"] == "PrometheusUnavailable"
    assert world.run() is None
    world.behaviour.prometheus_up = True
    outcome = world.finished()["outcome"]
    assert outcome["kind"] == "Improved"


def test_when_prometheus_goes_nothing_is_promoted(world: World, gate: StageGate) -> None:
    gate.close("Canary", probe=probe_spec(policy()["spec"]))
    world.start(DEADLINES__JUDGING_SECONDS="2")
    world.apply(policy())
    world.wait(partial(world.is_in, "Canary"), "the run is in Canary")
    world.behaviour.prometheus_up = False
    gate.move("")
    outcome = world.finished()["outcome"]
    assert (outcome["kind"], outcome["reason"]) == ("Inconclusive", "PrometheusUnavailable")
    assert not any(world.assignments().values())


def test_a_deleted_policy_leaves_nothing_behind(world: World) -> None:
    world.start()
    world.apply(policy())
    world.finished()
    world.wait(lambda: world.status().get("promoted"), "the scheduler is kept")
    world.kill()
    world.api.delete(f"{POLICIES}/{POLICY}")
    assert all(world.assignments().values())
    world.start()
    world.wait(lambda: not any(world.assignments().values()), "every node is cleared")


def test_only_rollouts_start_runs(world: World) -> None:
    world.start()
    world.apply(policy(mode="Observe", runHistoryLimit=1))
    assert world.finished()["outcome"]["reason"] == "ModeObserve"
    world.wait(lambda: world.status().get("lastRun"), "the run is over")
    first = world.status()["lastRun"]
    rolled_out(world.api, nodes=("node-1", "node-2"))
    rolled_out(world.api, image="checkout:2", nodes=("node-1", "node-2"))
    second = world.wait(
        lambda: (run := world.status().get("lastRun")) != first and run, "a second run is over"
    )
    assert second != first
    world.wait(lambda: len(world.api.items(RUNS)) == 1, "the first run is deleted")


def test_blobs_are_for_agents_only(world: World) -> None:
    world.start()
    world.wait(lambda: world.api.items(STATES), "the operator keeps the nodes' states")
    answers = world.blob_requests()
    assert {name: answer[0] for name, answer in answers.items()} == {
        "no token": 401,
        "garbage": 401,
        "wrong audience": 401,
        "wrong user": 403,
        "wrong digest": 422,
        "good": 204,
        "read back": 200,
        "missing": 404,
        "too large": 413,
    }, answers


STAGES = (
    "Pending",
    "Profiling",
    "Planning",
    "Verifying",
    "Signing",
    "AwaitingApproval",
    "Canary",
    "Judging",
    "Promoting",
    "Learning",
)


def test_killed_in_each_stage_it_ends_right(world: World, gate: StageGate) -> None:
    gate.close(STAGES[0], probe=probe_spec(policy()["spec"]))
    world.start()
    world.apply(policy(approval={"required": "BeforeCanary"}))
    for stage, following in zip(STAGES, (*STAGES[1:], ""), strict=True):
        world.wait(partial(world.is_in, stage), f"the run is in {stage}")
        world.kill()
        if stage == "AwaitingApproval":
            approve(world)
        gate.move(following)
        world.start()
    status = world.finished()
    assert status["outcome"]["kind"] == "Improved"
    entered = [entry["stage"] for entry in status["stages"]]
    assert entered == [*STAGES[1:], "Finished"]
    world.wait(lambda: world.status().get("promoted"), "the scheduler is kept")
    for assigned in world.assignments().values():
        assert [a["run"] for a in assigned] == [world.status()["promoted"]["run"]]
    assert status["leaseEpoch"] == len(STAGES) + 1


def test_killed_while_rolling_back_it_still_restores(world: World, gate: StageGate) -> None:
    world.behaviour.on = 2.0
    gate.close("RollingBack", probe=probe_spec(policy()["spec"]))
    world.start()
    world.apply(policy(search={"maxCandidates": 1}))
    world.wait(lambda: world.stage() == "RollingBack", "the run rolls back")
    world.kill()
    gate.move("")
    world.start()
    assert world.finished()["outcome"]["kind"] == "Worse"
    assert not any(world.assignments().values())


def test_killed_in_a_block_it_goes_on_where_the_agents_are(world: World) -> None:
    world.behaviour.block_seconds = 2.0
    world.start(NODE_LEASE_SECONDS="11")
    world.apply(policy(canary={"pairs": 7, "blockSeconds": 4, "washoutSeconds": 1}))
    world.wait(lambda: len(world.blocks()) >= 2, "two blocks are over")
    world.kill()
    world.wait(lambda: world.said("LeaseExpired"), "the agent gives the scheduler up")
    assert len(world.blocks()) < 14
    world.start()
    status = world.finished()
    blocks = status["attempts"][-1]["blocks"]
    spoilt = [block["invalidReason"] for block in blocks if not block["valid"]]
    assert spoilt == ["LeaseExpired"]
    assert (status["outcome"]["kind"], status["outcome"]["pairs"]) == ("Improved", 6)


def test_promoted_nodes_keep_their_scheduler_over_a_change_of_leader(world: World) -> None:
    world.start()
    world.apply(policy())
    world.finished()
    world.wait(lambda: world.condition("Kept").get("status") == "True", "the scheduler is kept")
    before = world.attached()
    world.kill()
    world.start()
    world.wait(lambda: min(world.epochs()) == 2, "the nodes follow the new leader")
    assert world.attached() == before
    assert all(before.values())


def test_a_second_replica_takes_over(world: World) -> None:
    world.start()
    first = world.operator
    world.wait(lambda: world.api.items(STATES), "the first replica leads")
    world.apply(policy())
    hold_in_judging(world)
    world.start_another()
    assert first is not None
    first.kill()
    world.behaviour.prometheus_up = True
    assert world.finished()["outcome"]["kind"] == "Improved"
    assert world.finished()["leaseEpoch"] == 2


def test_an_api_server_that_dies_is_waited_for(world: World, kube: ControlPlane) -> None:
    world.start()
    world.apply(policy())
    hold_in_judging(world)
    assert world.operator is not None
    said = len(world.spec.log.read_bytes())
    kube.kill(APISERVER)
    try:
        world.wait(
            lambda: b"Cannot connect to host" in world.spec.log.read_bytes()[said:],
            "the operator misses the API server",
        )
    finally:
        kube.restart_apiserver()
    world.behaviour.prometheus_up = True
    assert world.finished()["outcome"]["kind"] == "Improved"
    assert world.operator.alive


def hold_in_judging(world: World) -> None:
    """Take Prometheus away from a run that has begun, and wait until it has need of it."""
    world.wait(lambda: world.run() is not None, "a run has begun")
    world.behaviour.prometheus_up = False
    world.wait(partial(world.is_in, "Judging"), "the run is held up")


def approve(world: World) -> None:
    """Approve the candidate under way, as a person would."""
    run = world.run() or {}
    digest = run["status"]["attempts"][-1]["candidateDigest"]
    patch = {"metadata": {"annotations": {"schedcp.io/approved": digest}}}
    world.api.merge(f"{RUNS}/{run['metadata']['name']}", patch)
