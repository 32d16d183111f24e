"""Kernel bundles: the kernels that candidates are proven on, one directory each.

A bundle holds `release`, `vmlinuz`, perhaps `vmlinux` (the same unpacked), `config`, `vmlinux.btf`
(raw BTF) and `vmlinux.h` (with kfunc prototypes). Who makes them is not this package's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from schedcp_api.capabilities import KernelCapabilities, capabilities_of_btf
from schedcp_api.kernels import KernelFeature, KernelProfile, profile_of

from .errors import KernelUnavailable
from .kernelfacts import KernelFacts, kernel_facts

__all__ = ["KernelBundle", "KernelShelf"]

_FILES = ("release", "vmlinuz", "vmlinux.btf", "vmlinux.h")


@dataclass(frozen=True)
class KernelBundle:
    """One kernel with the types that its schedulers are compiled against."""

    folder: Path

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Return the bundle in `folder`, or raise KernelUnavailable saying what is wrong."""
        missing = [name for name in _FILES if not (folder / name).is_file()]
        if missing:
            raise KernelUnavailable(
                f"{folder} is no kernel bundle: it lacks {', '.join(missing)}; `schedcp-lab setup` "
                "makes one, or give another folder with --kernel"
            )
        bundle = cls(folder.resolve())
        if KernelFeature.SCHED_EXT not in bundle.profile.features:
            raise KernelUnavailable(
                f"the kernel {bundle.profile.release} in {folder} has no sched_ext: its BTF does "
                "not know struct sched_ext_ops; take one with CONFIG_SCHED_CLASS_EXT"
            )
        return bundle

    @property
    def image(self) -> Path:
        """What guests boot: the unpacked kernel if there is one, which spares them unpacking it."""
        unpacked = self.folder / "vmlinux"
        return unpacked if unpacked.is_file() else self.folder / "vmlinuz"

    @property
    def vmlinux_h(self) -> Path:
        """The types and kfunc prototypes as C."""
        return self.folder / "vmlinux.h"

    @property
    def config(self) -> bytes:
        """What the kernel was configured with, as programs that load schedulers read it."""
        try:
            return (self.folder / "config").read_bytes()
        except OSError as error:
            raise KernelUnavailable(
                f"{self.folder} has no `config`, which programs read before they load: {error}"
            ) from error

    @cached_property
    def btf(self) -> bytes:
        """The raw BTF of the kernel."""
        return (self.folder / "vmlinux.btf").read_bytes()

    def has_function(self, name: str) -> bool:
        """Say whether BTF knows the name, as it does of every kfunc that the kernel has.

        A name that is something else is not told apart here; the kernel does that on loading.
        """
        return b"\0" + name.encode() + b"\0" in self.btf

    @cached_property
    def facts(self) -> KernelFacts:
        """What the analysis of programs asks of this kernel."""
        try:
            return kernel_facts(self.btf)
        except ValueError as error:
            raise KernelUnavailable(f"{self.folder}/vmlinux.btf: {error}") from error

    @cached_property
    def capabilities(self) -> KernelCapabilities:
        """What it offers to schedulers, by name."""
        try:
            return capabilities_of_btf(self.btf)
        except ValueError as error:
            raise KernelUnavailable(f"{self.folder}/vmlinux.btf: {error}") from error

    @cached_property
    def profile(self) -> KernelProfile:
        """What verdicts and tokens call this kernel."""
        release = (self.folder / "release").read_text().strip()
        try:
            return profile_of(release, self.btf)
        except ValueError as error:
            raise KernelUnavailable(f"{self.folder}/vmlinux.btf: {error}") from error


@dataclass(frozen=True)
class KernelShelf:
    """All bundles of one directory."""

    folder: Path

    def bundles(self) -> tuple[KernelBundle, ...]:
        """Return every complete bundle with sched_ext, ordered by name."""
        if not self.folder.is_dir():
            raise KernelUnavailable(
                f"no folder of kernel bundles at {self.folder}; give one with --kernels"
            )
        candidates = sorted(
            path
            for path in self.folder.iterdir()
            if not path.name.startswith(".") and (path / "release").is_file()
        )
        return tuple(KernelBundle.open(path) for path in candidates)

    def newest(self) -> KernelBundle:
        """Return the bundle with the highest release, a default for people at a terminal."""
        bundles = self.bundles()
        if not bundles:
            raise KernelUnavailable(
                f"no kernel bundle in {self.folder}; `schedcp-lab setup` makes one"
            )
        return max(bundles, key=lambda bundle: _release_key(bundle.profile.release))

    def by_digest(self, digest: str) -> KernelBundle:
        """Return the bundle whose profile has `digest`, or raise KernelUnavailable."""
        bundles = self.bundles()
        for bundle in bundles:
            if bundle.profile.content_digest() == digest:
                return bundle
        have = ", ".join(f"{b.profile.release} {b.profile.content_digest()}" for b in bundles)
        raise KernelUnavailable(
            f"no kernel with profile {digest} among the bundles in {self.folder}; there are: "
            f"{have or 'none'}; add a bundle of the nodes' kernel"
        )


def _release_key(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release))
