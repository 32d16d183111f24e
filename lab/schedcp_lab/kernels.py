"""Kernel bundles: a kernel with sched_ext, its modules, headers and types, in one directory.

A bundle holds `release`, `vmlinuz`, `vmlinux` (the same unpacked, where it can be booted so),
`config`, `vmlinux.btf` (raw BTF), `vmlinux.h` (with kfunc prototypes),
`modules/lib/modules/RELEASE/` (decompressed, with depmod's indexes) and, where the package source
has them, `headers/` laid out as below `/`. What nodes may run lies in the cache's folder `kernels`,
where the verifier looks for the kernel of a node. Which kernel: the one SCHEDCP_KERNEL names, else
the newest of the target release's backports whose image, modules and headers are all in the index.

Of some releases there is the bare image alone. Such a bundle has neither `config` nor modules:
schedulers are verified against it, and it runs no nodes.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from schedcp_lab.cache import MANIFEST, Cache, contents_digest, digest_file
from schedcp_lab.debian import Debian
from schedcp_lab.errors import CommandFailed, KernelUnsuitable, PackageUnavailable
from schedcp_lab.kernel_packages import KernelPackages, find_packages
from schedcp_lab.processes import environment, run
from schedcp_lab.vmlinuz import boots_unpacked, btf_of, unpacked

__all__ = [
    "BUNDLE_FILES",
    "bundle_release",
    "bundled",
    "ensure_kernel",
    "ensure_second_kernel",
    "require_headers",
    "update_lists",
]

BUNDLE_FILES = ("release", "vmlinuz", "config", "vmlinux.btf", "vmlinux.h")
TOOL_TIMEOUT_SECONDS = 300.0
SECOND_SERIES = "6.18"
"""Beside the kernel that the nodes run, the newest of this series is there to verify against."""
RECIPE = "2"
"""Raise this when the layout of a bundle changes, so that older ones are made anew."""


@dataclass(frozen=True)
class KernelFiles:
    """Where the parts of one kernel lie before they are bundled."""

    release: str
    image: Path
    config: Path | None
    modules: Path | None
    headers_root: Path | None


def ensure_kernel(
    cache: Cache,
    release: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    report: Callable[[str], None] = print,
) -> Path:
    """Return a kernel bundle, made when it is not there yet.

    `release` asks for one release of the package source (`6.18.15` or its full name). Without it
    SCHEDCP_KERNEL decides, which may be a bundle or an image such as `/boot/vmlinuz-RELEASE`; and
    without that the newest fitting kernel. Raise KernelUnsuitable for one without sched_ext.
    """
    override = environ.get("SCHEDCP_KERNEL")
    if release is None and override:
        return _from_override(cache, Path(override))
    debian = Debian.open(cache, report=report)
    update_lists(debian, report)
    packages = find_packages(debian.target.names("linux-"), release)
    return bundled(cache, debian, packages, report=report)


def ensure_second_kernel(cache: Cache, *, report: Callable[[str], None] = print) -> Path | None:
    """Return a bundle of the second series; None, and a word, where the source has it no more."""
    try:
        debian = Debian.open(cache, report=report)
        update_lists(debian, report)
        packages = find_packages(debian.target.names("linux-"), SECOND_SERIES)
        return bundled(cache, debian, packages, report=report)
    except PackageUnavailable as error:
        report(f"second kernel: none is verified against: {error}")
        return None


def update_lists(debian: Debian, report: Callable[[str], None]) -> None:
    """Refresh the package lists; go on with those of yesterday when the mirror is away."""
    try:
        debian.update()
    except CommandFailed as error:
        if not debian.target.names("linux-"):
            raise
        report(f"kernel: the package lists here are used as they are: {error}")


def bundled(
    cache: Cache,
    debian: Debian,
    packages: KernelPackages,
    *,
    shelf: str = "kernels",
    report: Callable[[str], None] = print,
) -> Path:
    """Return the bundle of one release on a shelf of the cache, made when it is not there yet."""
    files = debian.download([*packages.image, *packages.headers])
    files += debian.download_pool(packages.pool_image)
    files += _pool_headers(debian, packages, report)
    inputs = {path.name: digest_file(path) for path in files}

    def build(folder: Path) -> None:
        unpacked = folder / "unpacked"
        for path in files:
            run(["dpkg", "-x", path, unpacked], timeout_seconds=TOOL_TIMEOUT_SECONDS)
        _bundle(_unpacked_files(unpacked, packages), folder)
        shutil.rmtree(unpacked)

    return cache.artefact(f"{shelf}/{packages.release}", inputs | _tool_inputs(), build)


def _pool_headers(
    debian: Debian, packages: KernelPackages, report: Callable[[str], None]
) -> list[Path]:
    """Fetch the headers that only the pool has; none, and a word, where it has them no more."""
    try:
        return debian.download_pool(packages.pool_headers)
    except PackageUnavailable as error:
        report(f"kernel: {packages.release} can be verified against and runs no nodes: {error}")
        return []


def bundle_release(bundle: Path) -> str:
    """Return the release of a bundle."""
    return (bundle / "release").read_text().strip()


def _unpacked_files(root: Path, packages: KernelPackages) -> KernelFiles:
    release = packages.release
    modules = root / "usr/lib/modules" / release
    if not modules.is_dir():
        modules = root / "lib/modules" / release
    image = _first(modules / "vmlinuz", root / f"boot/vmlinuz-{release}")
    if not modules.is_dir():
        return KernelFiles(release, image, None, None, None)
    config = _first(modules / "config", root / f"boot/config-{release}")
    headers_root = root if (modules / "build").is_symlink() else None
    return KernelFiles(release, image, config, modules, headers_root)


def _first(*paths: Path) -> Path:
    for path in paths:
        if path.is_file():
            return path
    raise KernelUnsuitable(
        f"the kernel's packages hold none of {', '.join(path.name for path in paths)}; their "
        "layout has changed and this version does not know it"
    )


def _from_override(cache: Cache, path: Path) -> Path:
    """Return the bundle that the user names, or make one from the user's installed kernel."""
    if path.is_dir():
        missing = [name for name in BUNDLE_FILES if not (path / name).is_file()]
        if missing:
            raise KernelUnsuitable(f"SCHEDCP_KERNEL={path} is no kernel bundle: no {missing}")
        _require_sched_ext((path / "vmlinux.h").read_text(), bundle_release(path))
        return _copied(cache, path)
    found = re.fullmatch(r"vmlinuz-(.+)", path.name)
    if found is None or not path.is_file():
        raise KernelUnsuitable(
            f"SCHEDCP_KERNEL={path} is neither a kernel bundle nor an image named vmlinuz-RELEASE"
        )
    release = found.group(1)
    modules = (Path("/lib/modules") / release).resolve()
    if not (modules / "modules.dep").is_file():
        raise KernelUnsuitable(
            f"SCHEDCP_KERNEL={path}: its modules are not at {modules}; install the kernel's "
            "modules package, or name a kernel bundle"
        )
    headers = Path("/") if (modules / "build").exists() else None
    files = KernelFiles(
        release, path, _first(path.with_name(f"config-{release}")), modules, headers
    )
    inputs = {"image": digest_file(path), "modules": digest_file(modules / "modules.dep")}
    return cache.artefact(
        f"kernels/{release}", inputs | _tool_inputs(), lambda folder: _bundle(files, folder)
    )


def _copied(cache: Cache, bundle: Path) -> Path:
    """Return the cache's copy of a bundle: verifier and tests look for kernels there."""
    if bundle.resolve().parent == (cache.root / "kernels").resolve():
        return bundle
    inputs = {name: digest_file(bundle / name) for name in BUNDLE_FILES}
    inputs["folder"] = contents_digest(bundle)

    def copy(folder: Path) -> None:
        ignored = shutil.ignore_patterns(f"{MANIFEST}*")
        shutil.copytree(bundle, folder, symlinks=True, dirs_exist_ok=True, ignore=ignored)

    return cache.artefact(f"kernels/{bundle_release(bundle)}", inputs, copy)


def require_headers(bundle: Path) -> None:
    """Raise KernelUnsuitable when a kernel cannot run nodes: the agent's probes need headers."""
    if not (bundle / "headers").is_dir():
        raise KernelUnsuitable(
            f"kernel {bundle_release(bundle)} can be verified against, and cannot run nodes: its "
            "headers are not in the machine's package source, and the agent's eBPF probes are "
            "compiled with them; take the newest kernel (no --kernel), or name a bundle that has "
            "`headers/` with SCHEDCP_KERNEL"
        )


def _tool_inputs() -> dict[str, str]:
    done = run(["bpftool", "version"], timeout_seconds=TOOL_TIMEOUT_SECONDS)
    return {"recipe": RECIPE, "bpftool": done.stdout.splitlines()[0]}


def _bundle(files: KernelFiles, folder: Path) -> None:
    """Lay out a bundle from the parts of a kernel."""
    (folder / "release").write_text(f"{files.release}\n")
    shutil.copyfile(files.image, folder / "vmlinuz")
    kernel = unpacked(files.image.read_bytes())
    if boots_unpacked(kernel):
        (folder / "vmlinux").write_bytes(kernel)
    (folder / "vmlinux.btf").write_bytes(btf_of(kernel))
    types = run(
        ["bpftool", "btf", "dump", "file", folder / "vmlinux.btf", "format", "c"],
        timeout_seconds=TOOL_TIMEOUT_SECONDS,
    ).stdout
    _require_sched_ext(types, files.release)
    (folder / "vmlinux.h").write_text(types)
    if files.config is not None:
        shutil.copyfile(files.config, folder / "config")
    if files.modules is not None:
        _copy_modules(files.release, files.modules, folder / "modules")
        if files.headers_root is not None:
            _copy_headers(files.modules, files.headers_root, folder / "headers")


def _require_sched_ext(types: str, release: str) -> None:
    if "struct sched_ext_ops {" not in types:
        raise KernelUnsuitable(
            f"kernel {release} has no sched_ext (CONFIG_SCHED_CLASS_EXT is off: its BTF has no "
            "struct sched_ext_ops); name another with SCHEDCP_KERNEL"
        )
    if not re.search(r"\bscx_bpf_\w+\(.*__ksym;", types):
        raise KernelUnsuitable(
            f"the header made from kernel {release} has no kfunc prototypes: bpftool 7.5 or newer "
            "and a kernel whose BTF marks its kfuncs are needed"
        )


def _copy_modules(release: str, modules: Path, root: Path) -> None:
    """Copy the modules, decompressed, and index them."""
    target = root / "lib/modules" / release
    skipped = shutil.ignore_patterns("build", "source", "vmlinuz", "vmlinux", "config", "updates")
    shutil.copytree(modules, target, symlinks=True, ignore=skipped)
    packed = [path for path in target.rglob("*.ko.*") if path.is_file()]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(_decompress, packed))
    run(["depmod", "-b", root, release], timeout_seconds=TOOL_TIMEOUT_SECONDS)


def _decompress(path: Path) -> None:
    plain = path.with_suffix("")
    if path.suffix == ".xz":
        plain.write_bytes(lzma.decompress(path.read_bytes()))
        path.unlink()
    elif path.suffix in {".zst", ".gz"}:
        tool = {".zst": ["zstd", "-q", "--rm", "-d"], ".gz": ["gzip", "-d"]}[path.suffix]
        run([*tool, path], timeout_seconds=TOOL_TIMEOUT_SECONDS, env=environment())
    else:
        raise KernelUnsuitable(f"{path.name}: unknown packing of a kernel module")


def _copy_headers(modules: Path, root: Path, target: Path) -> None:
    """Copy the headers as they would lie below `/`, with the links that bcc follows."""
    links = target / "lib/modules" / modules.name
    links.mkdir(parents=True)
    wanted: list[Path] = []
    for name in ("build", "source"):
        link = modules / name
        if link.is_symlink():
            beside = Path("/") / link.parent.relative_to(root)
            place = Path(os.path.normpath(beside / link.readlink()))
            (links / name).symlink_to(place)
            wanted.append(root / place.relative_to("/"))
    copied: set[Path] = set()
    while wanted:
        folder = wanted.pop()
        if folder in copied or not folder.is_dir():
            continue
        copied.add(folder)
        place = target / folder.relative_to(root)
        shutil.copytree(folder, place, symlinks=True, dirs_exist_ok=True)
        wanted += _linked_packages(folder, root)


def _linked_packages(folder: Path, root: Path) -> list[Path]:
    """Return the folders of other packages into which links at the top of `folder` lead."""
    targets = [
        Path(os.path.normpath(folder / path.readlink()))
        for path in folder.iterdir()
        if path.is_symlink() and not path.readlink().is_absolute()
    ]
    outside = [path for path in targets if not path.is_relative_to(folder)]
    inside_root = [path.relative_to(root) for path in outside if path.is_relative_to(root)]
    return [root.joinpath(*path.parts[:3]) for path in inside_root]
