"""The disk that every node starts from: Debian, kubelet, kernel modules, headers, baked images.

Three artefacts of the cache: the Debian tree as a tar (slow to make, seldom changes), the disk as a
qcow2 that nodes lay their own overlay on, and the kernel with its initramfs. Images are imported
into containerd's store while the disk is made: in an emulated guest that takes minutes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schedcp_lab import rootfs
from schedcp_lab.cache import Cache, contents_digest, digest_file, digest_text
from schedcp_lab.debian import Debian
from schedcp_lab.images import NODE_FILES, apt_proxy_options, image_digest, target_lines
from schedcp_lab.kernels import bundle_release
from schedcp_lab.processes import run, run_as_root
from schedcp_lab.rootfs import (
    INITRAMFS_MODULES,
    NODE_MODULES,
    NODE_PACKAGES,
    debootstrap,
    find_busybox,
    make_ext4,
    make_initramfs,
    overlay,
    stage_headers,
    stage_modules,
    unpack,
)
from schedcp_lab.workspaces import workspace

__all__ = ["NodeImage", "ensure_node_image"]

DISK_MEBIBYTES = 6144
IMPORT_TIMEOUT_SECONDS = 600.0
CONVERT_TIMEOUT_SECONDS = 300.0
RECIPE = digest_text(digest_file(Path(__file__)) + digest_file(Path(rootfs.__file__)))
"""Of the code that makes the image: what it made differently is made anew."""
EMPTY_FOLDERS = ("etc/schedcp-node/config", "var/lib/kubelet", "var/log/pods", "opt/cni/bin")


@dataclass(frozen=True)
class NodeImage:
    """What a node boots from; all of it is read-only and shared between nodes."""

    release: str
    vmlinuz: Path
    initramfs: Path
    disk: Path


def ensure_node_image(
    cache: Cache, debian: Debian, *, kernel: Path, kubelet: Path, images: Sequence[Path]
) -> NodeImage:
    """Return the node image of a kernel bundle, a kubelet and images; make what is missing.

    `images` are directories that `schedcp_lab.images` returned; the pause image must be among them.
    """
    release = bundle_release(kernel)
    files = {path.name: digest_file(path) for path in sorted(NODE_FILES.iterdir())}
    tree = _debian_tree(cache, debian)
    busybox = find_busybox()
    inputs = {
        "recipe": RECIPE,
        "busybox": digest_file(busybox),
        "tree": (tree / "digest").read_text(),
        "kernel": contents_digest(kernel),
        "modules": " ".join((*NODE_MODULES, *INITRAMFS_MODULES)),
        "kubelet": digest_file(kubelet),
        "images": " ".join(sorted(image_digest(image) for image in images)),
        "files": digest_text(repr(sorted(files.items()))),
        "size": str(DISK_MEBIBYTES),
    }

    def build(folder: Path) -> None:
        make_initramfs(
            kernel,
            folder / "initramfs",
            busybox=busybox,
            init=(NODE_FILES / "initramfs-init").read_bytes(),
        )
        shutil.copyfile(kernel / "vmlinuz", folder / "vmlinuz")
        _make_disk(cache, tree / "tree.tar", folder / "disk.qcow2", _Parts(kernel, kubelet, images))

    made = cache.artefact(f"node-images/{release}", inputs, build)
    return NodeImage(
        release=release,
        vmlinuz=made / "vmlinuz",
        initramfs=made / "initramfs",
        disk=made / "disk.qcow2",
    )


@dataclass(frozen=True)
class _Parts:
    """What is added to the Debian tree."""

    kernel: Path
    kubelet: Path
    images: Sequence[Path]


def _debian_tree(cache: Cache, debian: Debian) -> Path:
    sources = target_lines(debian)
    options = apt_proxy_options()
    inputs = {
        "recipe": digest_file(Path(rootfs.__file__)),
        "sources": "\n".join(sources),
        "options": "\n".join(options),
        "packages": " ".join(NODE_PACKAGES),
    }

    def build(folder: Path) -> None:
        with workspace(cache, "tree") as work:
            listing = work / "node.list"
            listing.write_text("\n".join(sources) + "\n")
            debootstrap(
                folder / "tree.tar",
                sources=listing,
                variant="essential",
                packages=NODE_PACKAGES,
                apt_options=options,
            )
        (folder / "digest").write_text(digest_file(folder / "tree.tar"))

    return cache.artefact("node-images/debian-tree", inputs, build)


def _make_disk(cache: Cache, archive: Path, disk: Path, parts: _Parts) -> None:
    with workspace(cache, "node") as work:
        tree = work / "tree"
        staging = work / "staging"
        unpack(archive, tree)
        _stage(parts, staging)
        overlay(staging, tree)
        _import_images(tree, work / "archives", parts.images)
        make_ext4(tree, work / "disk.raw", size_mebibytes=DISK_MEBIBYTES)
        run(
            ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", work / "disk.raw", disk],
            timeout_seconds=CONVERT_TIMEOUT_SECONDS,
        )


def _stage(parts: _Parts, staging: Path) -> None:
    """Lay out everything that is not from Debian's packages."""
    for name in EMPTY_FOLDERS:
        (staging / name).mkdir(parents=True)
    stage_modules(parts.kernel, staging)
    stage_headers(parts.kernel, staging)
    places = {
        "init": "usr/lib/schedcp/init",
        "containerd.toml": "etc/containerd/config.toml",
        "import.toml": "etc/containerd/import.toml",
        "10-schedcp.conflist.in": "etc/cni/net.d/10-schedcp.conflist.in",
    }
    for name, place in places.items():
        _place(NODE_FILES / name, staging / place)
    _place(parts.kubelet, staging / "usr/bin/kubelet")
    _place(parts.kernel / "config", staging / f"boot/config-{bundle_release(parts.kernel)}")


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _import_images(tree: Path, archives: Path, images: Sequence[Path]) -> None:
    """Import image archives into the tree's containerd store, with the tree's own containerd."""
    archives.mkdir()
    for number, image in enumerate(images):
        shutil.copyfile(image / "image.tar", archives / f"{number:02}.tar")
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    script = str(NODE_FILES / "import-images")
    run_as_root(
        [*namespaces, script, str(tree), str(archives)],
        timeout_seconds=IMPORT_TIMEOUT_SECONDS,
    )
