"""The operator: it decides which scheduler a workload's nodes run, and proves that it helps.

This package must not load a scheduler, compile anything, or import the agent or the verifier. What
is decided is decided by pure functions (`advance`, `judge`, `planner`, `policies`); the modules at
the edge (`kube`, `prometheus`, `verifier_client`, `store`, `server`) only carry facts in and
effects out.
"""

__version__ = "0.1.0"
