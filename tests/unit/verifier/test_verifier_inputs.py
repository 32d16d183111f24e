"""Bundles, manifests and command lines that make no sense are told apart from bad candidates."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from schedcp_api.base import digest_of
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.manifests import SchedulerManifest
from schedcp_api.verdicts import Phase, Stage, VerificationRequest
from schedcp_verifier.__main__ import run_command
from schedcp_verifier.errors import KernelUnavailable, LibraryInvalid, UsageError
from schedcp_verifier.kernels import KernelBundle, KernelShelf
from schedcp_verifier.library import Library
from schedcp_verifier.manifests import needs_check
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier
from support.bpf_btf import BtfWriter
from support.verifier import make_bundle

MANIFEST = {
    "name": "fifo",
    "summary": "s",
    "goodFor": "g",
    "badFor": "b",
    "source": "fifo.bpf.c",
    "license": "GPL-2.0",
    "opsName": "schedcp_fifo",
}


def library(folder: Path, **changes: object) -> Library:
    (folder / "manifests").mkdir()
    (folder / "fifo.bpf.c").write_text("int x;\n")
    (folder / "manifests/fifo.yaml").write_text(yaml.safe_dump({**MANIFEST, **changes}))
    return Library(folder)


def test_a_scheduler_comes_with_its_source(tmp_path: Path) -> None:
    found = library(tmp_path).scheduler("fifo")
    assert (found.manifest.ops_name, found.source) == ("schedcp_fifo", b"int x;\n")


def test_an_unknown_scheduler_is_a_wrong_use_that_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are: fifo"):
        library(tmp_path).scheduler("lifo")


@pytest.mark.parametrize(
    "changes", [{"source": "../out.c"}, {"source": "gone.c"}, {"name": "x"}, {"bad": 1}]
)
def test_a_broken_manifest_is_the_librarys_fault(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(LibraryInvalid):
        library(tmp_path, **changes).scheduler("fifo")


def test_a_bundle_must_be_whole_and_have_sched_ext(tmp_path: Path) -> None:
    assert KernelBundle.open(make_bundle(tmp_path / "good")).profile.release == "7.0.0-test"
    with pytest.raises(KernelUnavailable, match="no sched_ext"):
        KernelBundle.open(make_bundle(tmp_path / "old", sched_ext=False))
    (tmp_path / "good/vmlinuz").unlink()
    with pytest.raises(KernelUnavailable, match="lacks vmlinuz"):
        KernelBundle.open(tmp_path / "good")


def test_kernels_are_found_by_digest_and_by_age(tmp_path: Path) -> None:
    for release in ("6.9.1", "6.18.15", "6.10.2"):
        make_bundle(tmp_path / release, release)
    shelf = KernelShelf(tmp_path)
    assert shelf.newest().profile.release == "6.18.15"
    wanted = KernelBundle.open(tmp_path / "6.9.1").profile
    assert shelf.by_digest(wanted.content_digest()).profile == wanted
    with pytest.raises(KernelUnavailable, match=r"6\.10\.2"):
        shelf.by_digest(digest_of(b"another"))


def test_a_request_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    verifier = Verifier.from_settings(Settings(schedulers_dir=tmp_path))
    candidate = Candidate(kind=PlanKind.GENERATE, scheduler="x", source_digest=digest_of(b"a"))
    for source, words in ((None, "not sent along"), ("b", "the candidate says")):
        request = VerificationRequest(
            candidate=candidate, source=source, kernel_digest=digest_of(b"k")
        )
        with pytest.raises(UsageError, match=words):
            verifier.subject(request)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["prove", "x"],
        ["verify"],
        ["verify", "fifo", "--nonsense"],
        ["verify", "no_such.bpf.c"],
        ["verify", "fifo", "--", "slice"],
        ["verify", "fifo", "--", "slice=many"],
        ["verify", "fifo", "--", "slice=1", "slice=2"],
        ["verify", "fifo", "--keep", "Everything"],
        ["replay", "no-such-profile.json"],
    ],
)
def test_wrong_usage_ends_with_64(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEDCP_VERIFIER_KERNELS_DIR", str(tmp_path))
    make_bundle(tmp_path / "k")
    assert run_command(arguments) == 64


def test_a_missing_kernel_could_not_tell(tmp_path: Path) -> None:
    assert run_command(["verify", "fifo", "--kernel", str(tmp_path)]) == 2


@pytest.mark.parametrize("arguments", [["verify", "fifo"], ["serve", "--socket", "s"], ["keys"]])
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("SCHEDCP_VERIFIER_MAX_RUNNING", "many")
    assert run_command(arguments) == 64
    said = capsys.readouterr().err
    assert "SCHEDCP_VERIFIER_MAX_RUNNING is 'many': Input should be a valid integer" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--socket", "s"], "SCHEDCP_VERIFIER_STATE_DIR"),
        (["keygen"], "Not a directory: '{}'"),
    ],
)
def test_a_folder_for_the_key_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    said: str,
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "state"
    monkeypatch.setenv("SCHEDCP_VERIFIER_STATE_DIR", str(folder))
    assert run_command(arguments) == 2
    found = capsys.readouterr().err
    assert str(folder) in found
    assert said.format(folder) in found


def test_help_and_version_are_no_errors() -> None:
    assert run_command(["--help"]) == 0
    assert run_command(["version"]) == 0


def test_a_kernel_that_lacks_a_need_is_told_before_anything_is_built(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "kernel")
    writer = BtfWriter()
    writer.structure("sched_ext_ops", 8, [("dispatch", writer.integer("u64", 8), 0)])
    (folder / "vmlinux.btf").write_bytes(writer.data())
    kernel = KernelBundle.open(folder)
    manifest = SchedulerManifest.model_validate({**MANIFEST, "needs": ["sched_ext_ops.dispatch"]})
    assert needs_check(manifest, kernel).phase is Phase.PASSED
    found = needs_check(manifest.replace(needs=("scx_bpf_x", "SCX_Y")), kernel)
    assert (found.phase, found.stage) == (Phase.FAILED, Stage.SOURCE)
    assert "7.0.0-test lacks the kfunc scx_bpf_x; the constant SCX_Y" in found.message
