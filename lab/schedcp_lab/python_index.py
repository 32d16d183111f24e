"""The machine's own Python index, and the pip and uv that fetch from it.

pip reads the machine's settings, from the environment as well as from its files; uv reads its own
only. What pip is told holds for uv too, unless uv was told something itself. What they fetch stays
in the checkout's cache, unless they were told of another.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from schedcp_lab.errors import ToolMissing
from schedcp_lab.processes import environment, run

__all__ = [
    "pip_command",
    "pip_environment",
    "settings_for_uv",
    "uv_environment",
    "uv_program",
]

CACHE = Path(__file__).resolve().parents[2] / ".cache"
FETCHED = CACHE / "uv" / "bin"
"""Where `make init` puts uv, and a Python with pip."""
CACHES = {"PIP_CACHE_DIR": str(CACHE / "pip"), "UV_CACHE_DIR": str(CACHE / "uv-packages")}
"""As `lab/bootstrap` has them, too."""

PROBE_TIMEOUT_SECONDS = 60.0
SYSTEM_CERTIFICATES = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}
"""Makes uv trust what apt and pip trust here, rather than its own list; by its new and old name."""
UV_INDEX_SETTINGS = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")


def uv_program(fetched: Path = FETCHED) -> str:
    """Return the uv that `make init` fetched, else whichever is on PATH."""
    uv = fetched / "uv"
    return str(uv) if uv.is_file() else "uv"


def pip_command(fetched: Path = FETCHED) -> list[str]:
    """Return the command of a pip that works."""
    for python in (fetched / "python", Path(sys.executable), Path("/usr/bin/python3")):
        if not python.exists():
            continue
        command = [str(python), "-m", "pip"]
        done = run([*command, "--version"], timeout_seconds=PROBE_TIMEOUT_SECONDS, check=False)
        if done.returncode == 0:
            return command
    raise ToolMissing("no Python here has pip; run `make init`, or install python3-pip")


def pip_environment() -> dict[str, str]:
    """Return the environment for pip: the machine's settings, and where what it fetches goes."""
    return CACHES | environment()


def uv_environment() -> dict[str, str]:
    """Return the environment for uv and pip, the machine's certificates and index included."""
    env = pip_environment()
    # It has a way to say that nothing is set: a failure.
    configured = run(
        [*pip_command(), "config", "get", "global.index-url"],
        timeout_seconds=PROBE_TIMEOUT_SECONDS,
        check=False,
    )
    return env | settings_for_uv(env, configured.stdout.strip())


def settings_for_uv(env: Mapping[str, str], configured: str) -> dict[str, str]:
    """Return the variables that tell uv which certificates to trust, and the index.

    The index is left out when uv knows it, or there is none to tell. `configured` is what pip's
    files say; pip's own variable comes before it.
    """
    index = env.get("PIP_INDEX_URL") or configured
    if not index or any(env.get(name) for name in UV_INDEX_SETTINGS):
        return SYSTEM_CERTIFICATES
    return SYSTEM_CERTIFICATES | {"UV_DEFAULT_INDEX": index}
