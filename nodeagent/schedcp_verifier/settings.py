"""The verifier's settings: one frozen tree, read once in `__main__`, handed down."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import UsageError

__all__ = ["Settings", "load_settings"]

_PREFIX = "SCHEDCP_VERIFIER_"


class Settings(BaseSettings):
    """Settings from the environment, `SCHEDCP_VERIFIER_NAME` each."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, frozen=True, use_attribute_docstrings=True
    )

    schedulers_dir: Path = Path("schedulers")
    """The library: `manifests/`, the sources, and `include/schedcp/`."""
    programs_dir: Path | None = None
    """The loader and the guest's programs, all static; default `.output/bin` of the library."""
    stock_dir: Path = Path(".cache/stock/programs")
    """The library's programs, as `schedcp-lab setup --only stock` builds them."""
    kernels_dir: Path = Path(".cache/kernels")
    """Kernel bundles, one folder each."""
    state_dir: Path = Path(".cache/verifier")
    """The signing key, verdicts, built objects, and the record of tokens."""
    libbpf_headers: Path = Path("/usr/include/bpf")
    """The folder that holds `bpf_helpers.h`, libbpf 1.4 or newer."""
    clang: str = "clang-19"
    llvm_strip: str = "llvm-strip-19"
    qemu: str = "qemu-system-x86_64"
    busybox: Path = Path("/usr/bin/busybox")
    """A static busybox for the guest."""
    vm_deadline_seconds: float = Field(default=600.0, gt=0)
    """How long one guest may take before it counts as lost; a proof takes 40 s on a quiet machine
    and 250 s on a busy one."""
    max_running: int = Field(default=1, ge=1, le=16)
    """Verifications that run at the same time; each boots up to two guests of one CPU each."""
    store_max_files: int = Field(default=2048, ge=8)
    store_max_bytes: int = Field(default=268_435_456, ge=33_554_432)
    """Of remembered verdicts and objects; the longest unused go first."""
    token_backdate_seconds: int = Field(default=60, ge=0, le=600)
    """How far a token's start lies in the past, for clocks that do not agree."""

    @property
    def programs(self) -> Path:
        """The folder of the guest's programs."""
        return self.programs_dir or self.schedulers_dir / ".output" / "bin"


def load_settings(kernels: Path | None = None) -> Settings:
    """Return this process' settings, or raise UsageError that names the variable.

    `kernels` is a folder that was given on the command line instead.
    """
    try:
        return Settings() if kernels is None else Settings(kernels_dir=kernels)
    except ValidationError as error:
        lines = [
            f"{_PREFIX}{'_'.join(str(part) for part in found['loc']).upper() or '*'}"
            f" is {str(found['input'])[:100]!r}: {found['msg']}"
            for found in error.errors()
        ]
        raise UsageError(f"{'; '.join(lines)}; correct it in the environment") from error
