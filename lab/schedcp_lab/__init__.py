"""A Kubernetes cluster with sched_ext nodes on one machine, for the demo, tests and benchmarks.

Never shipped in an image, never imported by the operator, the agent or the verifier, and never
reaching beyond the machine's own package mirrors and its loopback interface.
"""
