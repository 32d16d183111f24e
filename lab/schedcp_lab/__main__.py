"""`schedcp-lab`: the command line of the lab."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from schedcp_lab.errors import LabError
from schedcp_lab.kube_binaries import ensure_helm
from schedcp_lab.workshop import cache_of, prepare, prepare_only, repository_root

__all__ = ["app", "main"]

EXIT_FAILED = 1
EXIT_BROKEN = 2
EXIT_USAGE = 64

USAGE_ERROR: type[typer.BadParameter] = typer.BadParameter.__mro__[1]
"""Every wrong use of a command line; typer exports only this subclass of it."""

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


def main() -> None:
    """Run the command line: 0 done, 1 not as it should be, 2 broken, 64 wrong usage."""
    try:
        status = app(standalone_mode=False)
    except USAGE_ERROR as error:
        error.show()
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
