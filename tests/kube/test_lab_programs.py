from pathlib import Path

import pytest

from schedcp_lab.cache import digest_file
from schedcp_lab.debian import Apt, PoolFile, Source
from schedcp_lab.errors import CommandFailed, PackageUnavailable
from schedcp_lab.kube_binaries import find_kube_program


def program(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 1", "does not run"),
        ("echo Kubernetes v1.29.3", "it is v1.29.3, and only 1.34 or 1.35 goes together"),
        ("echo nothing", "does not tell its version"),
        ("exec /nonexistent/loader", "does not run"),
    ],
)
def test_a_program_that_does_not_fit_is_passed_over_and_told_why(
    tmp_path: Path, body: str, reason: str
) -> None:
    assets, path = tmp_path / "assets", tmp_path / "path"
    assets.mkdir()
    path.mkdir()
    bad = program(assets, "kube-apiserver", body)
    said: list[str] = []
    good = program(path, "kube-apiserver", "echo Kubernetes v1.34.9")
    environ = {"KUBEBUILDER_ASSETS": str(assets), "PATH": str(path)}
    assert find_kube_program("kube-apiserver", environ=environ, report=said.append) == good
    (line,) = said
    assert line.startswith(f"kube: {bad} is passed over: ")
    assert reason in line


def test_kubebuilders_programs_come_before_those_on_path(tmp_path: Path) -> None:
    assets, path = tmp_path / "assets", tmp_path / "path"
    assets.mkdir()
    path.mkdir()
    first = program(assets, "kube-apiserver", "echo Kubernetes v1.34.1")
    program(path, "kube-apiserver", "echo Kubernetes v1.34.9")
    environ = {"KUBEBUILDER_ASSETS": str(assets), "PATH": str(path)}
    assert find_kube_program("kube-apiserver", environ=environ) == first


def test_lists_of_other_sources_are_not_taken_for_fresh(tmp_path: Path) -> None:
    sources = (Source(f"file:{tmp_path}/nowhere/", ("trixie",)),)
    apt = Apt(tmp_path / "apt", sources, status=tmp_path / "status")
    (tmp_path / "status").touch()
    apt.folder.mkdir()
    stamp = apt.folder / "updated"
    stamp.touch()
    for _attempt in range(2):
        with pytest.raises(CommandFailed, match="nowhere"):
            apt.update()
        assert not stamp.exists()


def test_a_file_of_the_pool_counts_with_its_pinned_digest_alone(tmp_path: Path) -> None:
    archive, into = tmp_path / "archive", tmp_path / "packages"
    package = archive / "pool/main/l/linux/linux-headers-6.18_amd64.deb"
    package.parent.mkdir(parents=True)
    package.write_bytes(b"headers")
    pinned = PoolFile(str(package.relative_to(archive)), digest_file(package))
    apt = Apt(tmp_path / "apt", (), status=tmp_path / "status")
    (tmp_path / "status").touch()
    apt.prepare()
    (got,) = apt.download_pool(f"copy:{archive}/", [pinned], into)
    assert got.read_bytes() == b"headers"

    package.write_bytes(b"others")
    assert apt.download_pool(f"copy:{archive}", [pinned], into) == [got]  # Not asked for again.
    got.unlink()
    with pytest.raises(PackageUnavailable, match="in no package index any more"):
        apt.download_pool(f"copy:{archive}", [pinned], into)
    assert not list(into.iterdir())
