"""Kernel modules in the right order, and an initramfs that the kernel can read."""

import stat
from pathlib import Path

import pytest

from schedcp_lab.rootfs import module_closure, newc_archive, stage_headers

MODULES_DEP = """\
kernel/net/veth.ko:
kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko
kernel/net/802/stp.ko: kernel/net/llc/llc.ko
kernel/net/llc/llc.ko:
kernel/net/bridge/br_netfilter.ko: kernel/net/bridge/bridge.ko kernel/net/802/stp.ko \
kernel/net/llc/llc.ko
kernel/net/x-tables.ko.xz:
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    (tmp_path / "modules.dep").write_text(MODULES_DEP)
    return tmp_path


def test_a_module_comes_after_what_it_needs(modules: Path) -> None:
    names = [path.name for path in module_closure(modules, ["br_netfilter"])]
    assert names == ["llc.ko", "stp.ko", "bridge.ko", "br_netfilter.ko"]


def test_a_module_that_several_need_is_listed_once(modules: Path) -> None:
    names = [path.name for path in module_closure(modules, ["bridge", "br_netfilter", "veth"])]
    assert names == ["llc.ko", "stp.ko", "bridge.ko", "br_netfilter.ko", "veth.ko"]


def test_a_module_without_a_file_is_left_out(modules: Path) -> None:
    assert module_closure(modules, ["ext4", "veth"]) == [Path("kernel/net/veth.ko")]


def test_dash_and_underscore_name_the_same_module(modules: Path) -> None:
    assert module_closure(modules, ["x_tables"]) == module_closure(modules, ["x-tables"])
    assert module_closure(modules, ["x_tables"]) == [Path("kernel/net/x-tables.ko.xz")]


def test_headers_of_a_bundle_come_to_where_bcc_looks(tmp_path: Path) -> None:
    bundle, staging = tmp_path / "bundle", tmp_path / "staging"
    source = bundle / "headers/usr/src/linux-headers-1"
    source.mkdir(parents=True)
    (source / "Makefile").write_text("all:\n")
    links = bundle / "headers/lib/modules/1"
    links.mkdir(parents=True)
    (links / "build").symlink_to("/usr/src/linux-headers-1")
    assert stage_headers(bundle, staging)
    assert (staging / "usr/src/linux-headers-1/Makefile").read_text() == "all:\n"
    link = staging / "usr/lib/modules/1/build"
    assert link.readlink() == Path("/usr/src/linux-headers-1")


def test_a_bundle_without_headers_says_so(tmp_path: Path) -> None:
    assert not stage_headers(tmp_path, tmp_path / "staging")


FILES = {
    "bin": (stat.S_IFDIR | 0o755, b""),
    "bin/tool": (stat.S_IFREG | 0o755, b"\x7fELF" + bytes(range(7))),
    "empty": (stat.S_IFREG | 0o600, b""),
}


def read_newc(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Read an archive back, by the kernel's documentation of the format."""
    entries: dict[str, tuple[int, bytes]] = {}
    offset = 0
    while True:
        header = archive[offset : offset + 110]
        assert header[:6] == b"070701"
        fields = [int(header[6 + 8 * i : 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = archive[offset + 110 : offset + 110 + name_size - 1].decode()
        offset = (offset + 110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return entries
        entries[name] = (mode, archive[offset : offset + size])
        offset = (offset + size + 3) // 4 * 4


def test_an_archive_holds_what_was_put_in() -> None:
    assert read_newc(newc_archive(FILES)) == FILES


def test_an_archive_is_the_same_every_time() -> None:
    assert newc_archive(FILES) == newc_archive(dict(FILES))
