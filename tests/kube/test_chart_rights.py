"""Whom the chart allows what."""

from pathlib import Path

from schedcp_api.crds import custom_resource_definitions
from support.agent_installation import NAMESPACE, Manifest, render

OUR_KINDS = [crd["metadata"]["name"] for crd in custom_resource_definitions().values()]
RIGHTS: dict[tuple[str, str], dict[str, str]] = {
    ("ClusterRole", "schedcp-operator"): {
        "schedcp.io/schedulerpolicies": "get list watch",
        "schedcp.io/schedulerpolicies/status": "update",
        "schedcp.io/optimizationruns": "create delete get list watch",
        "schedcp.io/optimizationruns/status": "update",
        "schedcp.io/schedulernodestates": "create get list update watch",
        "/nodes": "list watch",
        "/pods": "list watch",
        "/namespaces": "list watch",
        "apps/deployments": "list watch",
        "apps/statefulsets": "list watch",
        "apps/daemonsets": "list watch",
        "authentication.k8s.io/tokenreviews": "create",
        "apiextensions.k8s.io/customresourcedefinitions": "list watch",
        **{f"apiextensions.k8s.io/customresourcedefinitions {name}": "get" for name in OUR_KINDS},
    },
    ("Role", "schedcp-operator"): {
        "coordination.k8s.io/leases": "create",
        "coordination.k8s.io/leases schedcp-operator": "get update",
        "batch/jobs": "create delete get",
        "/configmaps": "create delete get",
        "/pods/log": "get",
    },
    ("ClusterRole", "schedcp-agent"): {
        "schedcp.io/schedulernodestates": "list watch",
        "schedcp.io/schedulernodestates/status": "patch",
    },
    ("ClusterRole", "schedcp-uninstall"): {
        "schedcp.io/schedulernodestates": "create list patch",
        "/nodes": "list",
    },
    ("Role", "schedcp-uninstall"): {
        "apps/deployments/scale schedcp-operator": "patch",
        "/pods": "list",
    },
}
"""Whom the chart allows what: verbs by group/resource, with the one name that it is bound to.

A right is here because the code uses it; the verifier's account has none.
"""


def rights(role: Manifest) -> dict[str, str]:
    """Return a role's verbs by what they are for, in the words of `RIGHTS`."""
    found: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    place = f"{group}/{resource} {name}".rstrip()
                    found.setdefault(place, set()).update(rule["verbs"])
    return {place: " ".join(sorted(verbs)) for place, verbs in found.items()}


class TestRights:
    """Wider rights are a decision, and not a slip."""

    def test_every_role_allows_just_this(self, repository: Path) -> None:
        roles = [r for r in render(repository) if r["kind"] in ("Role", "ClusterRole")]
        assert {(r["kind"], r["metadata"]["name"]): rights(r) for r in roles} == RIGHTS

    def test_every_role_is_for_the_account_of_its_name(self, repository: Path) -> None:
        kinds = {"RoleBinding": "Role", "ClusterRoleBinding": "ClusterRole"}
        bound = []
        for binding in render(repository):
            if binding["kind"] not in kinds:
                continue
            role = binding["roleRef"]
            assert role["kind"] == kinds[binding["kind"]]
            bound.append((role["kind"], role["name"]))
            account = {"kind": "ServiceAccount", "namespace": NAMESPACE, "name": role["name"]}
            assert binding["subjects"] == [account]
        assert sorted(bound) == sorted(RIGHTS)
