"""The host's programs that the lab needs, and how to have them: apt packages of the host's release.

What is there already is left alone. A tool that the release has only in a version too old comes
from the release's backports. Debian starts the services of some packages when it installs them; the
lab starts its own, so those that arrive by its doing are switched off again.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from schedcp_lab.cache import Cache
from schedcp_lab.debian import Debian, version_key
from schedcp_lab.errors import LabError, PackageUnavailable, ToolMissing
from schedcp_lab.processes import environment, run, run_as_root

__all__ = [
    "HOST_TOOLS",
    "NODE_TOOLS",
    "STOCK_TOOLS",
    "HostTool",
    "ensure_host_tools",
    "find_first",
    "find_go",
    "find_program",
    "go_environment",
    "is_static",
    "missing_tools",
    "remove_go_files",
]

GO_MINIMUM = (1, 23)
"""The first Go that fetches a newer toolchain as a module when a go.mod asks for one."""

PROBE_TIMEOUT_SECONDS = 60.0
SYSTEMD = Path("/run/systemd/system")


@dataclass(frozen=True)
class HostTool:
    """One package, and the program or file by which its presence is known."""

    package: str
    probe: str
    minimum: tuple[int, ...] = ()
    version_arguments: tuple[str, ...] = ("--version",)
    service: str | None = None
    static: bool = False
    """The program must need no libraries: it runs in guests that have none."""
    formerly: str = ""
    """Where an older release has the file."""
    alternative: str = ""
    """Another package of the same program, where the first is too old."""
    variable: str = ""
    """Of the environment: may name a folder that has the program."""


HOST_TOOLS: tuple[HostTool, ...] = (
    HostTool("qemu-system-x86", "qemu-system-x86_64", (10, 0)),
    HostTool("qemu-utils", "qemu-img", (10, 0)),
    HostTool(
        "ipxe-qemu",
        "/usr/share/qemu/efi-virtio.rom",
        formerly="/usr/lib/ipxe/qemu/efi-virtio.rom",
    ),
    HostTool("clang-19", "clang-19"),
    HostTool("llvm-19", "llvm-objdump-19"),
    HostTool("clang-format-19", "clang-format-19"),
    HostTool("bpftool", "bpftool", (7, 5), ("version",)),
    HostTool("libbpf-dev", "pkg-config:libbpf", (1, 4)),
    HostTool("libelf-dev", "/usr/include/libelf.h"),
    HostTool("zlib1g-dev", "/usr/include/zlib.h"),
    HostTool("libzstd-dev", "/usr/include/zstd.h"),
    HostTool("pkg-config", "pkg-config"),
    HostTool("gcc", "gcc"),
    HostTool("libc6-dev", "/usr/include/stdio.h"),
    HostTool("make", "make"),
    HostTool("etcd-server", "etcd", service="etcd", variable="KUBEBUILDER_ASSETS"),
    HostTool("prometheus", "prometheus", service="prometheus"),
    HostTool("redis-server", "redis-server", service="redis-server"),
    HostTool("buildah", "buildah"),
    # Debian 13's buildah asks for it by name, although no build here has a network.
    HostTool("netavark", "/usr/lib/podman/netavark"),
    HostTool("mmdebstrap", "mmdebstrap"),
    HostTool("uidmap", "newuidmap"),
    HostTool("busybox-static", "busybox", static=True),
    HostTool("cpio", "cpio"),
    HostTool("xz-utils", "xz"),
    HostTool("zstd", "zstd"),
    HostTool("kmod", "depmod"),
    HostTool("e2fsprogs", "mke2fs"),
    HostTool("python3-bpfcc", "/usr/lib/python3/dist-packages/bcc/__init__.py"),
)
"""In the order in which they are reported when missing."""

GO_TOOL = HostTool("golang-go", "go", GO_MINIMUM, ("version",))

RUST_MINIMUM = (1, 91)
"""What the pinned crates of `schedulers/manifests` ask for."""
STOCK_TOOLS: tuple[HostTool, ...] = (
    HostTool("rustc", "rustc", RUST_MINIMUM, alternative="rustc-web"),
    HostTool("cargo", "cargo", RUST_MINIMUM, alternative="cargo-web"),
    HostTool("clang-19", "clang-19"),
    HostTool("llvm-19", "llvm-strip-19"),
    HostTool("libclang-19-dev", "/usr/lib/llvm-19/lib/libclang.so"),
    HostTool("libelf-dev", "/usr/include/libelf.h"),
    HostTool("zlib1g-dev", "/usr/include/zlib.h"),
    HostTool("libseccomp-dev", "/usr/include/seccomp.h"),
    HostTool("protobuf-compiler", "protoc"),
    HostTool("pkg-config", "pkg-config"),
    HostTool("gcc", "gcc"),
    HostTool("make", "make"),
)
"""What the stock schedulers are built with; the lab itself does without."""

NODE_TOOLS: tuple[HostTool, ...] = (
    HostTool("containerd", "containerd", service="containerd"),
    HostTool("runc", "runc"),
    HostTool("containernetworking-plugins", "/usr/lib/cni/ptp"),
    HostTool("iproute2", "ip"),
)
"""What this machine itself needs to be a node; the lab's nodes bring their own."""


def find_program(name: str, *, path: str | None = None) -> Path | None:
    """Return where a program lies, the administrator's folders included, or None."""
    where = environment()["PATH"] if path is None else path
    found = shutil.which(name, path=where)
    return None if found is None else Path(found)


def find_first(name: str, *paths: str) -> Path | None:
    """Return where a program lies in the first of some search paths that has it, or None."""
    found = (find_program(name, path=path) for path in paths if path)
    return next((program for program in found if program), None)


def is_static(program: Path) -> bool:
    """Say whether a file is an ELF program that asks for no dynamic loader."""
    with program.open("rb") as stream:
        try:
            elf = ELFFile(stream)
        except ELFError:
            return False
        return all(segment["p_type"] != "PT_INTERP" for segment in elf.iter_segments())


def find_go() -> Path | None:
    """Return a Go that is new enough to fetch the toolchain a module asks for, or None."""
    return None if _is_missing(GO_TOOL) else find_program("go")


def missing_tools(tools: Sequence[HostTool] = HOST_TOOLS) -> list[HostTool]:
    """Return the tools that are absent or too old."""
    return [tool for tool in tools if _is_missing(tool)]


def ensure_host_tools(
    cache: Cache,
    tools: Sequence[HostTool] = HOST_TOOLS,
    *,
    report: Callable[[str], None] = print,
) -> None:
    """Install what is missing of `tools`; raise ToolMissing for what is missing even so."""
    missing = missing_tools(tools)
    if not missing:
        return
    report(f"host tools: installing {', '.join(tool.package for tool in missing)}")
    debian = Debian.open(cache, report=report)
    debian.host.update()
    plain, backports = _split(debian, missing)
    debian.install_host(plain, from_backports=backports)
    _switch_off_services(missing)
    still = missing_tools(missing)
    if still:
        raise ToolMissing(
            f"installed, but still absent, too old or not static: "
            f"{', '.join(t.package for t in still)}; another program of the same name may lie "
            "earlier on PATH"
        )


def _split(debian: Debian, tools: Sequence[HostTool]) -> tuple[list[str], list[str]]:
    """Divide packages into those of the release itself and those to take from its backports."""
    plain: list[str] = []
    backports: list[str] = []
    suite = f"{debian.mirror.codename}-backports"
    for tool in tools:
        for package, origin, chosen in (
            (package, origin, chosen)
            for package in filter(None, (tool.package, tool.alternative))
            for origin, chosen in ((None, plain), (suite, backports))
        ):
            version = debian.host.candidate(package, suite=origin)
            if version is not None and _upstream(version) >= tool.minimum:
                chosen.append(package)
                break
        else:
            raise PackageUnavailable(
                f"neither {debian.mirror.codename} nor its backports have {tool.package} "
                f"{'.'.join(map(str, tool.minimum))} or newer"
            )
    return plain, backports


def _upstream(version: str) -> tuple[int, ...]:
    """Return the numbers of a Debian version, without epoch and packaging revision."""
    return version_key(version.split(":", 1)[-1].split("-")[0].split("+")[0].split("~")[0])


def _is_missing(tool: HostTool) -> bool:
    if tool.probe.startswith("pkg-config:"):
        return _pkg_config_lacks(tool)
    if tool.probe.startswith("/"):
        return not any(Path(path).exists() for path in (tool.probe, tool.formerly) if path)
    folder = os.environ.get(tool.variable, "") if tool.variable else ""
    program = find_first(tool.probe, folder, environment()["PATH"])
    if program is None or (tool.static and not is_static(program)):
        return True
    return bool(tool.minimum) and _version_of(program, tool.version_arguments) < tool.minimum


def _pkg_config_lacks(tool: HostTool) -> bool:
    if find_program("pkg-config") is None:
        return True
    minimum = ".".join(map(str, tool.minimum))
    library = tool.probe.partition(":")[2]
    done = run(
        ["pkg-config", f"--atleast-version={minimum}", library],
        timeout_seconds=PROBE_TIMEOUT_SECONDS,
        check=False,
    )
    return done.returncode != 0


def _version_of(program: Path, arguments: Sequence[str]) -> tuple[int, ...]:
    """Return the first dotted version that a program prints; empty when it does not run."""
    try:
        done = run([program, *arguments], timeout_seconds=PROBE_TIMEOUT_SECONDS)
    except LabError:
        return ()
    found = re.search(r"\d+(?:\.\d+)+", done.stdout)
    return () if found is None else version_key(found.group(0))


def _switch_off_services(tools: Sequence[HostTool]) -> None:
    """Stop and disable the services that came with packages just installed, under systemd."""
    services = [tool.service for tool in tools if tool.service]
    if services and SYSTEMD.exists():
        run_as_root(
            ["systemctl", "disable", "--now", *services],
            timeout_seconds=PROBE_TIMEOUT_SECONDS,
            check=False,
        )


def go_environment(home: Path) -> dict[str, str]:
    """Return the environment for Go: the machine's settings, newer toolchains allowed, no cgo.

    All that Go fetches and compiles stays below `home`, which is an absolute path. Proxies,
    checksum databases and flags are the machine's, from variables and from `go env -w`.
    """
    places = {"GOPATH": home, "GOMODCACHE": home / "modules", "GOCACHE": home / "compiled"}
    return environment(
        {
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "auto",
            **{name: str(place) for name, place in places.items()},
        }
    )


def remove_go_files(folder: Path) -> None:
    """Remove a folder of Go's, if it is there; not all that Go fetches may be written."""
    if not folder.exists():
        return
    folder.chmod(0o755)
    for parent, names, _files in os.walk(folder):
        for name in names:
            if not (path := Path(parent, name)).is_symlink():
                path.chmod(0o755)
    shutil.rmtree(folder)
