"""Which packages a kernel with sched_ext comes in: by the names of a package index. Pure.

The index keeps images longer than their headers, and neither for ever. What it names no more of
the releases of POOL comes from the archive's pool, by pinned digest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schedcp_lab.debian import PoolFile, version_key
from schedcp_lab.errors import PackageUnavailable

__all__ = ["KernelPackages", "find_packages", "newest_of_each_series"]

FLAVOUR = "cloud-amd64"


@dataclass(frozen=True)
class PoolKernel:
    """A kernel whose image is one package, as the archive's pool has it."""

    image: PoolFile
    headers: tuple[PoolFile, ...]


POOL = {
    "6.18.15+deb13": PoolKernel(
        image=PoolFile(
            "pool/main/l/linux-signed-amd64/"
            "linux-image-6.18.15+deb13-cloud-amd64_6.18.15-1~bpo13+1_amd64.deb",
            "5a507681ea8c978d02265a7fec2f02c9588fb48b54b7f71edc1059e86007f3ec",
        ),
        headers=(
            PoolFile(
                "pool/main/l/linux/"
                "linux-headers-6.18.15+deb13-cloud-amd64_6.18.15-1~bpo13+1_amd64.deb",
                "3bd2a70ec82944d17b69824a428defb090708ec284c173f96a4171ba8aa271c2",
            ),
            PoolFile(
                "pool/main/l/linux/linux-headers-6.18.15+deb13-common_6.18.15-1~bpo13+1_all.deb",
                "a54ed9b3be5247fe2e003423e067cb8e8b06e4a44a09459b85cfec0afbcbd5ef",
            ),
            PoolFile(
                "pool/main/l/linux/linux-kbuild-6.18.15+deb13_6.18.15-1~bpo13+1_amd64.deb",
                "5e64129020cdb5effd6ed3895ca89608ef17bcf643eedfc8013dad89bab70a02",
            ),
        ),
    ),
}
"""Kernels, by version, that stay to be had when the index names their packages no more."""


@dataclass(frozen=True)
class KernelPackages:
    """The packages that one kernel release comes in."""

    release: str
    image: tuple[str, ...]
    headers: tuple[str, ...]
    pool_image: tuple[PoolFile, ...] = ()
    pool_headers: tuple[PoolFile, ...] = ()


def find_packages(names: frozenset[str], release: str | None) -> KernelPackages:
    """Choose a kernel among package names: the one asked for, else the newest with headers.

    Until 6.18 the image is one package; from 6.19 it is split into base, binary and modules.
    """
    choices = _packages(names)
    if release is None:
        choices = [choice for choice in choices if choice.headers]
    else:
        prefixes = (f"{release}+", f"{release}.") if release.count(".") == 1 else (f"{release}+",)
        choices = [c for c in choices if c.release == release or c.release.startswith(prefixes)]
    if not choices:
        wanted = release or "whose image, modules and headers are all there"
        raise PackageUnavailable(
            f"the machine's package source has no {FLAVOUR} kernel {wanted}; name a kernel of your "
            "own with SCHEDCP_KERNEL=/boot/vmlinuz-RELEASE"
        )
    return max(choices, key=lambda choice: version_key(choice.release))


def newest_of_each_series(names: frozenset[str]) -> tuple[KernelPackages, ...]:
    """Return the newest release of each series among package names, the oldest series first."""
    newest: dict[tuple[int, ...], KernelPackages] = {}
    for choice in sorted(_packages(names), key=lambda choice: version_key(choice.release)):
        newest[version_key(choice.release)[:2]] = choice
    return tuple(newest.values())


def _packages(names: frozenset[str]) -> list[KernelPackages]:
    pattern = re.compile(rf"linux-(?:binary|image)-(\d+\.\d+\.\d+\+deb\d+-{FLAVOUR})")
    releases = {found.group(1) for name in names if (found := pattern.fullmatch(name))}
    releases |= {f"{version}-{FLAVOUR}" for version in POOL}
    return [_packages_of(names, release) for release in releases]


def _packages_of(names: frozenset[str], release: str) -> KernelPackages:
    version = release.removesuffix(f"-{FLAVOUR}")
    headers = (
        f"linux-headers-{release}",
        f"linux-headers-{version}-common",
        f"linux-kbuild-{version}",
    )
    split = tuple(f"linux-{part}-{release}" for part in ("base", "binary", "modules"))
    bare = (f"linux-binary-{release}",)
    whole = (f"linux-image-{release}",)
    # Where the bare image has a package, linux-image- is empty and only depends on the rest.
    image = next((choice for choice in (split, bare) if names.issuperset(choice)), whole)
    complete = image != bare and names.issuperset(headers)
    if complete:
        return KernelPackages(release, image, headers)
    pool = POOL.get(version)
    if pool is None:
        return KernelPackages(release, image, ())
    if names.issuperset(image):
        return KernelPackages(release, image, (), pool_headers=pool.headers)
    return KernelPackages(release, (), (), (pool.image,), pool.headers)
