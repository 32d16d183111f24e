"""`schedcp-lab`: the command line of the lab."""

from __future__ import annotations

import datetime
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer.exceptions import TyperException

from schedcp_lab.cluster import Cluster
from schedcp_lab.demo import Demo
from schedcp_lab.errors import LabError
from schedcp_lab.kube_binaries import ensure_helm
from schedcp_lab.product import Product
from schedcp_lab.report import html_report, text_report
from schedcp_lab.views import Api
from schedcp_lab.watching import watcher_for
from schedcp_lab.workshop import cache_of, prepare, prepare_only, repository_root

__all__ = ["app", "main"]

EXIT_FAILED = 1
EXIT_BROKEN = 2
EXIT_USAGE = 64

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def setup(
    only: Annotated[
        str, typer.Option(help="Comma-separated steps: tools, helm, schedulers. Default: all.")
    ] = "",
    kernel: Annotated[str, typer.Option(help="A kernel release, such as 6.18.15.")] = "",
) -> None:
    """Make or find everything that a lab needs; what is there already costs a look."""
    if only:
        prepare_only([step.strip() for step in only.split(",")])
    else:
        prepare(kernel_release=kernel or None)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def helm(context: typer.Context) -> None:
    """Run the helm that the lab uses."""
    program = ensure_helm(cache_of(repository_root()))
    os.execv(program, [str(program), *context.args])  # noqa: S606


@app.command()
def demo(
    nodes: Annotated[int, typer.Option(min=2, max=8, help="How many nodes.")] = 2,
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path(
        ".cache/run/demo.html"
    ),
) -> int:
    """Run the main job end to end on a cluster of micro-VMs, and report; 0 when all held."""
    console = Console()
    workshop = prepare()
    started_at = datetime.datetime.now(datetime.UTC)
    with ExitStack() as stack:
        cluster = stack.enter_context(
            Cluster.start(workshop, workshop.cache.directory("run") / "demo", nodes=nodes)
        )
        product = Product.install(cluster)
        api = Api(cluster.plane.kubeconfig)
        stack.callback(api.close)
        screen, watcher = watcher_for(console)
        stack.enter_context(screen)
        record = Demo(cluster, product, api, watcher).play(started_at)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(html_report(record), encoding="utf-8")
    console.print(text_report(record))
    console.print(f"report: {report}")
    return 0 if record.passed else EXIT_FAILED


def main() -> None:
    """Run the command line: 0 done, 1 not as it should be, 2 broken, 64 wrong usage."""
    try:
        status = app(standalone_mode=False)
    except TyperException as error:
        Console(stderr=True).print(f"error: {error.format_message()}; try --help", markup=False)
        sys.exit(EXIT_USAGE)
    except LabError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False)
        sys.exit(EXIT_BROKEN)
    except (typer.Abort, KeyboardInterrupt):
        Console(stderr=True).print("stopped", style="red")
        sys.exit(EXIT_BROKEN)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
