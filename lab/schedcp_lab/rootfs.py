"""The parts of a node's disk: Debian trees, kernel modules, headers, ext4 image and initramfs.

Everything here takes paths and writes files; nothing is cached and no guest is started (see
`node_image`). A tree belongs to root, so the steps that make or change one run as root, through
sudo where we are not. What Python itself adds is first laid out in a staging directory, then copied
into the tree with root as its owner.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from schedcp_lab.debian import TARGET_SUITE
from schedcp_lab.errors import ToolMissing
from schedcp_lab.processes import run, run_as_root
from schedcp_lab.toolchain import is_static

INSTALL_TIMEOUT_SECONDS = 900.0
TREE_TIMEOUT_SECONDS = 300.0

NODE_PACKAGES = (
    "bpftool",
    "busybox-static",
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "ethtool",
    "iproute2",
    "iptables",
    "kmod",
    "libelf1t64",
    "mount",
    "procps",
    "python3-bpfcc",
    "python3-minimal",
    "runc",
)
"""What a node needs beside Debian's essential packages."""

NODE_MODULES = (
    "virtio_pci",
    "virtio_net",
    "virtio_rng",
    "overlay",
    "veth",
    "bridge",
    "br_netfilter",
    "nf_conntrack",
    "nft_compat",
    "nft_chain_nat",
    "xt_comment",
    "xt_conntrack",
    "xt_MASQUERADE",
    "xt_mark",
    "xt_addrtype",
    "xt_nat",
    "xt_tcpudp",
    "xt_multiport",
    "xt_statistic",
)
"""Loaded at boot, in this order; one that is built in or does not exist is left out."""

INITRAMFS_MODULES = ("virtio_pci", "virtio_blk", "ext4")
"""What stands between the kernel and the root disk."""

_UNUSED_PATHS = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
_NEWC_ALIGN = 4


def debootstrap(
    target: Path,
    *,
    sources: Path,
    variant: str,
    packages: Iterable[str] = (),
    apt_options: Iterable[str] = (),
    suite: str = TARGET_SUITE,
) -> None:
    """Install a Debian system into the tar archive or directory `target`.

    `sources` is a file of `deb` lines. `apt_options`, such as a proxy, stay in the tree's own apt
    configuration.
    """
    command = ["mmdebstrap", f"--variant={variant}", "--mode=root"]
    if names := ",".join(sorted(packages)):
        command.append(f"--include={names}")
    for option in ('APT::Install-Recommends "false"', *apt_options):
        command.append(f"--aptopt={option}")
    for pattern in _UNUSED_PATHS:
        command.append(f"--dpkgopt=path-exclude={pattern}")
    command += [suite, str(target), str(sources)]
    run_as_root(command, timeout_seconds=INSTALL_TIMEOUT_SECONDS)


def unpack(archive: Path, tree: Path) -> None:
    """Unpack a tree's tar archive with owners, links and extended attributes as they were."""
    tree.mkdir(parents=True, exist_ok=True)
    command = ["tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
    run_as_root(
        [*command, "--file", str(archive), "--directory", str(tree)],
        timeout_seconds=TREE_TIMEOUT_SECONDS,
    )


def overlay(staging: Path, tree: Path) -> None:
    """Copy what lies in `staging` into `tree`; root owns the copies."""
    command = ["cp", "--recursive", "--no-dereference", "--preserve=mode,timestamps,links"]
    run_as_root([*command, f"{staging}/.", f"{tree}/"], timeout_seconds=TREE_TIMEOUT_SECONDS)


def remove_tree(tree: Path) -> None:
    """Remove a tree that root owns; one that is not there is fine."""
    run_as_root(
        ["rm", "--recursive", "--force", "--one-file-system", str(tree)],
        timeout_seconds=TREE_TIMEOUT_SECONDS,
    )


def kernel_release(kernel: Path) -> str:
    """The release name of a kernel bundle."""
    return (kernel / "release").read_text(encoding="utf-8").strip()


def module_directory(kernel: Path) -> Path:
    """Where a kernel bundle keeps its modules."""
    return kernel / "modules" / "lib" / "modules" / kernel_release(kernel)


def module_closure(modules: Path, names: Iterable[str]) -> list[Path]:
    """The module files that `names` need, each after those it depends on, relative to `modules`.

    Reads `modules.dep`. A name without a file is built in, or the kernel does not have it, and is
    left out: the guest says at boot which modules were missing.
    """
    files: dict[str, Path] = {}
    needs: dict[Path, list[Path]] = {}
    for line in (modules / "modules.dep").read_text(encoding="utf-8").splitlines():
        file, _, dependencies = line.partition(":")
        path = Path(file)
        files[_module_name(path)] = path
        needs[path] = [Path(name) for name in dependencies.split()]
    ordered: dict[Path, None] = {}
    for name in names:
        path_of_name = files.get(name.replace("-", "_"))
        if path_of_name is not None:
            # modules.dep lists the nearest dependency first; load the farthest first.
            for path in (*reversed(needs[path_of_name]), path_of_name):
                ordered.setdefault(path, None)
    return list(ordered)


def _module_name(path: Path) -> str:
    return path.name.split(".ko", 1)[0].replace("-", "_")


def stage_modules(kernel: Path, staging: Path, names: Sequence[str] = NODE_MODULES) -> None:
    """Lay the modules' closure out below `staging`, indexed, with the list to load at boot."""
    source = module_directory(kernel)
    target = staging / "usr" / "lib" / "modules" / kernel_release(kernel)
    target.mkdir(parents=True, exist_ok=True)
    for path in module_closure(source, names):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / path, target / path)
    for index in source.glob("modules.builtin*"):
        shutil.copy2(index, target / index.name)
    for index_name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        (target / index_name).touch()
    run(
        ["depmod", "--basedir", staging / "usr", kernel_release(kernel)],
        timeout_seconds=TREE_TIMEOUT_SECONDS,
    )
    listing = staging / "etc" / "schedcp-node" / "modules"
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text("\n".join(names) + "\n", encoding="utf-8")


def stage_headers(kernel: Path, staging: Path) -> bool:
    """Lay the headers out below `staging`, where bcc looks; False when the bundle has none."""
    headers = kernel / "headers"
    if not headers.is_dir():
        return False
    for relative in ("usr/src", "usr/lib/modules", "lib/modules"):
        source = headers / relative
        if not source.is_dir() or source.is_symlink():
            continue
        target = staging / ("usr/lib/modules" if relative.endswith("lib/modules") else relative)
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    return True


def make_ext4(tree: Path, image: Path, *, size_mebibytes: int) -> None:
    """Make an ext4 image of `tree`, without a journal: a node's changes are thrown away."""
    run_as_root(
        [
            *("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-L", "schedcp"),
            *("-E", "root_owner=0:0", "-d", str(tree), str(image), f"{size_mebibytes}M"),
        ],
        timeout_seconds=TREE_TIMEOUT_SECONDS,
    )


def make_initramfs(
    kernel: Path,
    target: Path,
    *,
    busybox: Path,
    init: bytes,
    modules: Sequence[str] = INITRAMFS_MODULES,
) -> None:
    """Write an initramfs (newc) of busybox, `init` and the modules that the root disk needs."""
    source = module_directory(kernel)
    paths = module_closure(source, modules)
    folder = (stat.S_IFDIR | 0o755, b"")
    files = dict.fromkeys(("bin", "dev", "modules", "root"), folder)
    files["bin/busybox"] = (stat.S_IFREG | 0o755, busybox.read_bytes())
    files["init"] = (stat.S_IFREG | 0o755, init)
    order = [f"/modules/{path.name}" for path in paths]
    files["modules.order"] = (stat.S_IFREG | 0o644, ("\n".join(order) + "\n").encode())
    for path in paths:
        files[f"modules/{path.name}"] = (stat.S_IFREG | 0o644, (source / path).read_bytes())
    target.write_bytes(newc_archive(files))


def newc_archive(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Pack `{path: (mode, content)}` as a `newc` cpio archive, the same bytes every time."""
    archive = bytearray()
    entries = [*files.items(), ("TRAILER!!!", (0, b""))]
    for number, (name, (mode, content)) in enumerate(entries, start=1):
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        _pad(archive)
        archive += content
        _pad(archive)
    return bytes(archive)


def _pad(archive: bytearray) -> None:
    archive += bytes(-len(archive) % _NEWC_ALIGN)


def find_busybox(which: Callable[[str], str | None] = shutil.which) -> Path:
    """The host's static busybox; the initramfs has no libraries."""
    found = which("busybox")
    if found is None:
        raise ToolMissing("busybox is not installed: install Debian's busybox-static")
    if not is_static(Path(found)):
        raise ToolMissing(f"{found} needs libraries: install Debian's busybox-static instead of it")
    return Path(found)
