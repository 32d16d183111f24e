"""The page of schedulers says what the manifests say, and is missed when it does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from schedcp_api.manifests import SchedulerManifest
from schedcp_lab.generate import stale, write
from schedcp_lab.scheduler_docs import PAGE, manifests_in, schedulers_page

MANIFEST = SchedulerManifest.model_validate(
    {
        "name": "fifo",
        "summary": "First come, first served.",
        "goodFor": "many  equal\ntasks",
        "badFor": "latency",
        "source": "fifo.bpf.c",
        "license": "GPL-2.0",
        "opsName": "schedcp_fifo",
        "knobs": [
            {
                "name": "slice_ns", "type": "u64", "unit": "ns", "default": 2_500_000,
                "minimum": 0, "maximum": 2_000_000_000, "summary": "a | b",
            },
            {"name": "fair", "type": "bool", "default": 1, "minimum": 0, "maximum": 1,
             "summary": "whether"},
        ],
        "needs": ["scx_bpf_kick_cpu"],
        "statistics": ["idle_dispatches"],
    }
)  # fmt: skip


def test_each_scheduler_is_shown_with_all_that_its_manifest_says() -> None:
    page = schedulers_page([MANIFEST])
    assert "| [fifo](#fifo) | First come, first served. |" in page
    assert "| `slice_ns` | u64 | 2500 us | 0 ns to 2 s | a / b |" in page
    assert "| `fair` | bool | true |  | whether |" in page
    for words in ("Good for: many equal tasks.", "`schedcp_fifo`", "kernel: `scx_bpf_kick_cpu`.",
                  "Statistics: `idle_dispatches`.", "(../schedulers/fifo.bpf.c)"):  # fmt: skip
        assert words in page


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """A checkout of manifests, with what is made from them and from the models."""
    shutil.copytree(repository / "schedulers/manifests", tmp_path / "schedulers/manifests")
    write(tmp_path)
    return tmp_path


def test_what_was_written_is_not_stale(checkout: Path) -> None:
    assert stale(checkout) == []
    names = {manifest.name for manifest in manifests_in(checkout / "schedulers/manifests")}
    assert all(f"\n## {name}\n" in (checkout / PAGE).read_text() for name in names)


def test_a_manifest_that_changed_makes_the_page_stale(checkout: Path) -> None:
    path = next((checkout / "schedulers/manifests").glob("*.yaml"))
    path.write_text(path.read_text().replace("GPL-2.0", "GPL-2.0-only"))
    assert stale(checkout) == [f"{PAGE} differs from the manifests"]
    (checkout / PAGE).unlink()
    assert stale(checkout) == [f"{PAGE} differs from the manifests"]
