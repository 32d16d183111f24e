from pathlib import Path

import pytest

from schedcp_lab.kube_binaries import find_kube_program


def program(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "body", ["exit 1", "echo Kubernetes v1.29.3", "echo nothing", "exec /nonexistent/loader"]
)
def test_a_program_that_does_not_fit_is_passed_over(tmp_path: Path, body: str) -> None:
    assets, path = tmp_path / "assets", tmp_path / "path"
    assets.mkdir()
    path.mkdir()
    program(assets, "kube-apiserver", body)
    good = program(path, "kube-apiserver", "echo Kubernetes v1.34.9")
    environ = {"KUBEBUILDER_ASSETS": str(assets), "PATH": str(path)}
    assert find_kube_program("kube-apiserver", environ=environ) == good


def test_kubebuilders_programs_come_before_those_on_path(tmp_path: Path) -> None:
    assets, path = tmp_path / "assets", tmp_path / "path"
    assets.mkdir()
    path.mkdir()
    first = program(assets, "kube-apiserver", "echo Kubernetes v1.34.1")
    program(path, "kube-apiserver", "echo Kubernetes v1.34.9")
    environ = {"KUBEBUILDER_ASSETS": str(assets), "PATH": str(path)}
    assert find_kube_program("kube-apiserver", environ=environ) == first
