"""Wheelhouses: the wheels that an image installs, fetched outside the image build.

Versions are those of the committed lock file, resolved for the image's Python and not the host's.
The project's own wheel is built from the sources and put beside its dependencies, so that an image
needs no index: `dependencies/` changes with the lock file, `project/` with every change of the
code, and an image that installs them in this order rebuilds only the last layer.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from schedcp_lab.cache import Cache, digest_file, digest_text
from schedcp_lab.images import tree_digest
from schedcp_lab.processes import run
from schedcp_lab.python_index import pip_command, uv_environment, uv_program

__all__ = ["IMAGE_PYTHON", "wheelhouse"]

IMAGE_PYTHON = "3.13"
"""The target release's Python."""

PLATFORMS = ("manylinux_2_17_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64")
RESOLVE_TIMEOUT_SECONDS = 300.0
FETCH_TIMEOUT_SECONDS = 900.0
SOURCES = ("crds", "operator", "nodeagent", "pyproject.toml", "README.md")


def wheelhouse(cache: Cache, repository: Path, *, extras: Sequence[str]) -> Path:
    """Return a directory of wheels: the project with these extras, and all that they need."""
    names = sorted(extras)
    dependencies = _dependencies(cache, repository, names)
    build_tools = repository / "lab" / "build.txt"
    inputs = {
        "dependencies": (dependencies / "requirements.txt").read_text(),
        "build tools": digest_file(build_tools),
        **{f"source {name}": tree_digest(repository / name) for name in SOURCES},
    }

    def build(folder: Path) -> None:
        (folder / "dependencies").mkdir()
        for wheel in dependencies.glob("*.whl"):
            shutil.copyfile(wheel, folder / "dependencies" / wheel.name)
        project = folder / "project"
        command: list[str | Path] = [uv_program(), "build", "--quiet", "--wheel"]
        command += ["--build-constraints", build_tools, "--require-hashes"]
        run(
            [*command, "--out-dir", project, repository],
            timeout_seconds=FETCH_TIMEOUT_SECONDS,
            env=uv_environment(),
        )
        # uv leaves a .gitignore in what it thinks is a build directory.
        (project / ".gitignore").unlink(missing_ok=True)

    return cache.artefact(f"wheels/{'-'.join(names)}", inputs, build)


def _dependencies(cache: Cache, repository: Path, extras: Sequence[str]) -> Path:
    inputs = {
        "lock": digest_file(repository / "uv.lock"),
        "extras": " ".join(extras),
        "python": IMAGE_PYTHON,
        "platforms": digest_text(repr(PLATFORMS)),
    }

    def build(folder: Path) -> None:
        requirements = folder / "requirements.txt"
        requirements.write_text(locked_requirements(repository, extras))
        platforms = [part for name in PLATFORMS for part in ("--platform", name)]
        command = [*pip_command(), "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "--python-version", IMAGE_PYTHON, *platforms]
        run(
            [*command, "--dest", folder, "--requirement", requirements],
            timeout_seconds=FETCH_TIMEOUT_SECONDS,
            env=uv_environment(),
        )

    return cache.artefact(f"wheels/{'-'.join(extras)}-dependencies", inputs, build)


def locked_requirements(repository: Path, extras: Sequence[str]) -> str:
    """Return the locked versions that the image's Python needs, without environment markers."""
    choice = [part for extra in extras for part in ("--extra", extra)]
    uv, env = uv_program(), uv_environment()
    export = [uv, "export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-workspace"]
    with tempfile.TemporaryDirectory() as work:
        universal = Path(work) / "requirements.in"
        run(
            [*export, "--no-annotate", "--no-header", *choice, "--output-file", universal],
            timeout_seconds=RESOLVE_TIMEOUT_SECONDS,
            cwd=repository,
            env=env,
        )
        # Markers must be judged by the image's Python; pip would judge them by its own.
        resolve = [uv, "pip", "compile", "--quiet", "--no-deps", "--generate-hashes"]
        resolve += ["--python-version", IMAGE_PYTHON, "--python-platform", "x86_64-manylinux_2_28"]
        done = run(
            [*resolve, "--no-annotate", "--no-header", universal],
            timeout_seconds=RESOLVE_TIMEOUT_SECONDS,
            env=env,
        )
    return done.stdout
