"""Scratch folders are their builds' while those live, and are gone afterwards."""

from pathlib import Path

import pytest

from schedcp_lab.cache import Cache
from schedcp_lab.workspaces import workspace


def test_what_a_dead_build_left_is_swept_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    litter = cache.directory("work") / "node-killed"
    (litter / "tree").mkdir(parents=True)
    with workspace(cache, "one") as first:
        assert not litter.exists()
        with workspace(cache, "two") as second:
            assert first.is_dir()
            assert first != second
    assert list(cache.directory("work").iterdir()) == []


def fail_in(cache: Cache) -> None:
    """A build that gets half way."""
    with workspace(cache, "one") as folder:
        (folder / "half").write_text("")
        raise OSError("the disk is full")


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(OSError, match="full"):
        fail_in(cache)
    assert list(cache.directory("work").iterdir()) == []
