"""What Go fetches and compiles stays in the cache, and goes when the programs are built."""

import os
from pathlib import Path

import pytest

from schedcp_lab.cache import Cache
from schedcp_lab.errors import CommandFailed
from schedcp_lab.kube_binaries import ensure_kube_binaries
from schedcp_lab.toolchain import go_environment, remove_go_files

VARIABLES = ("GOPATH", "GOMODCACHE", "GOCACHE")
GO = """\
if [ "$1" = version ]; then echo go version go1.99.1 linux/amd64; exit; fi
env | grep ^GO >"$0.environment"
echo "$*" >"$0.arguments"
find "$GOPATH" -type f >"$0.found"
mkdir -p "$GOMODCACHE/a@v1" "$GOCACHE"
touch "$GOMODCACHE/a@v1/a.go" "$GOCACHE/a.o"
chmod a-w "$GOMODCACHE/a@v1"
[ ! -e "$0.breaks" ] || exit 1
while [ "$1" != -o ]; do shift; done
for program in kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet; do
	touch "$2$program"
done
"""


def program(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_the_machines_settings_pass_and_its_places_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = {"GOFLAGS": "-mod=mod", "GOPROXY": "file:///srv/go", "GOSUMDB": "off"}
    for name, value in (machine | dict.fromkeys(VARIABLES, "/elsewhere")).items():
        monkeypatch.setenv(name, value)
    env = go_environment(tmp_path)
    assert {name: env[name] for name in machine} == machine
    assert all(Path(env[name]).is_relative_to(tmp_path) for name in VARIABLES)
    assert env["GOMODCACHE"] != env["GOCACHE"]


def test_a_build_finds_no_modules_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    go = program(programs, "go", GO)
    etcd = program(programs, "etcd", "")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    environ = {"PATH": "/nowhere", "KUBEBUILDER_ASSETS": str(programs)}
    cache = Cache(tmp_path / "a cache")
    home = cache.root / "kube" / "go"
    go.with_name("go.breaks").touch()
    for _attempt in range(2):
        with pytest.raises(CommandFailed, match="go build"):
            ensure_kube_binaries(cache, environ=environ)
        assert sorted(path.name for path in home.rglob("a.*")) == ["a.go", "a.o"]
    go.with_name("go.breaks").unlink()
    found = ensure_kube_binaries(cache, environ=environ)
    assert found.etcd == etcd
    assert found.kubelet == cache.root / "kube" / "bin" / "kubelet"
    assert "-modcacherw" in go.with_name("go.arguments").read_text().split()
    assert go.with_name("go.found").read_text() == f"{home / 'compiled' / 'a.o'}\n"
    assert not home.exists()


def test_what_may_not_be_written_can_be_removed(tmp_path: Path) -> None:
    folder = tmp_path / "modules"
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o500)
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "c.go").touch(mode=0o400)
    (folder / "a" / "link").symlink_to(kept)
    for path in (folder / "a" / "b", folder / "a", folder):
        path.chmod(0o500)
    for _twice in range(2):
        remove_go_files(folder)
        assert not folder.exists()
    assert kept.stat().st_mode & 0o777 == 0o500
