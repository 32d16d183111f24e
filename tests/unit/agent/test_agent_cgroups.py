"""The pods' cgroups, in both layouts."""

from concurrent.futures import Future
from pathlib import Path

import pytest

from schedcp_agent.cgroups import Usage, find_pods, ids_below, parse_pressure, read_usage
from schedcp_agent.demands import ALWAYS, demands_of
from schedcp_agent.measuring import Measuring
from schedcp_api.verdicts import ContractLoss
from support.agent import NOW, OTHER_UID, POD_UID

PRESSURE = (
    "some avg10=12.34 avg60=1.00 avg300=0.10 total=98765\n"
    "full avg10=0.50 avg60=0.00 avg300=0.00 total=43\n"
)


def make(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    return folder


def test_the_layout_of_the_cgroupfs_driver(tmp_path: Path) -> None:
    guaranteed = make(tmp_path, f"kubepods/pod{POD_UID}")
    container = make(guaranteed, "0123abc")
    burstable = make(tmp_path, f"kubepods/burstable/pod{OTHER_UID}")
    make(tmp_path, "kubepods/burstable/nothing-of-ours")
    make(tmp_path, f"system.slice/pod{POD_UID}")
    found = {pod.uid: pod for pod in find_pods(tmp_path)}
    assert set(found) == {POD_UID, OTHER_UID}
    assert found[OTHER_UID].path == burstable
    assert set(found[POD_UID].ids) == {guaranteed.stat().st_ino, container.stat().st_ino}


def test_the_layout_of_the_systemd_driver(tmp_path: Path) -> None:
    name = f"kubepods-besteffort-pod{POD_UID.replace('-', '_')}.slice"
    folder = make(tmp_path, f"kubepods.slice/kubepods-besteffort.slice/{name}")
    make(tmp_path, f"kubepods.slice/kubepods-pod{OTHER_UID.replace('-', '_')}.slice")
    found = {pod.uid: pod.path for pod in find_pods(tmp_path)}
    assert found[POD_UID] == folder
    assert set(found) == {POD_UID, OTHER_UID}


def test_no_pods(tmp_path: Path) -> None:
    assert find_pods(tmp_path) == ()
    assert ids_below(tmp_path / "gone") == ()


def test_use_and_pressure(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 1234\nuser_usec 1000\n")
    (tmp_path / "cpu.pressure").write_text(PRESSURE)
    assert read_usage(tmp_path) == Usage(1234, 98765, 43, 123)
    assert read_usage(tmp_path / "gone") == Usage()


@pytest.mark.parametrize("text", ["", "some", "some avg10=x avg60=1 total=3", "full\nsome\n"])
def test_rubbish_is_no_pressure(text: str) -> None:
    assert parse_pressure(text) == (0, 0, 0)


def test_full_pressure_is_not_above_everything() -> None:
    assert parse_pressure("some avg10=100.01 avg60=0 avg300=0 total=1\n") == (1, 0, 1000)


def test_what_pods_ask_for_is_read_from_their_cgroups(tmp_path: Path) -> None:
    pod = make(tmp_path, f"kubepods/burstable/pod{POD_UID}")
    container = make(pod, "0123abc")

    def demands(**files: str) -> set[ContractLoss]:
        for name, text in files.items():
            (container / name.replace("_", ".")).write_text(text)
        return set(demands_of(find_pods(tmp_path)) - ALWAYS)

    assert demands() == set()
    plain = {"cpu_max": "max 100000\n", "cpu_weight": "1\n", "cpu_idle": "0\n", "cpuset_cpus": "\n"}
    assert demands(**plain) == set()
    assert demands(cpu_max="50000 100000\n") == {ContractLoss.CPU_MAX}
    assert demands(cpu_max="max 100000\n", cpu_weight="79\n") == {ContractLoss.CPU_WEIGHT}
    assert demands(cpu_weight="0\n", cpu_idle="1\n") == {ContractLoss.CGROUP_IDLE}
    assert demands(cpu_idle="0\n", cpu_weight="1\n", cpuset_cpus="2-3\n") == {ContractLoss.CPUSET}


def test_a_limit_that_is_changed_while_a_pod_runs_is_seen_before_long(tmp_path: Path) -> None:
    pod = make(tmp_path, f"kubepods/pod{POD_UID}")
    own = make(tmp_path, f"kubepods/pod{OTHER_UID}")
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu\n")
    (own / "cpu.max").write_text("50000 100000\n")
    clock = iter(range(0, 60_000_000_000, 6_000_000_000))
    measuring = Measuring(
        Future(), cgroup_root=tmp_path, own_pod=OTHER_UID, clock_ns=lambda: next(clock)
    )
    measuring.refresh((), now=NOW)
    assert measuring.demands == ALWAYS
    (pod / "cpu.max").write_text("50000 100000\n")
    measuring.refresh((), now=NOW)
    measuring.refresh((), now=NOW)
    assert ContractLoss.CPU_MAX in measuring.demands
