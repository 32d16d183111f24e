"""What a real API server accepts and refuses of our kinds, and in which words."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from schedcp_lab.control_plane import ControlPlane
from support.api_server import POLICIES, RUNS, STATES, Api, ApiError, Json, api_client
from support.operator_world import policy

PLANS = {"kind": "Rollout", "workload": "Deployment/shop/checkout", "revision": "r"}
DIGEST = "sha256:" + 64 * "0"
NO_SHARE = 'Invalid value: "string": write a percentage of 0% or more, such as 5%'
PROGRAM = {
    "crate": "scx_rusty",
    "version": "1.0.19",
    "crateDigest": DIGEST,
    "digest": DIGEST,
    "builtWith": "rustc 1.85.0",
}


def pinned(*words: str) -> Json:
    """A search for one program with a command line."""
    return {"pinned": [{"scheduler": "rusty", "commandLine": list(words)}]}


@pytest.fixture(scope="module")
def api(
    kube: ControlPlane, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """A client of an API server that has our kinds."""
    with api_client(kube.kubeconfig, tmp_path_factory.mktemp("client")) as client:
        client.apply_crds(repository / "crds")
        yield client


def changed(body: Json, path: str, value: Any) -> Json:
    """A copy of `body` with the field at `path` set, or removed when `value` is None."""
    copy = deepcopy(body)
    *parents, last = path.split(".")
    place = copy
    for name in parents:
        place = place.setdefault(name, {})
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value
    return copy


def run_object() -> Json:
    """An OptimizationRun as the operator creates it."""
    return {
        "apiVersion": "schedcp.io/v1alpha1",
        "kind": "OptimizationRun",
        "metadata": {"name": "checkout-1"},
        "spec": {
            "policy": "checkout",
            "policyUid": "uid",
            "policyGeneration": 1,
            "policySpec": policy()["spec"],
            "trigger": {**PLANS, "at": "2026-01-01T00:00:00Z"},
            "seed": 1,
        },
    }


def state_object() -> Json:
    """A SchedulerNodeState with an assignment."""
    assignment = {
        "run": "checkout-1",
        "policy": "checkout",
        "scheduler": "latency_class",
        "opsName": "schedcp_latency_class",
        "objectDigest": DIGEST,
        "token": "e30.e30",
        "switchback": {
            "id": "checkout-1/1",
            "blocks": ["On", "Off"],
            "blockSeconds": 4,
            "washoutSeconds": 1,
        },
    }
    return {
        "apiVersion": "schedcp.io/v1alpha1",
        "kind": "SchedulerNodeState",
        "metadata": {"name": "node-1"},
        "spec": {"leaseEpoch": 1, "assignments": [assignment]},
    }


def requirement(operator: str, *values: str) -> Json:
    """A selector by one requirement."""
    asked: Json = {"key": "pool", "operator": operator}
    return {"matchExpressions": [{**asked, "values": list(values)} if values else asked]}


def try_create(api: Api, path: str, body: Json) -> Json:
    """Ask whether an object would be created."""
    return api.request("POST", path, body, params={"dryRun": "All", "fieldValidation": "Strict"})


ACCEPTED: list[tuple[str, Any]] = [
    ("spec.mode", "Observe"),
    ("spec.nodes", {"matchLabels": {"pool": "general"}}),
    ("spec.workload.podSelector", {"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
    ("spec.objective", {"metric": {"prometheus": {"query": 'sum(x{node="$node"}[$window])'}}}),
    (
        "spec.objective",
        {
            "metric": {"prometheus": {"query": 'rps{node="$node"}'}},
            "direction": "Maximize",
            "minimumEffect": "2.5%",
        },
    ),
    (
        "spec.guardrails",
        [
            {
                "name": "neighbours",
                "metric": {"builtin": "NeighbourCpuTime"},
                "direction": "Maximize",
            }
        ],
    ),
    ("spec.objective", {"metric": {"prometheus": {"query": 'x{node="$node",v=~"[0-9]s"}'}}}),
    ("spec.objective", {"minimumEffect": "0%"}),
    ("spec.search", {"pinned": [{"scheduler": "long_tail"}], "waivedLosses": ["CpuMax"]}),
    ("spec.search", pinned("--slice-us-underutil", "20000", "--perf=0", "a/b:c@d,e_f+1.5%")),
    ("spec.search", pinned(*(32 * [128 * "x"]))),
    ("spec.canary", {"steps": [{"nodes": 1}, {"percent": 25}, {"percent": 100}]}),
    ("spec.canary", {"steps": [{"nodes": 1}, {"nodes": 1}, {"nodes": 4}, {"percent": 100}]}),
    ("spec.nodes", requirement("NotIn", "spot")),
    ("spec.nodes", requirement("DoesNotExist")),
    ("spec.canary", {"budget": {"maxUnavailable": "10%", "onePerZone": True}}),
    ("spec.canary", {"budget": {"maxUnavailable": "9999.9999%"}}),
    ("spec.onDisconnect", "Hold"),
    ("spec.approval", {"required": "BeforePromotion"}),
    ("spec.suspend", True),
    ("spec.runHistoryLimit", 1),
    ("spec.runHistoryLimit", 100),
]


@pytest.mark.parametrize(("path", "value"), ACCEPTED)
def test_policies_that_are_accepted(api: Api, path: str, value: Any) -> None:
    made = try_create(api, POLICIES, changed(policy(), path, value))
    assert made["spec"]["mode"]


REFUSED: list[tuple[str, Any, str]] = [
    ("spec.mode", "Automatic", 'supported values: "Observe", "Recommend", "Canary", "Auto"'),
    ("spec.modus", "Auto", 'unknown field "spec.modus"'),
    ("spec.workload", None, "spec.workload: Required value"),
    (
        "spec.workload.podSelector",
        {},
        "podSelector must select something: give matchLabels or matchExpressions",
    ),
    ("spec.objective", {"minimumEffect": 5}, "must be of type string"),
    ("spec.objective", {"minimumEffect": "5"}, f"spec.objective.minimumEffect: {NO_SHARE}"),
    ("spec.objective", {"minimumEffect": "five%"}, f"spec.objective.minimumEffect: {NO_SHARE}"),
    ("spec.objective", {"minimumEffect": "5%%"}, f"spec.objective.minimumEffect: {NO_SHARE}"),
    ("spec.objective", {"minimumEffect": "10000%"}, f"spec.objective.minimumEffect: {NO_SHARE}"),
    (
        "spec.objective",
        {"minimumEffect": "1234.12345%"},
        f"spec.objective.minimumEffect: {NO_SHARE}",
    ),
    (
        "spec.objective",
        {"metric": {}},
        "a metric is either builtin or prometheus, exactly one of the two",
    ),
    (
        "spec.objective",
        {"metric": {"builtin": "CpuPressure", "prometheus": {"query": "$node"}}},
        "a metric is either builtin or prometheus, exactly one of the two",
    ),
    (
        "spec.objective",
        {"metric": {"prometheus": {"query": "up"}}},
        "query must contain $node: figures are taken per node",
    ),
    (
        "spec.guardrails",
        [{"name": "neighbours", "metric": {"builtin": "NeighbourCpuTime"}}],
        "NeighbourCpuTime is better when larger (direction: Maximize)",
    ),
    ("spec.objective", {"direction": "Maximize"}, "the others when smaller (direction: Minimize)"),
    (
        "spec.objective",
        {"metric": {"prometheus": {"query": 'sum(rate(x{node="$node"}[5m]))'}}},
        "query looks back over a fixed range: write [$window], which is the length of a block",
    ),
    ("spec.objective", {"minimumEffect": "-5%"}, f"spec.objective.minimumEffect: {NO_SHARE}"),
    (
        "spec.guardrails",
        [{"name": "a", "metric": {"builtin": "CpuPressure"}, "margin": "-1%"}],
        f"spec.guardrails[0].margin: {NO_SHARE}",
    ),
    (
        "spec.guardrails",
        2 * [{"name": "a", "metric": {"builtin": "CpuPressure"}}],
        'spec.guardrails[1]: Duplicate value: {"name":"a"}',
    ),
    (
        "spec.canary",
        {"budget": {"maxUnavailable": "-10%"}},
        f"spec.canary.budget.maxUnavailable: {NO_SHARE}",
    ),
    (
        "spec.guardrails",
        [{"name": "Neighbours", "metric": {"builtin": "CpuPressure"}}],
        "spec.guardrails[0].name in body should match '^[a-z][a-z0-9-]{0,62}$'",
    ),
    ("spec.guardrails", 9 * [{"name": "a", "metric": {"builtin": "CpuPressure"}}], "at most 8"),
    ("spec.search", {"maxCandidates": 0}, "greater than or equal to 1"),
    ("spec.search", {"allow": []}, "at least 1 items"),
    ("spec.search", {"waivedLosses": ["Everything"]}, 'Unsupported value: "Everything"'),
    ("spec.search", pinned(*(33 * ["x"])), "commandLine: Too many: 33: must have at most 32 items"),
    ("spec.search", pinned(129 * "x"), "commandLine[0]: Too long: may not be more than 128"),
    ("spec.search", pinned(""), "commandLine[0] in body should be at least 1 chars long"),
    ("spec.search", pinned("-v", "$(reboot)"), "commandLine[1] in body should match '^[A-Za-z0-9"),
    ("spec.search", pinned("two words"), "commandLine[0] in body should match '^[A-Za-z0-9"),
    ("spec.nodes", requirement("NotIn"), "operators In and NotIn need values, Exists and"),
    ("spec.nodes", requirement("In"), "operators In and NotIn need values, Exists and"),
    ("spec.workload.podSelector", requirement("NotIn"), "operators In and NotIn need values, Ex"),
    ("spec.nodes", requirement("Exists", "spot"), "Exists and DoesNotExist take none"),
    ("spec.canary", {"steps": [{"percent": 100}, {"nodes": 1}]}, "steps must grow: numbers of"),
    ("spec.canary", {"steps": [{"percent": 50}, {"percent": 25}]}, "steps must grow: numbers of"),
    ("spec.canary", {"steps": [{"nodes": 3}, {"nodes": 2}]}, "steps must grow: numbers of nodes"),
    ("spec.canary", {"pairs": 4}, "greater than or equal to 5"),
    ("spec.canary", {"method": "Controls"}, "only Switchback is supported by this version"),
    (
        "spec.canary",
        {"steps": [{"nodes": 1, "percent": 5}]},
        "a step has either nodes or percent, not both",
    ),
    ("spec.canary", {"steps": [{}]}, "a step has either nodes or percent, not both"),
    ("spec.scope", "Workload", "scope Workload is not supported by this version; use Node"),
    ("spec.trigger", {"cooldownSeconds": -1}, "greater than or equal to 0"),
    ("spec.runHistoryLimit", 0, "greater than or equal to 1"),
    ("spec.runHistoryLimit", 101, "less than or equal to 100"),
]


@pytest.mark.parametrize(("path", "value", "words"), REFUSED)
def test_policies_that_are_refused(api: Api, path: str, value: Any, words: str) -> None:
    with pytest.raises(ApiError) as refused:
        try_create(api, POLICIES, changed(policy(), path, value))
    assert words in refused.value.message


def test_defaults_are_in_the_schema(api: Api) -> None:
    bare = {"workload": {"podSelector": {"matchLabels": {"app": "x"}}}}
    spec = try_create(api, POLICIES, {**policy(), "spec": bare})["spec"]
    assert spec["mode"] == "Recommend"
    assert spec["objective"]["metric"] == {"builtin": "WakeupLatencyP99"}
    assert spec["canary"]["steps"] == [{"nodes": 1}, {"percent": 100}]
    assert spec["trigger"]["stabilizationSeconds"] == 60
    assert spec["onDisconnect"] == "Revert"
    assert spec["runHistoryLimit"] == 10


def test_examples_are_accepted(api: Api, repository: Path) -> None:
    found = sorted((repository / "examples").glob("*.yaml"))
    assert found
    for path in found:
        for body in yaml.safe_load_all(path.read_text()):
            if body["kind"] == "SchedulerPolicy":
                try_create(api, POLICIES, body)


def test_a_runs_spec_is_a_record(api: Api) -> None:
    created = api.create(RUNS, run_object())
    try:
        with pytest.raises(ApiError) as refused:
            api.merge(f"{RUNS}/checkout-1", {"spec": {"seed": 2}})
        assert "a run's spec is a record and cannot be changed" in refused.value.message
        noted = {"metadata": {"annotations": {"schedcp.io/approved": DIGEST}}}
        assert api.merge(f"{RUNS}/checkout-1", noted)["spec"] == created["spec"]
    finally:
        api.delete(f"{RUNS}/checkout-1")


RUNS_REFUSED: list[tuple[str, Any, str]] = [
    ("spec.seed", -1, "greater than or equal to 0"),
    ("spec.trigger.kind", "Whim", 'supported values: "Rollout", "Manual"'),
    ("spec.policySpec.mode", "Never", 'Unsupported value: "Never"'),
    ("spec.policyUid", None, "spec.policyUid: Required value"),
]


@pytest.mark.parametrize(("path", "value", "words"), RUNS_REFUSED)
def test_runs_that_are_refused(api: Api, path: str, value: Any, words: str) -> None:
    with pytest.raises(ApiError) as refused:
        try_create(api, RUNS, changed(run_object(), path, value))
    assert words in refused.value.message


def assignment(**changes: Any) -> list[Json]:
    """A changed assignment."""
    found: Json = state_object()["spec"]["assignments"][0]
    return [{**found, **changes}]


STATES_REFUSED: list[tuple[str, Any, str]] = [
    ("spec.assignments", 2 * assignment(), "must have at most 1 item"),
    ("spec.assignments", assignment(token=""), "at least 1 chars long"),
    ("spec.assignments", assignment(token="x" * 131_073), "may not be more than 131072"),
    (
        "spec.assignments",
        assignment(objectDigest="sha256:abc"),
        "spec.assignments[0].objectDigest in body should match '^sha256:[0-9a-f]{64}$'",
    ),
    ("spec.leaseSeconds", 1, "greater than or equal to 5"),
]


@pytest.mark.parametrize(("path", "value", "words"), STATES_REFUSED)
def test_node_states_that_are_refused(api: Api, path: str, value: Any, words: str) -> None:
    with pytest.raises(ApiError) as refused:
        try_create(api, STATES, changed(state_object(), path, value))
    assert words in refused.value.message


def test_a_node_state_is_accepted(api: Api) -> None:
    made = try_create(api, STATES, state_object())
    assert made["spec"]["assignments"][0]["onDisconnect"] == "Revert"


@pytest.fixture
def state(api: Api) -> Iterator[str]:
    """The path of a node state's status, which is a subresource."""
    path = f"{STATES}/{api.create(STATES, state_object())['metadata']['name']}"
    try:
        yield f"{path}/status"
    finally:
        api.delete(path)


def test_a_nodes_programs_are_kept(api: Api, state: str) -> None:
    made = api.merge(state, {"status": {"programs": 64 * [PROGRAM]}})
    assert made["status"]["programs"] == 64 * [PROGRAM]


PROGRAMS_REFUSED: list[tuple[list[Json], str]] = [
    (65 * [PROGRAM], "status.programs: Too many: 65: must have at most 64 items"),
    (
        [{**PROGRAM, "digest": "sha256:abc"}],
        "programs[0].digest in body should match '^sha256:[0-9a-f]{64}$'",
    ),
    (
        [{**PROGRAM, "version": 257 * "1"}],
        "programs[0].version: Too long: may not be more than 256",
    ),
    ([changed(PROGRAM, "crateDigest", None)], "status.programs[0].crateDigest: Required value"),
]


@pytest.mark.parametrize(("programs", "words"), PROGRAMS_REFUSED)
def test_programs_of_a_node_that_are_refused(
    api: Api, state: str, programs: list[Json], words: str
) -> None:
    with pytest.raises(ApiError) as refused:
        api.merge(state, {"status": {"programs": programs}})
    assert words in refused.value.message


def test_columns_answer_what_it_does_and_whether_it_is_better(api: Api, kube: ControlPlane) -> None:
    api.create(POLICIES, policy())
    try:
        promoted = {
            "run": "checkout-1",
            "scheduler": "latency_class",
            "effect": "41.00%",
            "promotedAt": "2026-01-01T00:00:00Z",
        }
        status = {"promoted": promoted, "summary": "keeps latency_class, 41.00% better"}
        api.merge(f"{POLICIES}/checkout/status", {"status": status})
        shown = kube.kubectl("get", "schedpol").stdout
    finally:
        api.delete(f"{POLICIES}/checkout")
    assert shown.splitlines()[0].split() == [
        *("NAME", "MODE", "SCHEDULER", "EFFECT", "DOING", "RUN", "AGE")
    ]
    assert "keeps latency_class, 41.00% better" in shown
