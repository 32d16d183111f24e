"""The command line of the agent. Usage errors exit with 64."""

import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from schedcp_api.nodestates import TrackedWorkload
from schedcp_api.profiles import WorkloadProfile

from . import VERSION, command_profile
from .errors import AgentError, NodeUnsuitable, NotRestored, RequestFailed, SettingsError
from .kernel_probe import btf_path, read_capabilities, read_kernel_profile, read_sched_ext
from .manifests import read_manifests, readiness_of
from .restore import PID_FILE, Place, restore_node
from .restore_cluster import agents_of, operator_of, restore_cluster
from .settings import AgentSettings, load_settings

USAGE_ERROR = 64
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="SchedCP's node agent: profiles, loads, guards and reports on one node.",
)


@app.command()
def run() -> None:
    """Run the agent; settings come from SCHEDCP_AGENT_* variables."""
    from .metrics import Exporter
    from .metrics_server import Certificate, MetricsServer
    from .wiring import make_agent

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # httpx says every request; the watch and the heartbeat would fill the log.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = load_settings()
    logging.getLogger(__name__).info("schedcp-agent %s on node %s", VERSION, settings.node_name)
    if not settings.node_name:
        raise typer.BadParameter("SCHEDCP_AGENT_NODE_NAME is not set: it names this node's object")
    certificate = Certificate(settings.metrics_certificate_file, settings.metrics_key_file)
    _keep_pid(settings.state_dir)
    exporter = Exporter()
    rank = _rank(settings.realtime_priority)
    agent = make_agent(settings, exporter, rank=rank)
    server = MetricsServer(
        (settings.metrics_bind, settings.metrics_port),
        exporter,
        certificate=certificate,
        healthy=agent.alive,
        ready=agent.ready,
    )
    server.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    signal.signal(signal.SIGUSR1, lambda *_: agent.hands_off())
    try:
        restored = agent.run(settle_timeout_seconds=settings.detach_timeout_seconds + 10)
    finally:
        server.stop()
        (settings.state_dir / PID_FILE).unlink(missing_ok=True)
    if not restored:
        raise NotRestored("the agent ends without proof that the kernel's own scheduler is back")


def _keep_pid(folder: Path) -> None:
    """Make the agent's folder, and tell `restore` there which process to ask."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / PID_FILE).write_text(str(os.getpid()))
    except OSError as err:
        raise SettingsError(
            f"cannot write to {folder}: {err}; mount a folder of the node's there, or name another"
            " in SCHEDCP_AGENT_STATE_DIR"
        ) from err


def _rank(priority: int) -> str:
    """Lock memory, and try whether real-time priority may be had; return what was not permitted."""
    from . import realtime

    refused = [realtime.lock_memory()]
    if priority:
        refused.append(realtime.try_priority(priority))
    rank = "; ".join(filter(None, refused))
    if rank:
        logging.getLogger(__name__).warning("%s", rank)
    return rank


@app.command()
def profile(
    command: Annotated[
        list[str] | None, typer.Argument(help="A command to start and profile, after --.")
    ] = None,
    pod: Annotated[str, typer.Option(help="A pod on this node, NAMESPACE/NAME.")] = "",
    cgroup: Annotated[Path | None, typer.Option(help="A cgroup2 directory.")] = None,
    pid: Annotated[int | None, typer.Option(min=1, help="A process.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the WorkloadProfile.")] = False,
) -> None:
    """Profile a pod, a cgroup, a process or a command on this node."""
    chosen = [bool(command), bool(pod), cgroup is not None, pid is not None]
    if sum(chosen) != 1:
        raise typer.BadParameter("give exactly one of --pod, --cgroup, --pid, or -- COMMAND")
    settings = load_settings()
    root = settings.cgroup_root
    if command:
        with command_profile.started(command, cgroup_root=root) as target:
            result = _profile(settings, target, seconds)
    elif pod:
        found = command_profile.find_pod(
            pod,
            cgroup_root=root,
            pod_logs_dir=settings.pod_logs_dir,
            workloads=_tracked(settings),
        )
        result = _profile(settings, found, seconds)
    elif cgroup is not None:
        result = _profile(settings, command_profile.find_cgroup(cgroup, cgroup_root=root), seconds)
    else:
        result = _profile(settings, command_profile.find_process(pid or 0), seconds)
    typer.echo(json.dumps(result.to_json(), indent=2) if as_json else render(result))


def _tracked(settings: AgentSettings) -> tuple[TrackedWorkload, ...]:
    """Return what the operator has tracked on this node; nothing where it cannot be asked."""
    from .wiring import node_states

    if not settings.kube_url or not settings.node_name:
        return ()
    try:
        spec = node_states(settings).read().spec
    except (RequestFailed, OSError) as err:
        typer.echo(f"note: cannot ask which pods are tracked here: {err}", err=True)
        return ()
    return spec.workloads if spec else ()


def _profile(
    settings: AgentSettings, target: command_profile.Target, seconds: float
) -> WorkloadProfile:
    from .probes.bcc_probes import open_probes

    probes = open_probes()
    try:
        return command_profile.take_profile(
            target,
            probes,
            node=settings.node_name or os.uname().nodename.lower(),
            kernel_digest=read_kernel_profile(settings.sys_root).content_digest(),
            seconds=seconds,
            cgroup_root=settings.cgroup_root,
        )
    finally:
        probes.close()


def render(result: WorkloadProfile) -> str:
    """Return a profile as a table for people; times in microseconds."""
    rows = [
        f"{result.workload} on {result.node}: {result.duration_ms / 1000:.1f} s, "
        f"{result.cpus} CPUs, {result.lost_samples} lost samples",
        f"{'':24}{'threads':>8}{'cpu':>7}{'wake/s':>8}"
        f"{'burst p50':>11}{'sleep p50':>11}{'wait p50':>10}{'wait p99':>10}",
    ]
    for name, side in (("target", result.target), ("neighbours", result.neighbours)):
        threads = sum(group.threads for group in side.thread_groups)
        wakes = sum(group.wakeups_per_second for group in side.thread_groups)
        figures = (side.burst, side.sleep, side.wakeup_latency)
        for label, count, cpu, woken, (burst, sleep, wait) in [
            (name, threads, side.cpu_milli, wakes, figures),
            *(
                (
                    f"  {group.label}",
                    group.threads,
                    group.cpu_milli,
                    group.wakeups_per_second,
                    (group.burst, group.sleep, group.wakeup_latency),
                )
                for group in side.thread_groups
            ),
        ]:
            rows.append(
                f"{label:24.24}{count:8}{cpu / 1000:7.2f}{woken:8}"
                f"{burst.p50_ns / 1000:11.0f}{sleep.p50_ns / 1000:11.0f}"
                f"{wait.p50_ns / 1000:10.0f}{wait.p99_ns / 1000:10.0f}"
            )
    return "\n".join(rows)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the kernel of this node runs right now."""
    seen = read_sched_ext(load_settings().sys_root)
    if seen.problem:
        raise NodeUnsuitable(f"nobody knows what runs here: {seen.problem}")
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "supported": seen.supported,
                    "state": seen.state,
                    "ops": seen.ops,
                    "enableSeq": seen.enable_seq,
                    "nrRejected": seen.nr_rejected,
                    "onDefaultScheduler": seen.idle,
                }
            )
        )
    elif not seen.supported:
        typer.echo("this kernel has no sched_ext; the kernel's own scheduler runs everything")
    else:
        what = "the kernel's own scheduler" if seen.idle else seen.ops or "a nameless scheduler"
        typer.echo(f"{seen.state}: {what} (enabled {seen.enable_seq} times)")


@app.command()
def restore(
    cluster: Annotated[
        bool, typer.Option("--cluster", help="All nodes, over the API server.")
    ] = False,
    operator: Annotated[
        str, typer.Option(help="With --cluster: the operator's Deployment to stop, NS/NAME.")
    ] = "",
    agents: Annotated[
        str, typer.Option(help="With --cluster: the agents' DaemonSet, NS/NAME.")
    ] = "",
    timeout_seconds: Annotated[float, typer.Option(min=1, max=3600)] = 120.0,
) -> None:
    """Bring this node (or all) back to the kernel's own scheduler, and prove it."""
    settings = load_settings()
    if not cluster:
        restore_node(
            lambda: read_sched_ext(settings.sys_root),
            place=Place(settings.state_dir),
            timeout_seconds=timeout_seconds,
            quiet_seconds=2 * settings.tick_seconds + 1,
        )
        typer.echo("restored: the kernel's own scheduler runs everything")
        return
    from .wiring import kube_web

    stopped, asked = _named("--operator", operator), _named("--agents", agents)
    restore_cluster(
        kube_web(settings),
        operator=operator_of(*stopped) if stopped else None,
        agents=agents_of(*asked) if asked else None,
        timeout_seconds=timeout_seconds,
        say=typer.echo,
    )
    typer.echo("restored: every node is on the kernel's own scheduler")


def _named(option: str, value: str) -> tuple[str, str] | None:
    namespace, slash, name = value.partition("/")
    if value and not (slash and namespace and name):
        raise typer.BadParameter(f"{option} is NAMESPACE/NAME")
    return (namespace, name) if value else None


@app.command("probe-kernel")
def probe_kernel(
    manifests: Annotated[
        Path | None, typer.Option(help="A folder of manifests; default: the image's.")
    ] = None,
    btf: Annotated[
        Path | None, typer.Option(help="Another kernel's raw BTF; of it only what it lacks.")
    ] = None,
) -> None:
    """Print this kernel's profile, and of each scheduler of the library what the kernel lacks."""
    settings = load_settings()
    found = {} if btf else read_kernel_profile(settings.sys_root).to_json()
    capabilities = read_capabilities(btf or btf_path(settings.sys_root))
    library = read_manifests(manifests or settings.manifests_dir)
    if not library:
        typer.echo(f"note: no manifests in {manifests or settings.manifests_dir}", err=True)
    found["schedulers"] = [each.to_json() for each in readiness_of(library, capabilities)]
    typer.echo(json.dumps(found, indent=2))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(VERSION)


def main() -> None:
    """Run the command line; errors that were foreseen are one line, usage errors exit with 64."""
    try:
        app()
    except SystemExit as end:
        # The library's own status for wrong usage is 2.
        raise SystemExit(USAGE_ERROR if end.code == 2 else end.code) from None
    except AgentError as err:
        typer.echo(f"error: {err}", err=True)
        sys.exit(1)
