"""A patched scheduler is judged like a stranger's, whatever scheduler of the library it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from schedcp_api.base import digest_of
from schedcp_verifier.__main__ import run_command
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library
from schedcp_verifier.settings import Settings

Analyse = Callable[[Path], tuple[int, list[str]]]
FOLDER = Path(__file__).parents[2] / "schedulers"
LIBRARY = Library(FOLDER)
NAMES = Library(FOLDER).own_names()


def written(folder: Path, name: str, **edit: str) -> Path:
    """Write a patch of a library scheduler with one edit, and return its file."""
    patch = {
        "apiVersion": "schedcp.io/v1alpha1",
        "kind": "SchedulerPatch",
        "name": "tried",
        "base": name,
        "baseDigest": digest_of(LIBRARY.scheduler(name).source),
        "edits": [edit],
    }
    path = folder / "patch.json"
    path.write_text(json.dumps(patch))
    return path


@pytest.fixture
def analyse(
    verifier_settings: Settings,
    kernel: KernelBundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Analyse:
    """Return what the static stages find of a file: the exit code, and what did not pass."""
    monkeypatch.setenv("SCHEDCP_VERIFIER_SCHEDULERS_DIR", str(verifier_settings.schedulers_dir))

    def run(path: Path) -> tuple[int, list[str]]:
        code = run_command(["analyze", str(path), "--kernel", str(kernel.folder), "--json"])
        checks = json.loads(capsys.readouterr().out)["checks"]
        return code, [check["message"] for check in checks if check["phase"] != "Passed"]

    return run


@pytest.mark.parametrize("name", NAMES)
def test_the_library_holds_without_its_privileges(
    name: str, analyse: Analyse, tmp_path: Path
) -> None:
    path = written(tmp_path, name, find="SCHEDCP_LICENSE;", replacement="/**/ SCHEDCP_LICENSE;")
    assert analyse(path) == (0, [])


def test_a_patch_that_takes_a_task_away_is_refused(analyse: Analyse, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "simple_fifo",
        find="\tscx_bpf_dsq_insert(p, SHARED_DSQ",
        replacement="\tif (p->static_prio > 130)\n\t\treturn;\n\tscx_bpf_dsq_insert(p, SHARED_DSQ",
    )
    code, words = analyse(path)
    assert code == 1
    assert words
