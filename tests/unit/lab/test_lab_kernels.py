import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from schedcp_lab.cache import Cache
from schedcp_lab.debian import Debian
from schedcp_lab.errors import CommandFailed, KernelUnsuitable
from schedcp_lab.kernels import (
    BUNDLE_FILES,
    ensure_kernel,
    require_headers,
    update_lists,
)
from schedcp_lab.vmlinuz import boots_unpacked, btf_of, unpacked


def elf_with_section(name: bytes, body: bytes) -> bytes:
    """A 64-bit ELF file with a null section, the named one, and the section names."""
    names = b"\0" + name + b"\0.shstrtab\0"
    data = body + names
    table = 64 + len(data)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    rows = [
        bytes(64),
        struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, 64, len(body), 0, 0, 1, 0),
        struct.pack("<IIQQQQIIQQ", len(name) + 2, 3, 0, 0, 64 + len(body), len(names), 0, 0, 1, 0),
    ]
    return header + data + b"".join(rows)


def bzimage(payload: bytes) -> bytes:
    """A bzImage whose payload begins 32 bytes into its protected-mode part."""
    image = bytearray(2 * 512 + 32)
    image[0x1F1] = 1
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 32, len(payload))
    return bytes(image) + payload + b"trailing"


@pytest.mark.parametrize(
    "compress", [gzip.compress, lambda elf: lzma.compress(elf, check=lzma.CHECK_CRC32)]
)
def test_btf_is_cut_out_of_the_compressed_image(compress: Callable[[bytes], bytes]) -> None:
    elf = elf_with_section(b".BTF", b"types of a kernel")
    image = bzimage(compress(elf) + struct.pack("<I", len(elf)))
    assert btf_of(unpacked(image)) == b"types of a kernel"


def note(owner: bytes, kind: int, body: bytes) -> bytes:
    return struct.pack("<III", len(owner), len(body), kind) + owner + body


@pytest.mark.parametrize(
    ("section", "notes", "boots"),
    [
        (b".notes", note(b"GNU\0", 3, b"id") + b"\0\0" + note(b"Xen\0", 18, bytes(8)), True),
        (b".notes", note(b"GNU\0", 18, bytes(8)) + note(b"Xen\0", 1, bytes(4)), False),
        (b".notes", note(b"Xen\0", 18, b"")[:-1], False),
        (b".BTF", note(b"Xen\0", 18, bytes(8)), False),
    ],
)
def test_a_kernel_boots_unpacked_where_it_tells_its_entry(
    section: bytes, notes: bytes, *, boots: bool
) -> None:
    assert boots_unpacked(elf_with_section(section, notes)) == boots


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"\x7fELF" + bytes(2000), "no x86 bzImage"),
        (bzimage(b"\x01\x02\x03\x04size"), "unknown packing"),
        (bzimage(gzip.compress(b"not an ELF file") + b"size"), "no 64-bit little-endian ELF"),
        (
            bzimage(gzip.compress(elf_with_section(b".text", b"x")) + b"size"),
            "CONFIG_DEBUG_INFO_BTF",
        ),
    ],
)
def test_an_image_that_cannot_serve_says_why(image: bytes, message: str) -> None:
    with pytest.raises(KernelUnsuitable, match=message):
        btf_of(unpacked(image))


def bundle(folder: Path, types: str) -> Path:
    folder.mkdir()
    for name in BUNDLE_FILES:
        (folder / name).write_text("7.3.4\n")
    (folder / "vmlinux.h").write_text(types)
    return folder


SCHED_EXT = "struct sched_ext_ops {\n};\nextern void scx_bpf_kick_cpu(s32 cpu) __weak __ksym;\n"


@pytest.mark.parametrize("types", [SCHED_EXT, SCHED_EXT.replace("__weak ", "")])
def test_the_users_bundle_comes_first_and_lies_where_everything_looks(
    tmp_path: Path, types: str
) -> None:
    mine = bundle(tmp_path / "mine", types)
    (mine / "headers").mkdir()
    (mine / "headers" / "link").symlink_to("../config")
    cache = Cache(tmp_path / "cache")
    found = ensure_kernel(cache, environ={"SCHEDCP_KERNEL": str(mine)})
    assert found == cache.root / "kernels" / "7.3.4"
    assert (found / "vmlinux.h").read_text() == types
    assert (found / "headers" / "link").readlink() == Path("../config")
    require_headers(found)
    (mine / "headers" / "new").write_text("")
    assert (ensure_kernel(cache, environ={"SCHEDCP_KERNEL": str(mine)}) / "headers/new").exists()
    assert ensure_kernel(cache, environ={"SCHEDCP_KERNEL": str(found)}) == found


def test_a_kernel_without_headers_runs_no_nodes(tmp_path: Path) -> None:
    with pytest.raises(KernelUnsuitable, match=r"7\.3\.4 can be verified against, and cannot run"):
        require_headers(bundle(tmp_path / "mine", SCHED_EXT))


@pytest.mark.parametrize(
    ("types", "message"),
    [("struct task_struct {};", "no sched_ext"), ("struct sched_ext_ops {\n};", "bpftool 7.5")],
)
def test_a_bundle_that_cannot_serve_is_refused(tmp_path: Path, types: str, message: str) -> None:
    mine = bundle(tmp_path / "mine", types)
    with pytest.raises(KernelUnsuitable, match=message):
        ensure_kernel(Cache(tmp_path), environ={"SCHEDCP_KERNEL": str(mine)})


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KernelUnsuitable, match=r"no kernel bundle.*vmlinuz"):
        ensure_kernel(Cache(tmp_path), environ={"SCHEDCP_KERNEL": str(tmp_path)})


def test_an_image_without_a_release_in_its_name_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "bzImage"
    image.write_bytes(b"")
    with pytest.raises(KernelUnsuitable, match="vmlinuz-RELEASE"):
        ensure_kernel(Cache(tmp_path), environ={"SCHEDCP_KERNEL": str(image)})


def test_an_image_without_its_modules_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "vmlinuz-0.0.0-absent"
    image.write_bytes(b"")
    with pytest.raises(KernelUnsuitable, match=r"0\.0\.0-absent; install the kernel's"):
        ensure_kernel(Cache(tmp_path), environ={"SCHEDCP_KERNEL": str(image)})


class MirrorAway:
    """A Debian whose lists cannot be fetched now."""

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)

    @property
    def target(self) -> "MirrorAway":
        return self

    def names(self, _prefix: str) -> frozenset[str]:
        return self._names

    def update(self) -> None:
        raise CommandFailed("apt-get update: no route to the mirror")


def test_yesterdays_lists_serve_while_the_mirror_is_away() -> None:
    said: list[str] = []
    update_lists(cast("Debian", MirrorAway("linux-base")), said.append)
    (line,) = said
    assert "used as they are" in line
    assert "no route to the mirror" in line


def test_without_any_lists_the_mirror_is_needed() -> None:
    with pytest.raises(CommandFailed, match="no route"):
        update_lists(cast("Debian", MirrorAway()), print)
