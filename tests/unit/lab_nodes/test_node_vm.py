"""The guest's command line stays on loopback, and its clock is bounded rightly."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_lab.accelerators import Accelerator
from schedcp_lab.node_image import NodeImage
from schedcp_lab.node_vm import UNKNOWN_DRIFT, Forwards, Hardware, NodeFiles, qemu_command

IMAGE = NodeImage(
    release="7.3.4",
    vmlinuz=Path("/cache/vmlinuz"),
    initramfs=Path("/cache/initramfs"),
    disk=Path("/cache/disk.qcow2"),
)
FORWARDS = Forwards("127.0.76.11", 20001, 20002)


def command(accelerator: Accelerator, folder: str = "/state/node-1") -> tuple[str, ...]:
    hardware = Hardware(accelerator, cpus=3, memory_mebibytes=1024)
    return qemu_command(IMAGE, NodeFiles(Path(folder)), forwards=FORWARDS, hardware=hardware)


def value(argv: tuple[str, ...], option: str) -> str:
    return argv[argv.index(option) + 1]


def test_the_host_reaches_kubelet_and_metrics_on_loopback_only() -> None:
    network = value(command(Accelerator.TCG), "-netdev").split(",")
    assert [part for part in network if part.startswith("hostfwd=")] == [
        "hostfwd=tcp:127.0.76.11:20001-:10250",
        "hostfwd=tcp:127.0.76.11:20002-:9464",
    ]


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "2001:db8::1"])
def test_a_forward_beyond_loopback_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="not a loopback address"):
        Forwards(address, 20001, 20002)


def test_the_machine_is_the_one_asked_for() -> None:
    argv = command(Accelerator.TCG)
    assert value(argv, "-smp") == "3"
    assert value(argv, "-m") == "1024"
    assert value(argv, "-accel").startswith("tcg,thread=multi")
    assert value(command(Accelerator.KVM), "-accel") == "kvm"


def test_commas_and_spaces_in_paths_survive_the_option_parser() -> None:
    argv = command(Accelerator.TCG, "/a b,c/node")
    drives = [argv[i + 1] for i, word in enumerate(argv) if word == "-drive"]
    assert drives[0].startswith("file=/a b,,c/node/disk.qcow2,if=virtio")
    assert drives[1].startswith("file=/a b,,c/node/config.tar,if=virtio")


trips = st.lists(
    st.tuples(st.floats(1e9, 1e9 + 100), st.floats(0.001, 2), st.floats(0, 1)),
    min_size=1,
    max_size=30,
)


@given(drift=st.floats(-5, 5), trips=trips)
def test_the_true_drift_stays_within_the_bounds(
    drift: float, trips: list[tuple[float, float, float]]
) -> None:
    found = UNKNOWN_DRIFT
    for asked, duration, moment in trips:
        second = math.floor(asked + moment * duration + drift)
        found = found.narrowed(second, asked=asked, answered=asked + duration)
    assert found.low - 1e-5 <= drift <= found.high + 1e-5
    assert found.error_seconds <= (1 + trips[-1][1]) / 2 + 1e-5


def test_bounds_that_contradict_give_way_to_the_newest() -> None:
    first = UNKNOWN_DRIFT.narrowed(100, asked=100.0, answered=100.1)
    second = first.narrowed(205, asked=200.0, answered=200.1)
    assert (second.low, second.high) == pytest.approx((4.9, 6.0))
