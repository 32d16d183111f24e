"""The newest kernel of each series that the package source has, to try the library on.

They lie on a shelf of their own: what is on the shelf `kernels` is verified against by every test.
A release that is there already is taken from where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from schedcp_lab.cache import Cache
from schedcp_lab.debian import Debian
from schedcp_lab.errors import KernelUnsuitable, PackageUnavailable
from schedcp_lab.kernel_packages import KernelPackages, find_packages, newest_of_each_series
from schedcp_lab.kernels import bundled, update_lists

__all__ = ["SHELF", "SeriesKernel", "ensure_series"]

SHELF = "kernel-series"


@dataclass(frozen=True)
class SeriesKernel:
    """One kernel of the package source: its bundle, or why there is none."""

    release: str
    bundle: Path | None
    reason: str = ""


def ensure_series(
    cache: Cache, release: str | None = None, *, report: Callable[[str], None] = print
) -> tuple[SeriesKernel, ...]:
    """Return the newest kernel of each series, the oldest first, or the one that is asked for.

    One without sched_ext is among them, with the reason why it cannot be a bundle.
    """
    debian = Debian.open(cache, report=report)
    update_lists(debian, report)
    names = debian.target.names("linux-")
    if release is not None:
        return (_kernel(cache, debian, find_packages(names, release), report),)
    return tuple(
        _kernel(cache, debian, packages, report) for packages in newest_of_each_series(names)
    )


def _kernel(
    cache: Cache, debian: Debian, packages: KernelPackages, report: Callable[[str], None]
) -> SeriesKernel:
    release = packages.release
    shelf = "kernels" if (cache.root / "kernels" / release).is_dir() else SHELF
    try:
        bundle = bundled(cache, debian, packages, shelf=shelf)
    except (KernelUnsuitable, PackageUnavailable) as error:
        report(f"kernel {release}: none is made of it: {error}")
        return SeriesKernel(release, None, str(error))
    report(f"kernel {release}: {bundle}")
    return SeriesKernel(release, bundle)
