"""An image's digest changes with what goes into the image, and with nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from schedcp_lab.images import proxies_in, tree_digest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "module.py").write_text("x = 1\n")
    (folder / "link").symlink_to("package")
    return folder


def change_content(tree: Path) -> None:
    (tree / "package" / "module.py").write_text("x = 2\n")


def change_mode(tree: Path) -> None:
    (tree / "package" / "module.py").chmod(0o755)


def change_name(tree: Path) -> None:
    (tree / "package" / "module.py").rename(tree / "package" / "other.py")


def add_file(tree: Path) -> None:
    (tree / "package" / "new.py").write_text("")


@pytest.mark.parametrize("change", [change_content, change_mode, change_name, add_file])
def test_a_change_changes_the_digest(tree: Path, change: Callable[[Path], None]) -> None:
    before = tree_digest(tree)
    change(tree)
    assert tree_digest(tree) != before


@pytest.mark.parametrize("place", ["__pycache__/module.pyc", ".output/x.o", ".manifest.json"])
def test_what_was_made_elsewhere_does_not(tree: Path, place: str) -> None:
    before = tree_digest(tree)
    path = tree / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("made")
    assert tree_digest(tree) == before


def test_a_file_has_the_digest_of_its_content(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes((tree / "package" / "module.py").read_bytes())
    assert tree_digest(copy) == tree_digest(tree / "package" / "module.py")


def test_proxies_are_taken_from_apt() -> None:
    dump = (
        'Acquire "";\nAcquire::http "";\nAcquire::http::Proxy "http://proxy.example:3142";\n'
        'Acquire::http::Proxy::deb.example "DIRECT";\nAcquire::https::Proxy "";\n'
        'Acquire::Retries "3";\n'
    )
    assert proxies_in(dump) == [
        'Acquire::http::Proxy "http://proxy.example:3142"',
        'Acquire::http::Proxy::deb.example "DIRECT"',
    ]
