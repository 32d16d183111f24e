"""A node whose QEMU breaks down while it boots is booted again, a bounded number of times."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schedcp_lab.node_config import NodeSettings
from schedcp_lab.node_image import NodeImage
from schedcp_lab.node_vm import BOOTS_AT_MOST, Forwards, NodeFiles, NodeLost, NodeVm
from schedcp_lab.processes import ProcessSpec, Supervisor, wait_until

DEADLINE_SECONDS = 30.0
COUNT_THEN = 'echo boot >> "$1"; if [ $(wc -l < "$1") -le {} ]; then kill -{} $$; fi; exec sleep 99'
"""In QEMU's place: `boots` so many times that end by a signal, then one that lasts."""


@contextmanager
def booting(folder: Path, *, failures: int, sent: str) -> Iterator[tuple[NodeVm, Path]]:
    disk, boots = folder / "image.qcow2", folder / "boots"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"], check=True, timeout=30)
    image = NodeImage(release="7", vmlinuz=folder, initramfs=folder, disk=disk)
    files = NodeFiles(folder)
    argv = ("sh", "-c", COUNT_THEN.format(failures, sent), "sh", str(boots))
    with (
        Supervisor() as supervisor,
        NodeVm(
            supervisor,
            ProcessSpec("node one", argv, files.qemu_log),
            files,
            image=image,
            settings=NodeSettings("one", index=1, api_port=6443),
            forwards=Forwards("127.0.76.11", 20001, 20002),
        ) as node,
    ):
        yield node, boots


def settle(node: NodeVm, boots: Path, *, wanted: int) -> None:
    """Look after the node until it has booted so often; what must not be, raises NodeLost."""

    def enough() -> bool:
        node.keep_booting()
        return boots.exists() and len(boots.read_text().splitlines()) >= wanted

    wait_until(enough, what=f"{wanted} boots", timeout_seconds=DEADLINE_SECONDS)


def test_a_breakdown_while_it_boots_is_booted_once_more(tmp_path: Path) -> None:
    with booting(tmp_path, failures=BOOTS_AT_MOST - 1, sent="ABRT") as (node, boots):
        settle(node, boots, wanted=BOOTS_AT_MOST)
        assert node.alive


def test_what_breaks_down_at_every_boot_is_lost(tmp_path: Path) -> None:
    with booting(tmp_path, failures=99, sent="ABRT") as (node, boots):
        with pytest.raises(NodeLost, match="node one ended although it should run"):
            settle(node, boots, wanted=BOOTS_AT_MOST + 1)
        assert len(boots.read_text().splitlines()) == BOOTS_AT_MOST


def test_a_guest_that_was_killed_is_not_booted_again(tmp_path: Path) -> None:
    with booting(tmp_path, failures=1, sent="KILL") as (node, boots):
        with pytest.raises(NodeLost):
            settle(node, boots, wanted=2)
        assert len(boots.read_text().splitlines()) == 1
