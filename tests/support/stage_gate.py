"""Holds a run in one stage: an admission policy that lets no status leave it."""

from functools import partial

from .api_server import RUNS, Api, ApiError, Json, wait_for

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_POLICIES = f"{_ADMISSION}/validatingadmissionpolicies"
_BINDINGS = f"{_ADMISSION}/validatingadmissionpolicybindings"
NAME = "stage-gate"
PROBE = "stage-gate-probe"


def _validation(stage: str) -> Json:
    before = (
        "(has(oldObject.status) && has(oldObject.status.stage) ? oldObject.status.stage"
        " : 'Pending')"
    )
    rule = f"{before} != '{stage}' || object.status.stage == '{stage}'"
    return {"expression": rule, "message": f"held in {stage}"}


class StageGate:
    """The gate; closed for one stage at a time, and moved in one write."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def close(self, stage: str, *, probe: Json) -> None:
        """Close the gate for the first time, and return once the API server obeys it.

        `probe` is the spec of a run to try it with.
        """
        rules = [
            {
                "apiGroups": ["schedcp.io"],
                "apiVersions": ["v1alpha1"],
                "operations": ["UPDATE"],
                "resources": ["optimizationruns/status"],
            }
        ]
        policy = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": NAME},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": rules},
                "validations": [_validation(stage)],
            },
        }
        binding = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": NAME},
            "spec": {"policyName": NAME, "validationActions": ["Deny"]},
        }
        self._api.create(_POLICIES, policy)
        self._api.create(_BINDINGS, binding)
        run = {
            "apiVersion": "schedcp.io/v1alpha1",
            "kind": "OptimizationRun",
            "metadata": {"name": PROBE},
            "spec": probe,
        }
        self._api.create(RUNS, run)
        wait_for(partial(self._denies, stage), what=f"the API server holds runs in {stage}")
        self._api.delete(f"{RUNS}/{PROBE}")

    def _denies(self, stage: str) -> bool:
        """Try to leave `stage`; whether that is denied."""
        self._api.merge(f"{RUNS}/{PROBE}/status", {"status": {"stage": stage}})
        try:
            self._api.merge(f"{RUNS}/{PROBE}/status", {"status": {"stage": "Finished"}})
        except ApiError as err:
            return err.status == 422
        return False

    def move(self, stage: str) -> None:
        """Open the present stage and close another, in one write."""
        self._api.merge(f"{_POLICIES}/{NAME}", {"spec": {"validations": [_validation(stage)]}})

    def remove(self) -> None:
        """Take the gate away."""
        self._api.delete(f"{_BINDINGS}/{NAME}")
        self._api.delete(f"{_POLICIES}/{NAME}")
