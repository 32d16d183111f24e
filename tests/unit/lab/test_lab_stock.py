"""The stock schedulers' pins, and what an image gets where they were not built."""

from pathlib import Path

import pytest

from schedcp_api.base import digest_of
from schedcp_api.manifests import CATALOGUE_NAME, Catalogue, Program
from schedcp_lab.cache import Cache
from schedcp_lab.errors import CommandFailed, LabError
from schedcp_lab.stock import cargo_home, fresh_home, pinned_programs, require_pin, stock_here
from schedcp_lab.toolchain import RUST_MINIMUM, STOCK_TOOLS

CRATE = b"a crate"
PROGRAM = Program(crate="scx_tried", version="1.2.3", crate_digest=digest_of(CRATE))


def fetched(home: Path, *archives: bytes) -> Path:
    for number, data in enumerate(archives):
        folder = home / "registry" / "cache" / f"index-{number}"
        folder.mkdir(parents=True)
        (folder / "scx_tried-1.2.3.crate").write_bytes(data)
    return home


def test_the_crate_that_is_pinned_is_built(tmp_path: Path) -> None:
    require_pin(PROGRAM, fetched(tmp_path, CRATE))


@pytest.mark.parametrize(
    ("archives", "said"),
    [
        ((), "has fetched no scx_tried-1.2.3.crate"),
        ((b"another",), "but the manifest of scx_tried pins"),
        ((CRATE, b"another"), "but the manifest of scx_tried pins"),
    ],
)
def test_anything_else_is_not(tmp_path: Path, archives: tuple[bytes, ...], said: str) -> None:
    with pytest.raises(CommandFailed, match=said):
        require_pin(PROGRAM, fetched(tmp_path, *archives))


def test_cargo_is_asked_where_it_keeps_them() -> None:
    assert cargo_home({"CARGO_HOME": "/x"}) == Path("/x")
    assert cargo_home({}) == Path.home() / ".cargo"


def test_a_build_finds_nothing_but_the_users_configuration(tmp_path: Path) -> None:
    user, cache = tmp_path / "user", Cache(tmp_path / "cache")
    fetched(user, b"another")
    (user / "config.toml").write_text("[net]\nretry = 5\n")
    (user / "credentials.toml").write_text("secret")
    for _build in range(2):
        home = fresh_home(cache, {"CARGO_HOME": str(user)})
        assert [path.name for path in home.iterdir()] == ["config.toml"]
        assert (home / "config.toml").read_text() == "[net]\nretry = 5\n"
        fetched(home, b"another")
    (user / "config.toml").unlink()
    assert list(fresh_home(cache, {"CARGO_HOME": str(user)}).iterdir()) == []


def test_the_pins_are_those_of_the_manifests(repository: Path, tmp_path: Path) -> None:
    crates = [program.crate for program in pinned_programs(repository)]
    assert crates == ["scx_bpfland", "scx_lavd", "scx_layered", "scx_rusty"]
    (tmp_path / "schedulers/manifests").mkdir(parents=True)
    (tmp_path / "schedulers/manifests/x.yaml").write_text("name: x\n")
    with pytest.raises(LabError, match=r"x\.yaml"):
        pinned_programs(tmp_path)


def test_an_image_made_before_them_has_none(tmp_path: Path) -> None:
    folder = stock_here(Cache(tmp_path), (PROGRAM,))
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == [
        CATALOGUE_NAME
    ]
    assert Catalogue.model_validate_json((folder / CATALOGUE_NAME).read_bytes()) == Catalogue()


def test_a_compiler_that_is_too_old_has_an_alternative() -> None:
    tools = {tool.probe: tool for tool in STOCK_TOOLS}
    for name in ("cargo", "rustc"):
        assert tools[name].minimum == RUST_MINIMUM
        assert tools[name].alternative == f"{name}-web"
