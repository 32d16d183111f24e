"""The command line: `schedcp-operator run | plan | search | repository | version`."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from schedcp_api.manifests import Catalogue
from schedcp_api.policies import SchedulerPolicySpec, WorkloadSelector
from schedcp_api.profiles import WorkloadProfile
from schedcp_api.selectors import LabelSelector

from . import __version__
from .app import open_store, run_operator
from .errors import OperatorError
from .events import PlanningFailed
from .library import Library, load_manifest, load_manifests
from .planner import make_plans
from .repository import found, imported_manifest, shown
from .settings import Settings, load_settings

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
repository = typer.Typer(no_args_is_help=True, help="The schedulers that plans may name.")
app.add_typer(repository, name="repository")
_USAGE = 64
_Model = TypeVar("_Model", bound=BaseModel)


@app.callback()
def _about() -> None:
    """The operator of SchedCP for Kubernetes."""


@app.command()
def run() -> None:
    """Run the operator until SIGTERM; settings come from SCHEDCP_OPERATOR_* variables."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("httpx", "kopf", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    asyncio.run(run_operator(load_settings()))


@app.command()
def plan(
    profile: Annotated[Path, typer.Argument(help="A WorkloadProfile as JSON.")],
    policy: Annotated[
        Path | None, typer.Option(help="A SchedulerPolicySpec as JSON; default: any workload.")
    ] = None,
    programs: Annotated[
        Path | None, typer.Option(help="catalogue.json of the programs that nodes have.")
    ] = None,
    kernel: Annotated[
        str, typer.Option(help="The nodes' kernel release; default: nothing is known of it.")
    ] = "",
) -> None:
    """Print the description of a profile and the plans for it, best first, as JSON lines."""
    observed = _parsed(WorkloadProfile, profile)
    spec = (
        _parsed(SchedulerPolicySpec, policy)
        if policy is not None
        else SchedulerPolicySpec(workload=WorkloadSelector(pod_selector=LabelSelector()))
    )

    there = _parsed(Catalogue, programs).programs if programs is not None else ()

    async def work(settings: Settings) -> None:
        async with open_store(settings) as store:
            library = Library({**await store.sources(), **load_manifests(settings.manifests_dir)})
            made = make_plans(
                observed,
                spec,
                library=library,
                lessons=await store.lessons(),
                kernel_digest=observed.kernel_digest,
                kernel_release=kernel,
                programs={"the nodes": there},
            )
        if isinstance(made, PlanningFailed):
            raise OperatorError(f"{made.reason}: {made.message}")
        typer.echo(made.description.model_dump_json(by_alias=True, exclude_none=True))
        for proposal in made.proposals:
            typer.echo(proposal.plan.model_dump_json(by_alias=True, exclude_none=True))

    asyncio.run(work(load_settings()))


@app.command()
def search(text: Annotated[str, typer.Argument(help="Words to look for.")]) -> None:
    """Search manifests, imported sources and lessons for words; the best matches first."""

    async def work(settings: Settings) -> None:
        async with open_store(settings) as store:
            entries = {**await store.sources(), **load_manifests(settings.manifests_dir)}
            lines = found(text, entries, await store.lessons())
        for line in lines or ["nothing found"]:
            typer.echo(line)

    asyncio.run(work(load_settings()))


@repository.command("list")
def list_() -> None:
    """List every scheduler: name, where it is from, what it is."""

    async def work(settings: Settings) -> None:
        async with open_store(settings) as store:
            entries = {**await store.sources(), **load_manifests(settings.manifests_dir)}
        for name, entry in sorted(entries.items()):
            origin = "imported" if entry.source_digest else "library"
            typer.echo(f"{name:<24} {origin:<9} {entry.manifest.summary.splitlines()[0]}")

    asyncio.run(work(load_settings()))


@repository.command()
def show(name: Annotated[str, typer.Argument(help="A scheduler's name.")]) -> None:
    """Show a scheduler's manifest, and the lessons about it."""

    async def work(settings: Settings) -> None:
        async with open_store(settings) as store:
            entries = {**await store.sources(), **load_manifests(settings.manifests_dir)}
            entry = entries.get(name)
            if entry is None:
                known = ", ".join(sorted(entries))
                raise OperatorError(f"there is no scheduler {name!r}; there are: {known}")
            lines = shown(entry, await store.lessons())
        for line in lines:
            typer.echo(line)

    asyncio.run(work(load_settings()))


@repository.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="One C file that includes vmlinux.h.")],
    manifest: Annotated[
        Path | None, typer.Option(help="Its manifest (YAML or JSON); default: made from the file.")
    ] = None,
) -> None:
    """Keep a C source under its name, so that a policy can pin it; the verifier judges it."""
    try:
        text = source.read_text()
        described = (
            imported_manifest(source.name, text) if manifest is None else load_manifest(manifest)
        )
    except (OSError, UnicodeDecodeError, ValueError) as err:
        raise typer.BadParameter(f"{source}: {err}") from err
    if described.program is not None:
        raise typer.BadParameter(f"{manifest} is the manifest of a program, not of a source")

    async def work(settings: Settings) -> None:
        if described.name in load_manifests(settings.manifests_dir):
            raise OperatorError(f"{described.name} is a scheduler of the library: rename the file")
        async with open_store(settings) as store:
            digest = await store.add_source(described, text)
        typer.echo(f"{described.name} {digest}")

    asyncio.run(work(load_settings()))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _parsed(model: type[_Model], path: Path) -> _Model:
    try:
        return model.model_validate_json(path.read_text())
    except (OSError, UnicodeDecodeError, ValidationError) as err:
        raise typer.BadParameter(f"{path}: {err}") from err


def main() -> None:
    """Run the command line; 64 for bad usage, 1 for a failure with one line that says why."""
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as err:
        typer.echo(f"usage error: {err.format_message()}", err=True)
        sys.exit(_USAGE)
    except OperatorError as err:
        typer.echo(f"error: {err}", err=True)
        sys.exit(1)
    except BaseExceptionGroup as group:
        ours, rest = group.split(OperatorError)
        if ours is None or rest is not None:
            raise
        typer.echo(f"error: {_leaf(ours)}", err=True)
        sys.exit(1)
    sys.exit(code or 0)


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    main()
