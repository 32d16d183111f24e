"""The command line of `schedcp-verifier`.

Exit codes: 0 accepted, 1 rejected, 2 could not tell (infrastructure), 64 wrong usage.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.exceptions import TyperException

from schedcp_api.base import canonical_json, digest_of
from schedcp_api.services import REPLY_MARK
from schedcp_api.tokens import TokenClaims
from schedcp_api.verdicts import (
    Check,
    ContractLoss,
    EvaluationContract,
    ReplayMode,
    Verdict,
    VerificationRequest,
)

from .command_keys import keygen, keys, revoke, tokens
from .composing import compose
from .errors import ToolMissing, UsageError, VerifierError
from .kernels import KernelBundle, KernelShelf
from .library import Library
from .remembering import verdict_store
from .rendering import Console, SourceText, plain, show_checks, show_replay, show_verdict
from .separating import answer, hand_over, read_handover, read_noun
from .server import serve_on_socket
from .settings import load_settings
from .sharing import WAIVED_WITHOUT_POLICY
from .signer import Signer
from .targets import (
    TARGET_HELP,
    composition_in,
    patched_of,
    profile_of,
    program_of,
    request_of,
)
from .verifying import Verified, Verifier

__all__ = ["main", "run_command"]

ACCEPTED, REJECTED, UNDECIDED, USAGE = 0, 1, 2, 64

app = typer.Typer(add_completion=False, no_args_is_help=False, rich_markup_mode=None)

KernelOption = Annotated[
    Path | None, typer.Option("--kernel", help="A kernel bundle; default: the newest there is.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and no more.")]
EveryOption = Annotated[bool, typer.Option("--all", help="Show what passed as well.")]
KnobArguments = Annotated[
    list[str] | None,
    typer.Argument(
        help="Knobs, as -- NAME=VALUE ..., or a program's command line.", show_default=False
    ),
]


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors are said on standard error."""
    try:
        return int(app(arguments, prog_name="schedcp-verifier", standalone_mode=False) or 0)
    except TyperException as error:
        _say(f"{error}; try --help")
        return USAGE
    except (UsageError, ValidationError) as error:
        _say(str(error))
        return USAGE
    except VerifierError as error:
        _say(str(error))
        return UNDECIDED
    except OSError as error:  # its repr would not name the file
        _say(f"the verifier failed: {error}")
        return UNDECIDED
    except Exception as error:  # noqa: BLE001 -- whatever broke is no rejection, which is 1
        _say(f"the verifier failed: {error!r}")
        return UNDECIDED


def _say(words: str) -> None:
    """Say an error; it may quote a guest's console, which is nobody's to steer a terminal with."""
    sys.stderr.write(f"schedcp-verifier: {plain(words)}\n")


@app.command()
def verify(
    target: Annotated[str, typer.Argument(help=TARGET_HELP)],
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
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Prove it, even if the answer is known.")
    ] = False,
    every: EveryOption = False,
) -> int:
    """Build a scheduler, prove it in a micro-VM, and print the verdict."""
    verifier = Verifier.from_settings(load_settings())
    program = program_of(target, verifier.library)
    verifier = verifier.having(program)
    bundle = _kernel(kernel)
    seen = profile_of(profile)
    contract = EvaluationContract(
        replay=ReplayMode.ADVISORY if seen is None or advisory else ReplayMode.REQUIRED,
        waived_losses=tuple(loss for loss in WAIVED_WITHOUT_POLICY if loss not in (keep or [])),
    )
    request = request_of(
        target,
        knobs or [],
        bundle,
        contract=contract,
        profile=seen,
        program=program,
        patched=patched_of(target, verifier.library),
    )
    console = Console(stderr=json)
    verified = _verified(verifier, request, bundle, console, use_known=not no_cache)
    if output is not None:
        _write(output, verified)
    if json:
        sys.stdout.write(verified.verdict.model_dump_json(by_alias=True, exclude_none=True) + "\n")
    else:
        show_verdict(console, verified.verdict, _shown(target, request), every=every)
    return _exit_code(verified.verdict)


@app.command()
def analyze(
    source: Annotated[str, typer.Argument(help=TARGET_HELP)],
    kernel: KernelOption = None,
    json: JsonOption = False,
    every: EveryOption = False,
) -> int:
    """Run the static stages only: Source, Build, Bytecode. This accepts nothing."""
    verifier = Verifier.from_settings(load_settings())
    _refuse_program(source, verifier.library, "to analyse")
    bundle = _kernel(kernel)
    request = request_of(
        source,
        [],
        bundle,
        contract=EvaluationContract(),
        profile=None,
        patched=patched_of(source, verifier.library),
    )
    analysed = verifier.analyse(verifier.subject(request), request, bundle)
    if json:
        typer.echo(_analysis_json(analysed.checks, analysed.object))
    else:
        show_checks(Console(), analysed.checks, _shown(source, request), every=every)
    return REJECTED if analysed.failed else ACCEPTED


@app.command("compose")
def compose_command(
    spec: Annotated[Path, typer.Argument(help="A composition as YAML or JSON.")],
) -> int:
    """Print the C source of the scheduler that a composition describes; judge nothing."""
    typer.echo(compose(composition_in(spec)), nl=False)
    return 0


@app.command("patch")
def patch_command(
    patch: Annotated[str, typer.Argument(help="A patch as YAML or JSON.")],
) -> int:
    """Print the C source that a patch makes of a scheduler of the library; judge nothing."""
    patched = patched_of(patch, Library(load_settings().schedulers_dir.resolve()))
    if patched is None:
        raise UsageError(f"{patch} is no patch: a YAML file with kind: SchedulerPatch")
    typer.echo(patched.source, nl=False)
    return 0


@app.command()
def replay(
    profile: Annotated[Path, typer.Argument(help="A WorkloadProfile as JSON.")],
    knobs: KnobArguments = None,
    scheduler: Annotated[str, typer.Option(help=TARGET_HELP)] = "simple_fifo",
    kernel: KernelOption = None,
    seeds: Annotated[int, typer.Option(min=1, max=16)] = 2,
    json: JsonOption = False,
) -> int:
    """Replay a profile under the default scheduler and another one; judge nothing else."""
    verifier = Verifier.from_settings(load_settings())
    _refuse_program(scheduler, verifier.library, "to replay alone")
    bundle = _kernel(kernel)
    contract = EvaluationContract(replay=ReplayMode.ADVISORY, seeds=seeds)
    request = request_of(
        scheduler,
        knobs or [],
        bundle,
        contract=contract,
        profile=profile_of(profile),
        patched=patched_of(scheduler, verifier.library),
    )
    subject = verifier.subject(request)
    analysed = verifier.analyse(subject, request, bundle)
    payload = subject.payload(analysed.object)
    if payload is None or analysed.facts is None or analysed.failed:
        show_checks(Console(stderr=True), analysed.checks)
        return REJECTED
    found = verifier.replay(request, bundle, payload=payload, ops_name=analysed.facts.ops_name)
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
    settings = load_settings(kernels)
    serve_on_socket(settings, socket)
    return 0


@app.command()
def prove(
    request: Annotated[Path, typer.Option(help="A VerificationRequest as JSON.")],
    handover: Annotated[Path, typer.Option(help="Leave the result for `sign` in this folder.")],
    kernels: Annotated[Path | None, typer.Option(help="A folder of kernel bundles.")] = None,
) -> int:
    """Prove a request without a key, in a pod whose `sign` has it; the exit code judges nothing."""
    settings = load_settings(kernels)
    asked = read_noun(request, VerificationRequest)
    shelf = KernelShelf(settings.kernels_dir.resolve())
    found = hand_over(Verifier.from_settings(settings), shelf, asked, handover)
    sys.stderr.write(f"{found.state}: {found.message or 'handed over'}\n")
    return 0


@app.command(name="sign")
def sign_result(
    request: Annotated[Path, typer.Option(help="The VerificationRequest that was proven.")],
    claims: Annotated[Path, typer.Option(help="What the token claims, as JSON.")],
    handover: Annotated[Path, typer.Option(help="The folder with what `prove` left.")],
    key: Annotated[Path, typer.Option(help="The private key, PEM.")],
    revoked: Annotated[Path, typer.Option(help="What is revoked, as `revoke` prints it.")],
) -> int:
    """Sign what `prove` left, if it holds together, and print one line for the operator."""
    reply = answer(
        Signer.of_key(key, revoked),
        read_noun(request, VerificationRequest),
        read_noun(claims, TokenClaims),
        read_handover(handover),
        now=datetime.now(UTC),
        backdate_seconds=load_settings().token_backdate_seconds,
    )
    sys.stdout.write(f"{REPLY_MARK}{reply.model_dump_json(by_alias=True, exclude_none=True)}\n")
    return 0


for verb in (keygen, keys, revoke, tokens):
    app.command()(verb)


@app.command()
def version() -> int:
    """Print the version."""
    typer.echo(installed_version("schedcp"))
    return 0


def _refuse_program(target: str, library: Library, what: str) -> None:
    if program_of(target, library) is not None:
        raise UsageError(f"{target} is a program, of which there is nothing {what}: verify it")


def _kernel(folder: Path | None) -> KernelBundle:
    if folder is not None:
        return KernelBundle.open(folder)
    return KernelShelf(load_settings().kernels_dir).newest()


def _shown(target: str, request: VerificationRequest) -> SourceText | None:
    return None if request.source is None else SourceText(target, request.source)


def _analysis_json(checks: tuple[Check, ...], object_: bytes | None) -> str:
    found: dict[str, Any] = {"checks": [check.to_json() for check in checks]}
    if object_ is not None:
        found["digest"] = digest_of(object_)
    return canonical_json(found).decode()


def _verified(
    verifier: Verifier,
    request: VerificationRequest,
    bundle: KernelBundle,
    console: Console,
    *,
    use_known: bool,
) -> Verified:
    """Return the signed answer, a known one if there is one; unsigned where no key can be kept."""

    def prove(proven: Verified | None = None) -> Verified:
        def told(stage: str) -> None:
            console.print(f"{stage} ...", style="dim")

        return verifier.verify(request, bundle, told, proven=proven)

    settings = load_settings()
    try:
        signer = Signer.open(settings.state_dir)
    except OSError as error:
        console.print(f"the verdict will not be signed: {error}", style="yellow")
        return prove()
    store = verdict_store(settings, signer)
    try:
        fingerprint = verifier.identity(request, bundle)
    except ToolMissing:  # without its tools nothing can be accepted, but something be rejected
        return _signed(prove(), signer)
    known = store.same(request, fingerprint) if use_known else None
    if known is not None:
        console.print("proven before; --no-cache proves it again", style="dim")
        signed = _signed(known, signer)
    else:
        proven = store.proven(request, fingerprint) if use_known else None
        signed = _signed(prove(proven), signer)
    try:
        store.keep(request, fingerprint, signed)
    except OSError as error:
        console.print(f"the verdict cannot be remembered: {error}", style="yellow")
    return signed


def _signed(verified: Verified, signer: Signer) -> Verified:
    return replace(verified, verdict=signer.verdict(verified.verdict))


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
