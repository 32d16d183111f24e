"""What the tests on a whole cluster act on, and how they hurt it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path

from schedcp_lab import witness as witnesses
from schedcp_lab.cluster import Cluster
from schedcp_lab.demo import Demo
from schedcp_lab.errors import CommandFailed, KernelBroken, NotReady, Unreachable
from schedcp_lab.processes import wait_until
from schedcp_lab.product import Product
from schedcp_lab.report import Act
from schedcp_lab.views import Api, NodeView, RunView

from . import killer

POLL_SECONDS = 0.5
KILL_SECONDS = 90.0
GONE_SECONDS = 300.0
ANY_TIME = (0.0, 1e9)
LOOKS = 300
"""How far back a witness is asked; it looks once a second."""
CHANGING = frozenset({"enabling", "enabled", "disabling"})
"""What a kernel says for a moment when a scheduler comes or goes: its state, and no name."""


def assert_held(act: Act) -> None:
    """Every finding of an act must hold."""
    assert act.findings
    assert not [f"{f.text}: {f.seen}" for f in act.findings if not f.held]


class Witness(witnesses.Witness):
    """A witness that can also kill, and tell what it saw while nobody could ask."""

    def said(self, node: str) -> dict[int, str]:
        """What the node's kernel said, by the number of the look; one a second, and in order."""
        pod = self._pod(node)
        logs = ("-n", witnesses.NAMESPACE, "logs", f"--tail={LOOKS}", pod)
        lines = self.cluster.plane.kubectl(*logs).stdout.splitlines()
        words = (line.partition(" ") for line in lines)
        return {int(number): found for number, _, found in words if number.isdigit() and found}

    def kill(self, node: str, program: str, *, after: tuple[float, float] = ANY_TIME) -> int:
        """Kill a program of the node, without warning; return the scheduler's `enable_seq`.

        That is done when a scheduler has been enabled there for so many seconds as `after` says.
        Raise CommandFailed when it never could be within KILL_SECONDS.
        """
        limits = [str(seconds) for seconds in (*after, KILL_SECONDS)]
        source = Path(killer.__file__).read_text()
        return int(self.run(node, "python3", "-c", source, program, *limits))


class Watcher:
    """Prints the demo's news, which pytest shows when a test fails."""

    def say(self, text: str) -> None:
        """Print the news."""
        print(text)

    def show(self, runs: list[RunView], nodes: list[NodeView]) -> None:
        """Do nothing: a test looks for itself."""


@dataclass(frozen=True)
class Lab:
    """What the tests act on."""

    cluster: Cluster
    product: Product
    api: Api
    witness: Witness

    def demo(self) -> Demo:
        """The demo's acts."""
        return Demo(self.cluster, self.product, self.api, witness=self.witness, watcher=Watcher())

    def wait(
        self, condition: Callable[[], bool], what: str, *, seconds: float, revive: bool = True
    ) -> None:
        """Wait for a condition; what ended is started again, no answer is "not yet"."""

        def holds() -> bool:
            if self._holds(condition):
                return True
            if revive:
                self.cluster.revive()
                self.product.revive()
            self.cluster.faults.check()
            return False

        wait_until(
            holds,
            what=what,
            timeout_seconds=seconds,
            interval_seconds=POLL_SECONDS,
            hint=self.story,
        )

    def _holds(self, condition: Callable[[], bool]) -> bool:
        try:
            return condition()
        except (CommandFailed, NotReady, Unreachable):
            return False

    def story(self) -> str:
        """What the runs and the nodes say of themselves."""
        runs = [f"{run.name}: {run.status.stage} {run.status.message}" for run in self.api.runs()]
        nodes = [
            f"{node.name}: {node.status.sched_ext_state} {node.ops_name} "
            f"{[(a.state, a.reason, a.message) for a in node.status.assignments]}"
            for node in self.api.nodes()
        ]
        return "\n".join((*runs, *nodes))

    def delete_policy(self, name: str) -> None:
        """Delete a policy if it is there; return when it is gone."""
        self.cluster.plane.kubectl(
            "delete", "schedulerpolicy", name, "--ignore-not-found", "--wait=false"
        )
        self.wait(
            lambda: all(policy.name != name for policy in self.api.policies()),
            f"policy {name} is gone",
            seconds=GONE_SECONDS,
        )

    def clear(self) -> None:
        """Delete all policies; return when their runs are gone and every node is restored."""
        for policy in self.api.policies():
            self.delete_policy(policy.name)
        self.wait(lambda: not self.api.runs(), "no run is left", seconds=GONE_SECONDS)
        self.wait_default(seconds=GONE_SECONDS)

    def roll_out(self) -> None:
        """Roll the shop out, as a release would."""
        revision = f"REVISION={time.time_ns()}"
        self.cluster.plane.kubectl("-n", "shop", "set", "env", "deployment/checkout", revision)

    @contextmanager
    def policy(self, manifest: Path) -> Iterator[str]:
        """Apply a policy, named as its file; delete it at the end, however that comes about."""
        kubectl = self.cluster.plane.kubectl
        kubectl("apply", "-f", manifest)
        try:
            yield manifest.stem
        except BaseException:
            # Whoever waits could raise something else, and hide what went wrong.
            kubectl("delete", "-f", manifest, "--ignore-not-found", "--wait=false")
            raise
        self.delete_policy(manifest.stem)

    def run_of(self, policy: str) -> RunView:
        """The policy's run; there must be one."""
        (run,) = self.api.runs(policy)
        return run

    def node(self, name: str) -> NodeView:
        """What a node's agent says."""
        return next(node for node in self.api.nodes() if node.name == name)

    def assert_promoted(self, ops_name: str) -> None:
        """Every node runs it, by its kernel and by its agent, under a lease that holds."""
        for name in self.cluster.nodes:
            assert self.witness.sched_ext(name) == ops_name
            assert self.node(name).holds(ops_name), self.story()

    def wait_default(self, *names: str, seconds: float = 180.0) -> None:
        """Wait until the kernels of the nodes, asked directly, and their agents say default."""
        for name in names or tuple(self.cluster.nodes):
            self.wait(partial(self._is_default, name), f"{name} is restored", seconds=seconds)

    def _is_default(self, name: str) -> bool:
        return self.witness.sched_ext(name) == witnesses.DEFAULT and self.node(name).on_default


def begun_again(test: Callable[..., None]) -> Callable[..., None]:
    """Have a test of a lab begun again, once, when the emulator broke a node's kernel.

    Such a test makes sure itself of what it starts from. One that waits for something raises then.
    """

    @wraps(test)
    def course(**fixtures: object) -> None:
        lab = fixtures["lab"]
        assert isinstance(lab, Lab)
        run = partial(test, **fixtures)

        def once_more(broken: KernelBroken) -> None:
            print(f"{broken}; the test is begun again")
            lab.product.recover(broken)
            run()

        lab.cluster.faults.course(run, once_more)

    return course
