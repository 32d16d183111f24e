"""CustomResourceDefinitions made from the models: structural schemas with CEL and bounds.

Pure: `custom_resource_definitions()` returns plain dicts; who writes them to files is elsewhere.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from .base import GROUP, VERSION, Noun
from .nodestates import SchedulerNodeStateSpec, SchedulerNodeStateStatus
from .policies import SchedulerPolicySpec, SchedulerPolicyStatus
from .runs import OptimizationRunSpec, OptimizationRunStatus

_KEPT = (
    "type",
    "format",
    "description",
    "enum",
    "default",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)


@dataclass(frozen=True)
class Column:
    """A printer column."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0

    def render(self) -> dict[str, Any]:
        """Return the CRD's form."""
        column = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**column, "priority": self.priority} if self.priority else column


@dataclass(frozen=True)
class Kind:
    """One custom resource."""

    kind: str
    plural: str
    short: str
    spec: type[Noun]
    status: type[Noun]
    columns: tuple[Column, ...]
    name_rule: str = ""
    """A CEL rule on the whole object, if any."""


_AGE = Column("Age", ".metadata.creationTimestamp", "date")

KINDS = (
    Kind(
        "SchedulerPolicy",
        "schedulerpolicies",
        "schedpol",
        SchedulerPolicySpec,
        SchedulerPolicyStatus,
        (
            Column("Mode", ".spec.mode"),
            Column("Scheduler", ".status.promoted.scheduler"),
            Column("Effect", ".status.promoted.effect"),
            Column("Doing", ".status.summary"),
            Column("Run", ".status.activeRun"),
            Column("Pods", ".status.selectedPods", "integer", 1),
            Column("Nodes", ".status.selectedNodes", "integer", 1),
            _AGE,
        ),
    ),
    Kind(
        "OptimizationRun",
        "optimizationruns",
        "optrun",
        OptimizationRunSpec,
        OptimizationRunStatus,
        (
            Column("Policy", ".spec.policy"),
            Column("Stage", ".status.stage"),
            Column("Candidate", ".status.attempts[-1:].plan.scheduler"),
            Column("Outcome", ".status.outcome.kind"),
            Column("Effect", ".status.outcome.effect"),
            Column("Reason", ".status.outcome.reason"),
            Column("Message", ".status.message", priority=1),
            _AGE,
        ),
    ),
    Kind(
        "SchedulerNodeState",
        "schedulernodestates",
        "schednode",
        SchedulerNodeStateSpec,
        SchedulerNodeStateStatus,
        (
            Column("Sched_Ext", ".status.schedExtState"),
            Column("Scheduler", ".status.attached[0].opsName"),
            Column("State", ".status.assignments[0].state"),
            Column("Reason", ".status.assignments[0].reason"),
            Column("Kernel", ".status.kernel.release"),
            Column("Heartbeat", ".status.heartbeatAt", "date"),
            _AGE,
        ),
    ),
)


def custom_resource_definitions() -> dict[str, dict[str, Any]]:
    """Return the CRDs by file name (`schedcp.io_PLURAL.yaml`), each a plain dict."""
    return {f"{GROUP}_{kind.plural}.yaml": _crd(kind) for kind in KINDS}


def _crd(kind: Kind) -> dict[str, Any]:
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object_schema(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.render() for column in kind.columns],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": ["schedcp"],
            },
            "versions": [version],
        },
    }


def _object_schema(kind: Kind) -> dict[str, Any]:
    return {
        "type": "object",
        "description": (kind.spec.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(kind.spec),
            "status": structural_schema(kind.status),
        },
    }


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the structural schema of `model`: references inlined, null and titles gone."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(schema, schema.get("$defs", {}))


def _structural(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    node = _resolve(node, definitions)
    result = {key: node[key] for key in _KEPT if key in node and node[key] is not None}
    if "default" in result:
        result["default"] = _without_null(result["default"])
    if "properties" in node:
        result["properties"] = {
            name: _structural(child, definitions) for name, child in node["properties"].items()
        }
    if isinstance(node.get("items"), dict):
        result["items"] = _structural(node["items"], definitions)
    if node.get("type") == "object" and "properties" not in node:
        extra = node.get("additionalProperties")
        if isinstance(extra, dict) and extra:
            result["additionalProperties"] = _structural(extra, definitions)
        else:
            result["x-kubernetes-preserve-unknown-fields"] = True
    if result.get("type") == "integer":
        result.setdefault("format", "int64")
    return result


def _without_null(value: Any) -> Any:
    """Return a default as an API server accepts it: what is not set is not there."""
    if isinstance(value, dict):
        return {key: _without_null(child) for key, child in value.items() if child is not None}
    if isinstance(value, list):
        return [_without_null(child) for child in value]
    return value


def _resolve(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref`, `allOf` of one, and `anyOf` with null, keeping what stands beside them."""
    beside = {k: v for k, v in node.items() if k not in ("$ref", "anyOf", "allOf")}
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        return {**_resolve(definitions[name], definitions), **beside}
    for key in ("anyOf", "allOf"):
        if key in node:
            options = [option for option in node[key] if option.get("type") != "null"]
            if len(options) != 1:
                raise ValueError(f"a structural schema has no unions: {node}")
            return {**_resolve(options[0], definitions), **beside}
    return node
