"""The scx project's own schedulers, built from the crates that the manifests pin.

A crate is fetched by cargo, compared with the pin, and built with the lock file that it carries, so
that all that goes into it is known by digest before any of it runs. For this cargo has a home of
its own, which is empty when a build begins: it checks what it fetches, and nothing that it finds.
What comes out depends on the compilers, too: the catalogue beside the programs says what was built,
and with what.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from schedcp_api.base import digest_of
from schedcp_api.manifests import (
    CATALOGUE_NAME,
    BuiltProgram,
    Catalogue,
    Program,
    SchedulerManifest,
)
from schedcp_lab.cache import Cache, digest_file, digest_text
from schedcp_lab.errors import CommandFailed, LabError
from schedcp_lab.processes import environment, run
from schedcp_lab.toolchain import STOCK_TOOLS, ensure_host_tools
from schedcp_lab.workspaces import workspace

__all__ = [
    "cargo_home",
    "ensure_stock",
    "fresh_home",
    "pinned_programs",
    "require_pin",
    "stock_here",
]

STOCK = "stock/programs"
"""Where the cache has them."""
NO_STOCK = "stock/none"
CARGO_CONFIG = "config.toml"
BUILD_TIMEOUT_SECONDS = 3600.0
FETCH_TIMEOUT_SECONDS = 600.0
PROBE_TIMEOUT_SECONDS = 60.0
RECIPE = digest_text(Path(__file__).read_text())


def pinned_programs(root: Path) -> tuple[Program, ...]:
    """Return the programs of the library's manifests, by name."""
    found = []
    for path in sorted((root / "schedulers" / "manifests").glob("*.yaml")):
        try:
            manifest = SchedulerManifest.model_validate(yaml.safe_load(path.read_text()))
        except (ValidationError, yaml.YAMLError) as error:
            raise LabError(f"{path} is no scheduler's manifest: {error}") from error
        if manifest.program is not None:
            found.append(manifest.program)
    return tuple(found)


def ensure_stock(
    cache: Cache, programs: Sequence[Program], *, report: Callable[[str], None] = print
) -> Path:
    """Return the folder with the programs and their catalogue; build them where it is not there."""
    inputs = _inputs(programs)

    def build(folder: Path) -> None:
        crates = ", ".join(program.crate for program in programs)
        report(f"stock schedulers: building {crates} (ten minutes on two CPUs, once)")
        ensure_host_tools(cache, STOCK_TOOLS, report=report)
        tools = _versions()
        parts, home = common_parts(cache), fresh_home(cache)
        cargo = environment(
            {"BPF_CLANG": "clang-19", "CARGO_HOME": str(home), "CARGO_TARGET_DIR": str(parts)}
        )
        with workspace(cache, "stock") as work:
            built = tuple(_built(p, work, folder, cargo=cargo, tools=tools) for p in programs)
        shutil.rmtree(parts)
        shutil.rmtree(home)
        catalogue = Catalogue(programs=built).model_dump_json(by_alias=True, indent=2)
        (folder / CATALOGUE_NAME).write_text(f"{catalogue}\n")

    return cache.artefact(STOCK, inputs, build)


def stock_here(cache: Cache, programs: Sequence[Program]) -> Path:
    """Return the folder with the programs if they were built, else one with an empty catalogue.

    A lab does without them, and they take minutes to build: whoever wants them builds them first.
    """
    if cache.has(STOCK, _inputs(programs)):
        return cache.root / STOCK

    def build(folder: Path) -> None:
        (folder / CATALOGUE_NAME).write_text(Catalogue().model_dump_json(by_alias=True))

    return cache.artefact(NO_STOCK, {"recipe": RECIPE}, build)


def _inputs(programs: Sequence[Program]) -> dict[str, str]:
    pins = {program.crate: f"{program.version} {program.crate_digest}" for program in programs}
    return {"recipe": RECIPE, **pins}


def common_parts(cache: Cache) -> Path:
    """Return where compiled crates are kept until all is built: a build goes on where it ended."""
    return cache.directory("stock/parts")


def fresh_home(cache: Cache, environ: Mapping[str, str] = os.environ) -> Path:
    """Return an empty home for cargo that is configured as the user's: mirrors, proxies.

    Its path is always the same, because cargo knows by it what it has compiled already.
    """
    home = cache.root / "stock" / "cargo"
    if home.exists():
        shutil.rmtree(home)
    home.mkdir(parents=True)
    config = cargo_home(environ) / CARGO_CONFIG
    if config.is_file():
        shutil.copyfile(config, home / CARGO_CONFIG)
    return home


def fetch(program: Program, work: Path, cargo: Mapping[str, str]) -> None:
    """Fetch a crate into the home that the environment `cargo` names; compare it with the pin."""
    run(
        ["cargo", "info", "--quiet", f"{program.crate}@{program.version}"],
        timeout_seconds=FETCH_TIMEOUT_SECONDS,
        env=cargo,
        cwd=work,
    )
    require_pin(program, cargo_home(cargo))


def _built(
    program: Program, work: Path, folder: Path, *, cargo: Mapping[str, str], tools: str
) -> BuiltProgram:
    """Build one crate in `work` and put its program, without symbols, into `folder`."""
    fetch(program, work, cargo)
    run(
        [
            *("nice", "cargo", "install", "--quiet", "--locked", "--no-track", "--force"),
            *("--root", work / "root", "--version", f"={program.version}"),
            *("--bin", program.crate, program.crate),
        ],
        timeout_seconds=BUILD_TIMEOUT_SECONDS,
        env=cargo,
        cwd=work,
    )
    path = folder / program.crate
    built = work / "root" / "bin" / program.crate
    run(["llvm-strip-19", "-o", path, built], timeout_seconds=PROBE_TIMEOUT_SECONDS)
    return BuiltProgram(
        crate=program.crate,
        version=program.version,
        crate_digest=program.crate_digest,
        digest=digest_of(path.read_bytes()),
        built_with=tools,
    )


def require_pin(program: Program, home: Path) -> None:
    """Compare what cargo has fetched of a crate with the pin, before any of it is compiled."""
    name = f"{program.crate}-{program.version}.crate"
    archives = sorted((home / "registry" / "cache").glob(f"*/{name}"))
    if not archives:
        raise CommandFailed(f"cargo has fetched no {name} into {home}/registry/cache")
    for archive in archives:
        found = f"sha256:{digest_file(archive)}"
        if found != program.crate_digest:
            raise CommandFailed(
                f"{archive} is {found}, but the manifest of {program.crate} pins "
                f"{program.crate_digest}: remove the file, or find out who changed the crate"
            )


def cargo_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where cargo keeps what it fetched."""
    named = environ.get("CARGO_HOME")
    return Path(named) if named else Path.home() / ".cargo"


def _versions() -> str:
    """Return what the compilers call themselves."""
    said = []
    for tool in ("rustc", "clang-19"):
        done = run([tool, "--version"], timeout_seconds=PROBE_TIMEOUT_SECONDS)
        said.append(done.stdout.splitlines()[0].strip())
    return ", ".join(said)[:256]
