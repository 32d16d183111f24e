import threading
from pathlib import Path

import pytest

from schedcp_lab.cache import MANIFEST, Cache, contents_digest


class Builds:
    """A build that counts itself."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, folder: Path) -> None:
        self.count += 1
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("contents")
        (folder / "link").symlink_to("sub/file")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "a cache")


def test_the_same_inputs_are_built_once(cache: Cache) -> None:
    build = Builds()
    first = cache.artefact("kernels/one", {"version": "1"}, build)
    second = cache.artefact("kernels/one", {"version": "1"}, build)
    assert first == second
    assert (first / "link").read_text() == "contents"
    assert build.count == 1


def test_other_inputs_replace_what_was_there(cache: Cache) -> None:
    build = Builds()
    folder = cache.artefact("one", {"version": "1"}, build)
    (folder / "stray").write_text("left over")
    cache.artefact("one", {"version": "2"}, build)
    assert build.count == 2
    assert not (folder / "stray").exists()
    assert cache.has("one", {"version": "2"})
    assert not cache.has("one", {"version": "1"})


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "sub" / "file").write_text("c0ntents"),
        lambda folder: (folder / "sub" / "file").unlink(),
        lambda folder: (folder / "sub" / "file").chmod(0o755),
        lambda folder: (folder / "added").write_text(""),
        lambda folder: (folder / MANIFEST).write_text("{"),
        lambda folder: (folder / MANIFEST).write_text("[]"),
        lambda folder: (folder / MANIFEST).unlink(),
    ],
    ids=["changed", "removed", "mode", "added", "manifest-cut", "manifest-type", "no-manifest"],
)
def test_what_is_damaged_is_built_again(cache: Cache, damage: object) -> None:
    build = Builds()
    folder = cache.artefact("one", {}, build)
    assert callable(damage)
    damage(folder)
    assert not cache.has("one", {})
    cache.artefact("one", {}, build)
    assert build.count == 2
    assert (folder / "sub" / "file").read_text() == "contents"
    assert cache.has("one", {})


def test_a_file_written_anew_with_the_same_contents_is_sound(cache: Cache) -> None:
    build = Builds()
    folder = cache.artefact("one", {}, build)
    (folder / "sub" / "file").write_text("contents")
    cache.artefact("one", {}, build)
    assert build.count == 1


def test_a_build_that_fails_leaves_the_old_artefact_and_no_litter(cache: Cache) -> None:
    folder = cache.artefact("one", {"version": "1"}, Builds())

    def fail(fresh: Path) -> None:
        (fresh / "half").write_text("")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        cache.artefact("one", {"version": "2"}, fail)
    assert [path.name for path in folder.parent.iterdir() if path.name != "locks"] == ["one"]
    assert cache.has("one", {"version": "1"})


def test_what_a_killed_build_left_is_swept_away(cache: Cache) -> None:
    litter = cache.directory("kernels") / ".one.killed.tmp"
    litter.mkdir()
    cache.artefact("kernels/one", {}, Builds())
    assert not litter.exists()


def test_two_that_want_the_same_wait_for_each_other(cache: Cache) -> None:
    inside, go_on = threading.Event(), threading.Event()
    builds: list[str] = []

    def slow(folder: Path) -> None:
        builds.append("slow")
        inside.set()
        assert go_on.wait(timeout=30)
        (folder / "file").write_text("slow")

    def never(folder: Path) -> None:
        builds.append("never")

    first = threading.Thread(target=cache.artefact, args=("one", {}, slow))
    second = threading.Thread(target=cache.artefact, args=("one", {}, never))
    first.start()
    assert inside.wait(timeout=30)
    second.start()
    go_on.set()
    first.join(timeout=30)
    second.join(timeout=30)
    assert builds == ["slow"]
    assert (cache.root / "one" / "file").read_text() == "slow"


def test_a_folder_is_known_by_its_contents_whether_an_artefact_or_not(
    cache: Cache, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    Builds()(plain)
    made = cache.artefact("one", {}, Builds())
    before = contents_digest(plain)
    plain.joinpath("sub", "file").write_text("other")
    assert contents_digest(made) == before != contents_digest(plain)
