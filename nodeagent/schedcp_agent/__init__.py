"""The node agent: profiles, loads, guards and reports on one node.

This package must not compile schedulers, talk to a language model, decide what is good for a
workload, or write any object but the status of its own node's SchedulerNodeState.

Pure: `reconcile`, `admission`, `trips`, `standings`, `switchback`, `guard`, `pressure`, `report`,
`memory`, `histograms`, `profiler`, `sides`. Edges: `web` (httpx), `probes.bcc_probes` (bcc),
`metrics` and `metrics_server` (prometheus_client, TLS), `loader` (the child process), `cgroups` and
`kernel_probe` (sysfs). `agent` ties them together, one tick a second.
"""

VERSION = "0.1.0"
