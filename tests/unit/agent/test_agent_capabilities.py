"""What a kernel lacks of what a scheduler needs, read from BTF."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_agent import cli
from schedcp_agent.errors import ManifestInvalid
from schedcp_agent.manifests import read_manifests
from schedcp_api.capabilities import capabilities_of_btf
from support.bpf_btf import BtfWriter

MANIFEST = """\
name: fifo
summary: s
goodFor: g
badFor: b
source: fifo.bpf.c
license: GPL-2.0
opsName: schedcp_fifo
needs: [scx_bpf_kick_cpu, sched_ext_ops.cgroup_set_bandwidth, SCX_ENQ_IMMED]
"""


def kernel_btf(*, split: bool = True, newer: bool = True) -> bytes:
    """BTF of a kernel whose kick has an implicit argument, which its build may not have split."""
    writer = BtfWriter()
    u64 = writer.integer("u64", 8)
    plain = writer.prototype([("cpu", u64), ("flags", u64)])
    whole = writer.prototype([("cpu", u64), ("flags", u64), ("aux", u64)])
    writer.function("scx_bpf_kick_cpu", plain if split else whole)
    if split:
        writer.function("scx_bpf_kick_cpu_impl", whole)
    members = [("dispatch", u64, 0), *([("cgroup_set_bandwidth", u64, 8)] if newer else [])]
    writer.structure("sched_ext_ops", 16, members)
    writer.enum64("scx_enq_flags", {"SCX_ENQ_HEAD": 1, **({"SCX_ENQ_IMMED": 2} if newer else {})})
    return writer.data()


NEEDS = ("scx_bpf_kick_cpu", "sched_ext_ops.cgroup_set_bandwidth", "SCX_ENQ_IMMED")


def test_a_kernel_that_has_everything_lacks_nothing() -> None:
    assert capabilities_of_btf(kernel_btf()).missing(NEEDS) == ()


def test_what_is_missing_is_named_by_its_kind() -> None:
    found = capabilities_of_btf(kernel_btf(newer=False))
    assert found.missing((*NEEDS, "scx_bpf_dsq_peek")) == (
        "the member sched_ext_ops.cgroup_set_bandwidth",
        "the constant SCX_ENQ_IMMED",
        "the kfunc scx_bpf_dsq_peek",
    )


def test_a_kfunc_whose_build_forgot_to_split_it_cannot_be_called() -> None:
    found = capabilities_of_btf(kernel_btf(split=False))
    (words,) = found.missing(NEEDS)
    assert words.startswith("scx_bpf_kick_cpu_impl in its BTF, without which")
    assert found.unusable == {"scx_bpf_kick_cpu"}


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_they_are_read_or_refused(data: bytes) -> None:
    for candidate in (data, kernel_btf()[: len(data)], kernel_btf()[:24] + data):
        with contextlib.suppress(ValueError):
            capabilities_of_btf(candidate)


@given(st.integers(24, len(kernel_btf()) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(at: int, byte: int) -> None:
    data = bytearray(kernel_btf())
    data[at] = byte
    with contextlib.suppress(ValueError):
        capabilities_of_btf(bytes(data))


class TestProbeKernel:
    """The command."""

    @pytest.fixture
    def node(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A node with an old kernel and one manifest."""
        (tmp_path / "kernel/btf").mkdir(parents=True)
        (tmp_path / "kernel/btf/vmlinux").write_bytes(kernel_btf(newer=False))
        (tmp_path / "manifests").mkdir()
        (tmp_path / "manifests/fifo.yaml").write_text(MANIFEST)
        monkeypatch.setenv("SCHEDCP_AGENT_SYS_ROOT", str(tmp_path))
        monkeypatch.setenv("SCHEDCP_AGENT_MANIFESTS_DIR", str(tmp_path / "manifests"))
        return tmp_path

    def test_it_says_of_each_scheduler_what_is_missing(
        self, node: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cli.probe_kernel()
        found = json.loads(capsys.readouterr().out)
        assert found["features"] == ["SchedExt"]
        (scheduler,) = found["schedulers"]
        assert (scheduler["name"], scheduler["ready"]) == ("fifo", False)
        assert scheduler["missing"] == [
            "the member sched_ext_ops.cgroup_set_bandwidth",
            "the constant SCX_ENQ_IMMED",
        ]

    def test_another_kernel_is_asked_by_its_types(
        self, node: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (node / "btf").write_bytes(kernel_btf())
        cli.probe_kernel(btf=node / "btf")
        found = json.loads(capsys.readouterr().out)
        assert found == {"schedulers": [{"name": "fifo", "ready": True, "missing": []}]}

    def test_a_file_that_is_no_manifest_is_named(self, node: Path) -> None:
        (node / "manifests/odd.yaml").write_text("- 1")
        with pytest.raises(ManifestInvalid, match=r"odd\.yaml"):
            read_manifests(node / "manifests")
