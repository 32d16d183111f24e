"""The Build stage: clang in a narrow room, so that equal source and kernel give an equal object.

The compiler sees one folder that holds the source and links to the kernel's types, our headers and
libbpf's; it has no other include path, no environment, bounded time, memory and file size, and no
network where the machine can take it away.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schedcp_api.base import digest_of
from schedcp_api.verdicts import Check, Stage

from .checks import bounded, failed, passed, warning
from .errors import CommandFailed, ToolMissing
from .kernels import KernelBundle
from .processes import Completed, Limits, network_isolation, run

__all__ = ["BuildRoom", "Built", "Toolchain"]

_BUILD_SECONDS = 60.0
_FLAGS = (
    *("-g", "-O2", "-target", "bpf", "-mcpu=v4", "-nostdinc"),
    *("-Wall", "-Werror=constant-conversion", "-Werror=implicit-function-declaration"),
    # BTF of 7.x kernels uses anonymous tagged members, which need this to have a layout.
    *("-fms-extensions", "-Wno-microsoft-anon-tag"),
    *("-fno-color-diagnostics", "-ferror-limit=20", "-fdebug-compilation-dir=."),
    *("-Ikernel", "-Iinclude", "-isystem", "libbpf"),
)
_DIAGNOSTIC = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+):\d+: (?P<kind>fatal error|error|warning): (?P<text>.*)$",
    re.MULTILINE,
)
_HINTS = (
    ("undeclared", "is it in this kernel's vmlinux.h, or misspelt?"),
    ("file not found", "only vmlinux.h, <bpf/bpf_*.h> and our schedcp/ headers are there"),
    ("changes value", "a 64-bit constant needs a u64"),
    ("incompatible function pointer", "compare the operation's arguments with vmlinux.h"),
    ("no member named", "this kernel's struct has no such member; see vmlinux.h"),
    ("redefinition", "vmlinux.h has it already; drop your own"),
)


@dataclass(frozen=True)
class Toolchain:
    """The tools and headers that a build takes from the machine."""

    clang: str
    strip: str
    libbpf_headers: Path
    """The folder that holds `bpf_helpers.h`."""
    schedcp_headers: Path
    """The folder that holds `schedcp/`."""


@dataclass(frozen=True)
class Built:
    """What came of a build: the object, unless some check failed."""

    checks: tuple[Check, ...]
    object: bytes | None = None


class BuildRoom:
    """The folder in which one candidate is preprocessed and compiled."""

    def __init__(self, folder: Path, source_name: str, tools: Toolchain) -> None:
        self._folder = folder
        self._source_name = source_name
        self._tools = tools

    @classmethod
    @contextmanager
    def prepared(
        cls, source: bytes, source_name: str, *, kernel: KernelBundle, tools: Toolchain
    ) -> Iterator[BuildRoom]:
        """Yield a room with the source in it; the room is gone afterwards."""
        if not (tools.libbpf_headers / "bpf_helpers.h").is_file():
            raise ToolMissing(
                f"no bpf_helpers.h in {tools.libbpf_headers}; install libbpf-dev 1.4 or newer"
            )
        with tempfile.TemporaryDirectory(prefix="schedcp-build-") as name:
            folder = Path(name)
            (folder / source_name).write_bytes(source)
            for link in ("kernel", "libbpf"):
                (folder / link).mkdir()
            (folder / "kernel/vmlinux.h").symlink_to(kernel.vmlinux_h)
            (folder / "libbpf/bpf").symlink_to(tools.libbpf_headers)
            (folder / "include").symlink_to(tools.schedcp_headers)
            yield cls(folder, source_name, tools)

    def _clang(self, *arguments: str) -> Completed:
        command = [self._tools.clang, *_FLAGS, *arguments, self._source_name]
        return run(
            [*network_isolation(), *Limits().wrap(command)],
            timeout_seconds=_BUILD_SECONDS,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            cwd=self._folder,
            check=False,
        )

    def preprocess(self) -> tuple[bytes, tuple[Check, ...]]:
        """Return the preprocessed text, and a failed check when there is none."""
        done = self._clang("-E")
        if done.returncode != 0:
            return b"", (_failure(done),)
        return done.stdout, ()

    def compile(self) -> Built:
        """Return the object without debug sections (BTF stays), or why there is none."""
        done = self._clang("-c", "-o", "object.o", "-MD", "-MF", "files.d")
        if done.returncode != 0:
            return Built((_failure(done),))
        strangers = self._files_from_elsewhere()
        if strangers:
            return Built(
                (
                    failed(
                        "build", Stage.BUILD, f"the build read files of its own choice: {strangers}"
                    ),
                )
            )
        run(
            [*Limits().wrap([self._tools.strip, "--strip-debug", "object.o"])],
            timeout_seconds=_BUILD_SECONDS,
            cwd=self._folder,
        )
        data = (self._folder / "object.o").read_bytes()
        return Built((_success(done, data),), data)

    def _files_from_elsewhere(self) -> str:
        """Name the files that were read outside of the room's folders."""
        words = (self._folder / "files.d").read_text().replace("\\\n", " ").split()
        read = [word for word in words if not word.endswith(":")]
        allowed = (self._source_name, "kernel/", "include/", "libbpf/")
        return ", ".join(
            word for word in read if not word.startswith(allowed) or ".." in word.split("/")
        )


def _success(done: Completed, data: bytes) -> Check:
    words = [_shown(found) for found in _diagnostics(done, "warning")]
    evidence = {
        "digest": digest_of(data),
        "bytes": len(data),
        "network": "isolated" if network_isolation() else "not isolated on this machine",
    }
    if words:
        return warning("build", Stage.BUILD, f"compiled with warnings: {words[0]}", **evidence)
    return passed("build", Stage.BUILD, "compiled without warnings", **evidence)


def _failure(done: Completed) -> Check:
    """Return the compiler's complaints; raise CommandFailed when the source is not to blame."""
    errors = _diagnostics(done, "error")
    if not errors:
        said = bounded(done.stderr.decode(errors="replace"), 1500)
        if done.returncode < 0 or done.returncode > 128 or "memory" in said:
            return failed(
                "build",
                Stage.BUILD,
                f"the compiler used more than it may (status {done.returncode}): {said}",
            )
        raise CommandFailed(f"{done.argv[0]} ended with status {done.returncode}\n{said}")
    first = _shown(errors[0])
    hint = next((hint for words, hint in _HINTS if words in first), "")
    return failed(
        "build",
        Stage.BUILD,
        f"{first}{f' ({hint})' if hint else ''}",
        errors=[_shown(found) for found in errors[:16]],
    )


def _diagnostics(done: Completed, kind: str) -> list[re.Match[str]]:
    text = done.stderr.decode(errors="replace")
    return [found for found in _DIAGNOSTIC.finditer(text) if found["kind"].endswith(kind)]


def _shown(found: re.Match[str]) -> str:
    return f"{found['file']}:{found['line']}: {found['text']}"
