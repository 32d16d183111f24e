"""The command line, run in process."""

from pathlib import Path

import pytest

from schedcp_api.candidates import SchedulingPlan, WorkloadDescription
from schedcp_api.manifests import Catalogue
from schedcp_operator.__main__ import main
from schedcp_operator.errors import SettingsError
from schedcp_operator.prometheus import Prometheus
from schedcp_operator.settings import load_settings
from support.operator_library import BUILT, PROGRAM, program_manifest
from support.operator_profiles import profile
from support.operator_world import write_manifests

SOURCE = """
char _license[] SEC("license") = "GPL";
SEC(".struct_ops.link") struct sched_ext_ops mine = { .name = "mine_ops" };
"""


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = write_manifests(tmp_path / "manifests")
    monkeypatch.setenv("SCHEDCP_OPERATOR_MANIFESTS_DIR", str(manifests))
    monkeypatch.setenv("SCHEDCP_OPERATOR_STORE_PATH", str(tmp_path / "store.sqlite"))


def ran(
    *arguments: str | Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code and both outputs."""
    monkeypatch.setattr("sys.argv", ["schedcp-operator", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def test_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "profile.json"
    path.write_text(profile().model_dump_json(by_alias=True))
    code, out, _ = ran("plan", path, monkeypatch=monkeypatch, capsys=capsys)
    first, *plans = out.splitlines()
    assert code == 0
    assert WorkloadDescription.model_validate_json(first).workload_class == "LatencySensitive"
    names = [SchedulingPlan.model_validate_json(line).scheduler for line in plans]
    assert names == ["latency_class", "mixed_service", "weighted_vtime", "simple_fifo"]


def test_plan_for_nodes_that_have_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, catalogue = tmp_path / "profile.json", tmp_path / "catalogue.json"
    path.write_text(profile().model_dump_json(by_alias=True))
    catalogue.write_text(Catalogue(programs=(BUILT,)).model_dump_json(by_alias=True))
    asked = ("plan", path, "--programs", catalogue)
    code, out, _ = ran(*asked, monkeypatch=monkeypatch, capsys=capsys)
    last = SchedulingPlan.model_validate_json(out.splitlines()[-1])
    assert (code, last.scheduler) == (0, PROGRAM.name)


@pytest.mark.parametrize("text", ["", "{}", "\x00"])
def test_plan_of_something_else(
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    code, out, err = ran("plan", path, monkeypatch=monkeypatch, capsys=capsys)
    assert (code, out) == (64, "")
    assert str(path) in err


def test_a_program_is_no_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, described = tmp_path / "mine.bpf.c", tmp_path / "mine.json"
    path.write_text(SOURCE)
    described.write_text(program_manifest("mine").model_dump_json(by_alias=True))
    asked = ("repository", "import", path, "--manifest", described)
    code, out, err = ran(*asked, monkeypatch=monkeypatch, capsys=capsys)
    assert (code, out) == (64, "")
    assert "the manifest of a program" in err


def test_an_import_can_be_listed_shown_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.bpf.c"
    path.write_text(SOURCE)
    code, out, _ = ran("repository", "import", path, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    assert out.startswith("mine sha256:")
    listed = ran("repository", "list", monkeypatch=monkeypatch, capsys=capsys)[1]
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["latency_class", "library"],
        ["long_tail", "library"],
        ["mine", "imported"],
        ["mixed_service", "library"],
        ["scx_bpfland", "library"],
        ["simple_fifo", "library"],
        ["throughput", "library"],
        ["weighted_vtime", "library"],
    ]
    shown = ran("repository", "show", "mine", monkeypatch=monkeypatch, capsys=capsys)[1]
    assert "opsName: mine_ops" in shown
    assert "license: GPL" in shown
    hits = ran("search", "imported", monkeypatch=monkeypatch, capsys=capsys)[1]
    assert hits.startswith("scheduler mine:")


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("mine.c", SOURCE, 64),
        ("Mine.bpf.c", SOURCE, 64),
        ("mine.bpf.c", "int x;", 64),
        ("simple_fifo.bpf.c", SOURCE, 1),
    ],
)
def test_what_cannot_be_imported(
    name: str,
    text: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name
    path.write_text(text)
    ended, _, err = ran("repository", "import", path, monkeypatch=monkeypatch, capsys=capsys)
    assert ended == code
    assert "simple_fifo is a scheduler of the library" in err or name in err


def test_a_scheduler_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = ran("repository", "show", "nobody", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 1
    assert "there is no scheduler 'nobody'; there are: latency_class" in err


@pytest.mark.parametrize("arguments", [["bogus"], ["plan"], ["run", "--now"]])
def test_bad_usage(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ran(*arguments, monkeypatch=monkeypatch, capsys=capsys)[0] == 64


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("version", monkeypatch=monkeypatch, capsys=capsys)[:2] == (0, "0.1.0\n")


def test_nodes_outlast_a_change_of_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    made = load_settings()
    assert made.node_lease_seconds >= 3 * made.leader_lease_seconds + made.node_lease_renew_seconds
    monkeypatch.setenv("SCHEDCP_OPERATOR_LEADER_LEASE_SECONDS", "20")
    with pytest.raises(SettingsError, match="node_lease_seconds must be at least 70"):
        load_settings()
    monkeypatch.setenv("SCHEDCP_OPERATOR_NODE_LEASE_SECONDS", "70")
    assert load_settings().node_lease_seconds == 70


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDCP_OPERATOR_DEADLINES__CANARY_SECONDS", "soon")
    with pytest.raises(SettingsError, match="SCHEDCP_OPERATOR_DEADLINES__CANARY_SECONDS"):
        load_settings()

    monkeypatch.delenv("SCHEDCP_OPERATOR_DEADLINES__CANARY_SECONDS")
    monkeypatch.setenv("SCHEDCP_OPERATOR_DEADLINES", "soon")
    with pytest.raises(SettingsError, match=r'"deadlines".*write it as JSON'):
        load_settings()


@pytest.mark.parametrize(
    ("files", "why"),
    [((), "No such file or directory: '{}/tls.crt'"), (("tls.crt", "tls.key"), "[SSL]")],
)
def test_certificate_files_that_cannot_be_used_are_named(
    files: tuple[str, ...],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in files:
        (tmp_path / name).write_text("rubbish")
    monkeypatch.setenv("SCHEDCP_OPERATOR_TLS_CERT_FILE", str(tmp_path / "tls.crt"))
    monkeypatch.setenv("SCHEDCP_OPERATOR_TLS_KEY_FILE", str(tmp_path / "tls.key"))
    code, _, err = ran("run", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 1
    assert err.startswith(f"error: cannot serve with the certificate {tmp_path}/tls.crt and")
    assert why.format(tmp_path) in err
    assert "Traceback" not in err


def test_a_file_to_trust_prometheus_with_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SCHEDCP_OPERATOR_PROMETHEUS_CA_FILE"):
        Prometheus("https://prometheus", timeout_seconds=1, ca_file=tmp_path / "ca.crt")
