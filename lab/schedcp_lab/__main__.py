"""`schedcp-lab`: the command line of the lab."""

from __future__ import annotations

import datetime
import os
import signal
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer.exceptions import TyperException

from schedcp_lab.bench import bench
from schedcp_lab.cluster import Cluster
from schedcp_lab.demo import Demo
from schedcp_lab.errors import LabError
from schedcp_lab.kube_binaries import ensure_helm, ensure_kube_binaries
from schedcp_lab.processes import environment, run
from schedcp_lab.product import Product
from schedcp_lab.report import html_report, text_report
from schedcp_lab.session import add_node, hold, occupied, read_session, start_detached, stop
from schedcp_lab.tree import picture
from schedcp_lab.views import Api
from schedcp_lab.watching import watcher_for
from schedcp_lab.witness import Witness
from schedcp_lab.workshop import STEPS, cache_of, prepare, prepare_only, repository_root
from schedcp_verifier.errors import VerifierError

__all__ = ["app", "main"]

EXIT_FAILED = 1
EXIT_BROKEN = 2
EXIT_USAGE = 64
KUBECTL_TIMEOUT_SECONDS = 60.0

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


node = typer.Typer(no_args_is_help=True, help="The running lab's nodes.")
app.add_typer(node, name="node")
app.add_typer(bench, name="bench")


KernelOption = Annotated[str, typer.Option("--kernel", help="A kernel release, such as 6.18.15.")]


def _run_dir() -> Path:
    return cache_of(repository_root()).directory("run")


@app.command()
def setup(
    only: Annotated[
        str, typer.Option(help=f"Comma-separated steps: {', '.join(STEPS)}. Default: all.")
    ] = "",
    kernel: KernelOption = "",
) -> None:
    """Make or find everything that a lab needs; what is there already costs a look."""
    if only:
        prepare_only([step.strip() for step in only.split(",")], kernel_release=kernel or None)
    else:
        prepare(kernel_release=kernel or None)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def helm(context: typer.Context) -> None:
    """Run the helm that the lab uses."""
    program = ensure_helm(cache_of(repository_root()))
    os.execv(program, [str(program), *context.args])  # noqa: S606


@app.command()
def up(
    nodes: Annotated[int, typer.Option(min=1, max=8, help="How many nodes.")] = 2,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is up.")] = False,
    kernel: KernelOption = "",
) -> None:
    """Start a cluster with the product and hold it until it is stopped."""
    if detach:
        session = start_detached(_run_dir(), nodes=nodes, kernel=kernel)
        typer.echo(f"export KUBECONFIG='{session.kubeconfig}'")
        return
    with occupied(_run_dir()):
        hold(prepare(kernel_release=kernel or None), _run_dir(), nodes=nodes)


@app.command()
def down() -> None:
    """Stop the running lab."""
    stop(_run_dir())


@app.command()
def status() -> None:
    """Show the running lab: its runs, its nodes, and how to reach it."""
    session = read_session(_run_dir())
    with closing(Api(Path(session.kubeconfig))) as api:
        now = datetime.datetime.now(datetime.UTC)
        Console().print(picture("SchedCP", api.runs(), api.nodes(), now=now))
    typer.echo(f"export KUBECONFIG='{session.kubeconfig}'; Prometheus {session.prometheus}")


@node.command("add")
def node_add() -> None:
    """Start one more node in the running lab."""
    typer.echo(add_node(_run_dir()))


@app.command()
def workload() -> None:
    """Put the demo's workload on the running lab: a service beside batch work."""
    root = repository_root()
    kubectl = ensure_kube_binaries(cache_of(root)).kubectl
    shop = root / "lab" / "workloads" / "shop.yaml"
    command: list[str | Path] = [kubectl, "apply", "-f", shop]
    env = environment({"KUBECONFIG": read_session(_run_dir()).kubeconfig})
    typer.echo(run(command, timeout_seconds=KUBECTL_TIMEOUT_SECONDS, env=env).stdout, nl=False)


@app.command()
def demo(
    nodes: Annotated[int, typer.Option(min=2, max=8, help="How many nodes.")] = 2,
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path(
        ".cache/run/demo.html"
    ),
    kernel: KernelOption = "",
) -> int:
    """Run the main job end to end on a cluster of micro-VMs, and report; 0 when all held."""
    console = Console()
    report.unlink(missing_ok=True)
    with ExitStack() as stack:
        stack.enter_context(occupied(_run_dir()))
        workshop = prepare(kernel_release=kernel or None)
        started_at = datetime.datetime.now(datetime.UTC)
        cluster = stack.enter_context(
            Cluster.start(workshop, workshop.cache.directory("run") / "demo", nodes=nodes)
        )
        product = Product.install(cluster)
        api = Api(cluster.plane.kubeconfig)
        stack.callback(api.close)
        screen, watcher = watcher_for(console)
        stack.enter_context(screen)
        witness = Witness(cluster)
        witness.install()
        demo = Demo(cluster, product, api, witness=witness, watcher=watcher)
        record = demo.play(started_at)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(html_report(record), encoding="utf-8")
    console.print(text_report(record))
    console.print(f"report: {report}")
    return 0 if record.passed else EXIT_FAILED


def main() -> None:
    """Run the command line: 0 done, 1 not as it should be, 2 broken, 64 wrong usage."""
    # So that everything that was started is stopped also when a job runner ends this program.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = app(standalone_mode=False)
    except TyperException as error:
        Console(stderr=True).print(f"error: {error.format_message()}; try --help", markup=False)
        sys.exit(EXIT_USAGE)
    except (LabError, VerifierError) as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False)
        sys.exit(EXIT_BROKEN)
    except (typer.Abort, KeyboardInterrupt):
        Console(stderr=True).print("stopped", style="red")
        sys.exit(EXIT_BROKEN)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
