"""uv fetches from where pip would, unless it was told something itself."""

from pathlib import Path

import pytest

from schedcp_lab.python_index import (
    CACHE,
    CACHES,
    pip_environment,
    settings_for_uv,
    uv_program,
)


@pytest.mark.parametrize(
    ("env", "configured", "told"),
    [
        ({}, "", {}),
        ({}, "mirror", {"UV_DEFAULT_INDEX": "mirror"}),
        ({"PIP_INDEX_URL": "mine"}, "mirror", {"UV_DEFAULT_INDEX": "mine"}),
        ({"UV_DEFAULT_INDEX": "uvs"}, "mirror", {}),
        ({"UV_INDEX_URL": "uvs", "PIP_INDEX_URL": "mine"}, "mirror", {}),
    ],
)
def test_what_pip_is_told_holds_for_uv(
    env: dict[str, str], configured: str, told: dict[str, str]
) -> None:
    certificates = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}
    assert settings_for_uv(env, configured) == certificates | told


def test_the_uv_of_the_checkout_comes_before_path(tmp_path: Path) -> None:
    assert uv_program(tmp_path) == "uv"
    (tmp_path / "uv").write_text("")
    assert uv_program(tmp_path) == str(tmp_path / "uv")


def test_what_is_fetched_stays_in_the_cache_unless_told_otherwise(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert repository / ".cache" == CACHE
    monkeypatch.delenv("PIP_CACHE_DIR", raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", "/mine")
    env = pip_environment()
    assert Path(env["PIP_CACHE_DIR"]).is_relative_to(CACHE)
    assert env["UV_CACHE_DIR"] == "/mine"


def test_the_bootstrap_fetches_to_the_same_places(repository: Path) -> None:
    text = (repository / "lab" / "bootstrap").read_text()
    for name, place in CACHES.items():
        relative = Path(place).relative_to(repository)
        assert f'export {name}="${{{name}:-$PWD/{relative}}}"' in text
