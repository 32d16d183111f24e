"""`schedcp-agent profile`: one profile from the command line, without operator or API server.

The target is a pod, a cgroup, a process, or a command that is started for the purpose in a cgroup
of its own (so that whatever it forks is counted too). Everybody else's pods are the neighbours.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from schedcp_api.nodestates import TrackedWorkload
from schedcp_api.profiles import WorkloadProfile

from . import cgroups
from .errors import AgentError, TargetNotFound
from .probes.port import FIRST_TARGET, OTHER_PODS, Probes, Tracked
from .profiler import Mark, Subject, build_profile
from .sides import Role, SideUsage

_COMMAND_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_REFRESH_SECONDS = 1.0


@dataclass(frozen=True)
class Target:
    """What is profiled, and what it is called in the profile."""

    label: str
    cgroup: Path | None = None
    pid: int | None = None
    finished: Callable[[], bool] = field(default=lambda: False)


def find_pod(
    name: str,
    *,
    cgroup_root: Path,
    pod_logs_dir: Path,
    workloads: Iterable[TrackedWorkload] = (),
) -> Target:
    """Return the target for `NAMESPACE/NAME`.

    The pod's UID is looked for in `workloads` (what the operator has tracked here) and in the names
    of the kubelet's log folders.
    """
    namespace, slash, pod = name.partition("/")
    if not slash or not namespace or not pod:
        raise TargetNotFound(f"{name!r} is not NAMESPACE/NAME")
    prefix = f"{namespace}_{pod}_"
    folders = list(pod_logs_dir.iterdir()) if pod_logs_dir.is_dir() else []
    uids = {f.name.removeprefix(prefix) for f in folders if f.name.startswith(prefix)}
    tracked = (row for workload in workloads for row in workload.pods)
    uids |= {row.uid for row in tracked if (row.namespace, row.name) == (namespace, pod)}
    for found in cgroups.find_pods(cgroups.find_cgroup2(cgroup_root)):
        if found.uid in uids:
            return Target(f"Pod/{name}", cgroup=found.path)
    raise TargetNotFound(
        f"no running pod {name} is known on this node: neither a policy tracks it here nor has "
        f"{pod_logs_dir} a folder of it; give its cgroup below {cgroup_root} with --cgroup"
    )


def find_cgroup(path: Path, *, cgroup_root: Path) -> Target:
    """Return the target for a cgroup, given as an absolute path or below the cgroup2 mount."""
    root = cgroups.find_cgroup2(cgroup_root)
    full = path if path.is_relative_to(root) else root / str(path).lstrip("/")
    if not (full / "cgroup.procs").exists():
        raise TargetNotFound(f"{full} is not a cgroup2 directory")
    return Target(f"Cgroup/{full.relative_to(root)}", cgroup=full)


def find_process(pid: int, *, proc_root: Path = Path("/proc")) -> Target:
    """Return the target for one process."""
    if not (proc_root / str(pid)).is_dir():
        raise TargetNotFound(f"there is no process {pid}")
    return Target(f"Process/{pid}", pid=pid)


@contextmanager
def started(command: list[str], *, cgroup_root: Path) -> Iterator[Target]:
    """Run `command` in a cgroup of its own for as long as the block lasts."""
    folder = cgroups.find_cgroup2(cgroup_root) / f"schedcp-profile-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as err:
        raise TargetNotFound(f"cannot make the cgroup {folder}: {err}; run as root") from err
    try:
        child = _spawn(command, folder)
        try:
            yield Target(
                f"Command/{command[0]}", cgroup=folder, finished=lambda: child.poll() is not None
            )
        finally:
            _stop(child)
    finally:
        _remove(folder)


def _spawn(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a shim that waits until it is in the cgroup, then becomes the command."""
    shim = ["/bin/sh", "-c", 'read -r _ && exec "$@"', "sh", *command]
    child = subprocess.Popen(shim, stdin=subprocess.PIPE, env=dict(os.environ))
    (folder / "cgroup.procs").write_text(str(child.pid))
    if child.stdin is not None:
        child.stdin.write(b"\n")
        child.stdin.close()
    return child


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_COMMAND_STOP_SECONDS)
    if child.poll() is None:
        child.kill()
        child.wait(_COMMAND_STOP_SECONDS)


def _remove(folder: Path) -> None:
    """Remove the cgroup with whatever the command left running in it."""
    with suppress(OSError):
        (folder / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + _COMMAND_STOP_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            folder.rmdir()
        if not folder.exists():
            return
        time.sleep(_POLL_SECONDS)
    raise AgentError(f"{folder} cannot be removed: something in it does not end")


def take_profile(
    target: Target,
    probes: Probes,
    *,
    node: str,
    kernel_digest: str,
    seconds: float,
    cgroup_root: Path,
) -> WorkloadProfile:
    """Profile for `seconds`, or until the target's command has ended."""
    root = cgroups.find_cgroup2(cgroup_root)
    _point(probes, target, root)
    probes.begin_groups()
    begin = _mark(probes, target, root)
    deadline = time.monotonic() + seconds
    refreshed = time.monotonic()
    while time.monotonic() < deadline and not target.finished():
        time.sleep(_POLL_SECONDS)
        if time.monotonic() - refreshed >= _REFRESH_SECONDS:
            _point(probes, target, root)
            refreshed = time.monotonic()
    groups = probes.end_groups()
    end = _mark(probes, target, root)
    subject = Subject(node, target.label, kernel_digest, os.cpu_count() or 1, FIRST_TARGET)
    return build_profile(subject, begin, end, groups)


def _point(probes: Probes, target: Target, root: Path) -> None:
    """Track the target, and the pods that are not the target."""
    sides = {cgroup: OTHER_PODS for pod in cgroups.find_pods(root) for cgroup in pod.ids}
    if target.cgroup is not None:
        sides.update(dict.fromkeys(cgroups.ids_below(target.cgroup), FIRST_TARGET))
    processes = {target.pid: FIRST_TARGET} if target.pid is not None else {}
    probes.track(Tracked(sides, processes))


def _mark(probes: Probes, target: Target, root: Path) -> Mark:
    others = [pod for pod in cgroups.find_pods(root) if pod.path != target.cgroup]
    usage = {Role.NEIGHBOUR: _usage([pod.path for pod in others])}
    if target.cgroup is not None:
        usage[Role.TARGET] = _usage([target.cgroup])
    return Mark(
        at=datetime.now(UTC),
        monotonic_ns=time.monotonic_ns(),
        sides=probes.read(frozenset({OTHER_PODS, FIRST_TARGET})),
        usage=usage,
        lost=probes.lost(),
    )


def _usage(folders: list[Path]) -> SideUsage:
    usages = [cgroups.read_usage(folder) for folder in folders]
    return SideUsage(
        cpu_usec=sum(u.cpu_usec for u in usages),
        pressure_usec=max((u.some_usec for u in usages), default=0),
        pods=len(usages),
    )
