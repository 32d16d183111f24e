"""A lab that stays up: one process holds it, others find it through its session file.

`hold()` runs in that process until a signal. Requests of other processes are files in a folder that
the holder looks into, so that nothing listens on a port; each is answered by a file beside it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from schedcp_lab.cluster import Cluster
from schedcp_lab.errors import LabError
from schedcp_lab.logs import tail
from schedcp_lab.processes import environment, wait_until
from schedcp_lab.product import Product
from schedcp_lab.workshop import Workshop

__all__ = ["Session", "add_node", "hold", "occupied", "read_session", "start_detached", "stop"]

START_SECONDS = 1800.0
STOP_SECONDS = 120.0
NODE_SECONDS = 300.0
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Session:
    """Where a running lab is found."""

    pid: int
    started: str
    """When its process started, as `start_of` says: numbers of processes are used again."""
    kubeconfig: str
    prometheus: str
    folder: str

    @property
    def alive(self) -> bool:
        """Say whether its process runs, whoever owns it."""
        return start_of(self.pid) == self.started


def start_of(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; empty when it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = stat.rpartition(")")[2].split()  # From the third on: a name may hold anything.
    return "" if fields[0] == "Z" else fields[19]


@contextmanager
def occupied(run_dir: Path) -> Iterator[None]:
    """Keep a checkout's run folder to this process; raise LabError when another has it.

    Whoever starts a lab there empties what an earlier one left. The lock goes with its process.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabError(
                f"a lab of this checkout is running already (it holds {run_dir}); stop it with "
                "`schedcp-lab down`, or wait for the demo to end"
            ) from error
        yield


def session_file(run_dir: Path) -> Path:
    """Return where the session of a checkout's lab is written."""
    return run_dir / "session.json"


def read_session(run_dir: Path) -> Session:
    """Return the running lab; raise LabError when there is none."""
    path = session_file(run_dir)
    if path.exists():
        try:
            session = Session(**json.loads(path.read_text()))
        except (TypeError, ValueError) as error:
            raise LabError(
                f"{path} is of another version of the lab: {error}; remove it"
            ) from error
        if session.alive:
            return session
        path.unlink()
    raise LabError("no lab is up; start one with `schedcp-lab up`")


def hold(
    workshop: Workshop, run_dir: Path, *, nodes: int, report: Callable[[str], None] = print
) -> None:
    """Start a lab with the product and hold it until SIGTERM or SIGINT; then stop everything."""
    wanted = True

    def let_go(_number: int, _frame: FrameType | None) -> None:
        nonlocal wanted
        wanted = False

    session_file(run_dir).unlink(missing_ok=True)
    with Cluster.start(workshop, run_dir / "lab", nodes=nodes, report=report) as cluster:
        product = Product.install(cluster, report=report)
        requests = cluster.folder / "requests"
        requests.mkdir()
        session = Session(
            pid=os.getpid(),
            started=start_of(os.getpid()),
            kubeconfig=str(cluster.plane.kubeconfig),
            prometheus=cluster.prometheus.url,
            folder=str(cluster.folder),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, let_go)
        fresh = session_file(run_dir).with_suffix(".new")
        fresh.write_text(json.dumps(asdict(session), indent=1))
        fresh.replace(session_file(run_dir))
        report(
            f"lab: up; export KUBECONFIG='{session.kubeconfig}'; Prometheus {session.prometheus}"
        )
        while wanted:
            for name in (*cluster.revive(), *product.revive()):
                report(f"lab: {name} had ended, and was started again")
            _answer(cluster, requests)
            time.sleep(POLL_SECONDS)
        report("lab: stopping")
    session_file(run_dir).unlink(missing_ok=True)


def _answer(cluster: Cluster, requests: Path) -> None:
    """Do what was asked for; each request is answered once, be it with why it failed."""
    for request in sorted(requests.glob("*.request")):
        request.unlink()
        try:
            name = cluster.add_node().settings.name
            cluster.wait_nodes_ready()
            answer = {"node": name, "error": ""}
        except LabError as error:
            answer = {"node": "", "error": str(error)}
        fresh = request.with_suffix(".new")
        fresh.write_text(json.dumps(answer))
        fresh.replace(request.with_suffix(".answer"))


def start_detached(run_dir: Path, *, nodes: int, kernel: str = "") -> Session:
    """Start a lab in a process of its own; return when it is up. It ends when that fails."""
    with occupied(run_dir):
        session_file(run_dir).unlink(missing_ok=True)
    log = run_dir / "lab.log"
    command = [sys.executable, "-m", "schedcp_lab", "up", f"--nodes={nodes}"]
    command += [f"--kernel={kernel}"] if kernel else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,
        )

    def is_up() -> bool:
        if process.poll() is not None:
            raise LabError(f"the lab ended with status {process.returncode}:\n{tail(log)}")
        # Another `up` may have been faster; ours then ends, and says that it was refused.
        return session_file(run_dir).exists() and read_session(run_dir).pid == process.pid

    try:
        wait_until(
            is_up,
            what="the lab is up",
            timeout_seconds=START_SECONDS,
            interval_seconds=POLL_SECONDS,
            hint=lambda: tail(log),
        )
        return read_session(run_dir)
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have a lab stop everything; kill it, and with it all that it started, when it does not."""
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def stop(run_dir: Path) -> None:
    """Stop the running lab; return when its process is gone."""
    session = read_session(run_dir)
    try:
        os.kill(session.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise LabError(f"the lab belongs to another user: {error}; stop it as that user") from error
    wait_until(
        lambda: not session.alive,
        what="the lab has stopped",
        timeout_seconds=STOP_SECONDS,
        interval_seconds=POLL_SECONDS,
    )


def add_node(run_dir: Path) -> str:
    """Have the running lab start one more node; return its name when it is Ready."""
    session = read_session(run_dir)
    requests = Path(session.folder) / "requests"
    request = requests / f"{uuid.uuid4().hex}.request"
    request.write_text("node\n")
    answer = request.with_suffix(".answer")

    def answered() -> bool:
        if not session.alive:
            raise LabError("the lab has ended meanwhile")
        return answer.exists()

    wait_until(
        answered,
        what="the new node is Ready",
        timeout_seconds=NODE_SECONDS,
        interval_seconds=POLL_SECONDS,
    )
    said = json.loads(answer.read_text())
    answer.unlink()
    if said["error"]:
        raise LabError(f"no node was added: {said['error']}")
    return str(said["node"])
