"""The command line of `schedcp-verifier`.

Exit codes: 0 accepted, 1 rejected, 2 could not tell (infrastructure), 64 wrong usage.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.exceptions import TyperException

from schedcp_api.base import canonical_json, digest_of
from schedcp_api.candidates import Argument, Candidate, PlanKind
from schedcp_api.compositions import Composition
from schedcp_api.profiles import WorkloadProfile
from schedcp_api.verdicts import (
    Check,
    ContractLoss,
    EvaluationContract,
    ReplayMode,
    Verdict,
    VerificationRequest,
)

from .composing import COMPOSITION_BYTES_MAX, compose, composition_of
from .errors import UsageError, VerifierError
from .kernels import KernelBundle, KernelShelf
from .rendering import Console, show_checks, show_replay, show_verdict
from .server import serve_on_socket
from .settings import Settings
from .signer import Signer
from .verifying import Verified, Verifier

__all__ = ["WAIVED_WITHOUT_POLICY", "main", "run_command"]

ACCEPTED, REJECTED, UNDECIDED, USAGE = 0, 1, 2, 64
WAIVED_WITHOUT_POLICY = tuple(loss for loss in ContractLoss if loss is not ContractLoss.CPUSET)
"""Without a policy nobody says which limits the pods ask for: losses are shown, not refused."""

_TARGET_HELP = "SOURCE.bpf.c, a composition SPEC.yaml, or a scheduler of the library."
_COMPOSITIONS = (".yaml", ".yml", ".json")

app = typer.Typer(add_completion=False, no_args_is_help=False, rich_markup_mode=None)

KernelOption = Annotated[
    Path | None, typer.Option("--kernel", help="A kernel bundle; default: the newest there is.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and no more.")]
KnobArguments = Annotated[
    list[str] | None, typer.Argument(help="Knobs, as -- NAME=VALUE ...", show_default=False)
]


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors are said on standard error."""
    try:
        return int(app(arguments, prog_name="schedcp-verifier", standalone_mode=False) or 0)
    except TyperException as error:
        sys.stderr.write(f"schedcp-verifier: {error}; try --help\n")
        return USAGE
    except (UsageError, ValidationError) as error:
        sys.stderr.write(f"schedcp-verifier: {error}\n")
        return USAGE
    except VerifierError as error:
        sys.stderr.write(f"schedcp-verifier: {error}\n")
        return UNDECIDED
    except Exception as error:  # noqa: BLE001 -- whatever broke is no rejection, which is 1
        sys.stderr.write(f"schedcp-verifier: the verifier failed: {error!r}\n")
        return UNDECIDED


@app.command()
def verify(
    target: Annotated[str, typer.Argument(help=_TARGET_HELP)],
    knobs: KnobArguments = None,
    kernel: KernelOption = None,
    profile: Annotated[Path | None, typer.Option(help="A WorkloadProfile as JSON.")] = None,
    json: JsonOption = False,
    output: Annotated[Path | None, typer.Option(help="Put verdict and object there.")] = None,
    keep: Annotated[
        list[ContractLoss] | None,
        typer.Option(help="Refuse a candidate that loses this part of the CPU contract."),
    ] = None,
    advisory: Annotated[
        bool, typer.Option("--advisory", help="Report a replay without a gain, do not refuse it.")
    ] = False,
) -> int:
    """Build a scheduler, prove it in a micro-VM, and print the verdict."""
    verifier = Verifier.from_settings(Settings())
    bundle = _kernel(kernel)
    seen = _profile(profile)
    contract = EvaluationContract(
        replay=ReplayMode.ADVISORY if seen is None or advisory else ReplayMode.REQUIRED,
        waived_losses=tuple(loss for loss in WAIVED_WITHOUT_POLICY if loss not in (keep or [])),
    )
    request = _request(target, knobs or [], bundle, contract=contract, profile=seen)
    console = Console(stderr=json)
    verified = verifier.verify(
        request, bundle, lambda stage: console.print(f"{stage} ...", style="dim")
    )
    if output is not None:
        _write(output, verified)
    if json:
        sys.stdout.write(verified.verdict.model_dump_json(by_alias=True, exclude_none=True) + "\n")
    else:
        show_verdict(console, verified.verdict)
    return _exit_code(verified.verdict)


@app.command()
def analyze(
    source: Annotated[str, typer.Argument(help=_TARGET_HELP)],
    kernel: KernelOption = None,
    json: JsonOption = False,
) -> int:
    """Run the static stages only: Source, Build, Bytecode. This accepts nothing."""
    verifier = Verifier.from_settings(Settings())
    bundle = _kernel(kernel)
    request = _request(source, [], bundle, contract=EvaluationContract(), profile=None)
    analysed = verifier.analyse(verifier.subject(request), request, bundle)
    if json:
        typer.echo(_analysis_json(analysed.checks, analysed.object))
    else:
        show_checks(Console(), analysed.checks)
    return REJECTED if analysed.failed else ACCEPTED


@app.command("compose")
def compose_command(
    spec: Annotated[Path, typer.Argument(help="A composition as YAML or JSON.")],
) -> int:
    """Print the C source of the scheduler that a composition describes; judge nothing."""
    typer.echo(compose(_composition(spec)), nl=False)
    return 0


@app.command()
def replay(
    profile: Annotated[Path, typer.Argument(help="A WorkloadProfile as JSON.")],
    knobs: KnobArguments = None,
    scheduler: Annotated[str, typer.Option(help=_TARGET_HELP)] = "simple_fifo",
    kernel: KernelOption = None,
    seeds: Annotated[int, typer.Option(min=1, max=16)] = 2,
    json: JsonOption = False,
) -> int:
    """Replay a profile under the default scheduler and another one; judge nothing else."""
    verifier = Verifier.from_settings(Settings())
    bundle = _kernel(kernel)
    contract = EvaluationContract(replay=ReplayMode.ADVISORY, seeds=seeds)
    request = _request(scheduler, knobs or [], bundle, contract=contract, profile=_profile(profile))
    analysed = verifier.analyse(verifier.subject(request), request, bundle)
    if analysed.object is None or analysed.facts is None or analysed.failed:
        show_checks(Console(stderr=True), analysed.checks)
        return REJECTED
    found = verifier.replay(
        request, bundle, object_=analysed.object, ops_name=analysed.facts.ops_name
    )
    if found.replay is None:
        show_checks(Console(stderr=True), found.checks)
        return UNDECIDED if any(c.phase == "Error" for c in found.checks) else REJECTED
    if json:
        typer.echo(found.replay.model_dump_json(by_alias=True))
    else:
        show_replay(Console(), found.replay)
    return ACCEPTED


@app.command()
def serve(
    socket: Annotated[Path, typer.Option(help="The unix socket to listen on.")],
    kernels: Annotated[Path | None, typer.Option(help="A folder of kernel bundles.")] = None,
) -> int:
    """Answer the operator's requests on a unix socket, until a signal."""
    settings = Settings() if kernels is None else Settings(kernels_dir=kernels)
    serve_on_socket(settings, socket)
    return 0


@app.command()
def keygen() -> int:
    """Make the signing key if there is none, and print its public half as PEM."""
    typer.echo(Signer.open(Settings().state_dir).public_pem(), nl=False)
    return 0


@app.command()
def version() -> int:
    """Print the version."""
    typer.echo(installed_version("schedcp"))
    return 0


def _kernel(folder: Path | None) -> KernelBundle:
    if folder is not None:
        return KernelBundle.open(folder)
    return KernelShelf(Settings().kernels_dir).newest()


def _profile(path: Path | None) -> WorkloadProfile | None:
    if path is None:
        return None
    try:
        return WorkloadProfile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"{path} is no workload profile: {error}") from error


def _request(
    target: str,
    knobs: list[str],
    kernel: KernelBundle,
    *,
    contract: EvaluationContract,
    profile: WorkloadProfile | None,
) -> VerificationRequest:
    arguments = tuple(sorted(map(_argument, knobs), key=lambda argument: argument.name))
    candidate, source = _candidate(target)
    return VerificationRequest(
        candidate=candidate.replace(arguments=arguments),
        source=source,
        kernel_digest=kernel.profile.content_digest(),
        profile=profile,
        contract=contract,
    )


def _candidate(target: str) -> tuple[Candidate, str | None]:
    """Return what a target names: a composition, a source file, or a scheduler of the library."""
    if target.endswith(_COMPOSITIONS):
        composition = _composition(Path(target))
        source = compose(composition)
        return Candidate(
            kind=PlanKind.COMPOSE,
            scheduler=composition.name,
            source_digest=digest_of(source.encode()),
            composition_digest=composition.content_digest(),
        ), source
    if not target.endswith(".c") and "/" not in target:
        return Candidate(kind=PlanKind.CONFIGURE, scheduler=target), None
    try:
        source = Path(target).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {target}: {error}") from error
    return Candidate(
        kind=PlanKind.GENERATE,
        scheduler=_scheduler_name(Path(target)),
        source_digest=digest_of(source.encode()),
    ), source


def _composition(path: Path) -> Composition:
    try:
        with path.open("rb") as file:
            data = file.read(COMPOSITION_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    return composition_of(data)


def _scheduler_name(path: Path) -> str:
    stem = path.name.removesuffix(".c").removesuffix(".bpf").lower()
    name = re.sub(r"[^a-z0-9_]", "_", stem)[:63]
    return name if name[:1].isalpha() else f"s_{name}"[:63]


def _argument(text: str) -> Argument:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not NAME=VALUE")
    try:
        return Argument(name=name, value=value)
    except ValidationError as error:
        raise UsageError(f"{text!r}: a knob is NAME=NUMBER, NAME=true or NAME=false") from error


def _analysis_json(checks: tuple[Check, ...], object_: bytes | None) -> str:
    found: dict[str, Any] = {"checks": [check.to_json() for check in checks]}
    if object_ is not None:
        found["digest"] = digest_of(object_)
    return canonical_json(found).decode()


def _write(folder: Path, verified: Verified) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error}") from error
    verdict = verified.verdict.model_dump_json(by_alias=True, exclude_none=True, indent=2)
    (folder / "verdict.json").write_text(verdict + "\n")
    if verified.object is not None:
        (folder / f"{verified.verdict.scheduler}.bpf.o").write_bytes(verified.object)


def _exit_code(verdict: Verdict) -> int:
    if verdict.accepted:
        return ACCEPTED
    return UNDECIDED if verdict.undecided else REJECTED


if __name__ == "__main__":
    main()
