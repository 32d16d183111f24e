"""The Build stage: clang in a narrow room, so that equal source and kernel give an equal object.

The compiler sees one folder that holds the source and copies of the kernel's types, our headers and
libbpf's; it has no other include path, no environment, bounded time, memory and output. Where the
machine allows it there is no network, no folder with a secret, and nobody's rights.
"""

from __future__ import annotations

import os
import re
import shutil
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
from .processes import Completed, Isolation, Limits, isolation, run

__all__ = ["BuildRoom", "Built", "Toolchain"]

_BUILD_SECONDS = 60.0
_EXPANDED_BYTES = 4 * 1024**2
_TOO_MUCH = ("memory", "File too large", "LLVM ERROR", "frontend command failed")
"""What clang says when it runs into a limit, or breaks on what it was given."""
_REPRODUCIBLE = {"SOURCE_DATE_EPOCH": "0"}
_FLAGS = (
    *("-g", "-O2", "-target", "bpf", "-mcpu=v4", "-nostdinc"),
    *("-Wall", "-Werror=constant-conversion", "-Werror=implicit-function-declaration"),
    # BTF of 7.x kernels uses anonymous tagged members, which need this to have a layout.
    *("-fms-extensions", "-Wno-microsoft-anon-tag"),
    *(
        "-fno-color-diagnostics",
        "-fno-crash-diagnostics",
        "-ferror-limit=20",
        "-fdebug-compilation-dir=.",
    ),
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
    secrets: tuple[Path, ...] = ()
    """Folders that no compiler may read: the signing key's above all."""

    def fingerprint(self, kernel: KernelBundle) -> dict[str, str]:
        """Return digests of everything that a build takes from the machine."""
        headers = [*self.schedcp_headers.rglob("*.h"), *self.libbpf_headers.glob("*.h")]
        parts = {f"header {path}": digest_of(path.read_bytes()) for path in sorted(headers)}
        for tool in (self.clang, self.strip):
            said = run([tool, "--version"], timeout_seconds=_BUILD_SECONDS).stdout
            parts[f"tool {tool}"] = digest_of(said)
        return {**parts, "vmlinux.h": digest_of(kernel.vmlinux_h.read_bytes())}


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
        cls, source_name: str, *, kernel: KernelBundle, tools: Toolchain
    ) -> Iterator[BuildRoom]:
        """Yield a room for sources of that name; the room is gone afterwards."""
        if not (tools.libbpf_headers / "bpf_helpers.h").is_file():
            raise ToolMissing(
                f"no bpf_helpers.h in {tools.libbpf_headers}; install libbpf-dev 1.4 or newer"
            )
        with tempfile.TemporaryDirectory(prefix="schedcp-build-") as name:
            folder = Path(name)
            _furnish(folder, kernel=kernel, tools=tools)
            yield cls(folder, source_name, tools)

    @property
    def _isolation(self) -> Isolation:
        return isolation(self._tools.secrets)

    def _put(self, source: bytes) -> None:
        path = self._folder / self._source_name
        path.write_bytes(source)
        path.chmod(0o644)
        os.utime(path, (0, 0))

    def _run(self, command: list[str]) -> Completed:
        return run(
            [*self._isolation.prefix, *Limits().wrap(command)],
            timeout_seconds=_BUILD_SECONDS,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **_REPRODUCIBLE},
            cwd=self._folder,
            check=False,
        )

    def _clang(self, *arguments: str) -> Completed:
        return self._run([self._tools.clang, *_FLAGS, *arguments, self._source_name])

    def preprocess(self, source: bytes) -> tuple[bytes, tuple[Check, ...]]:
        """Return what the preprocessor makes of a source, or a failed check."""
        self._put(source)
        done = self._clang("-E", "-o", "out/text")
        if done.returncode != 0:
            return b"", (_failure(done),)
        text = (self._folder / "out/text").read_bytes()
        own = len(text) - self._headers_bytes()
        if own > _EXPANDED_BYTES:
            words = f"the macros of the source make {own} bytes of it, too large to be looked at"
            return b"", (failed("build", Stage.BUILD, words),)
        return text, ()

    def _headers_bytes(self) -> int:
        """Return a bound of what the headers contribute: each is included at most once."""
        return sum(path.stat().st_size for path in self._folder.rglob("*.h"))

    def compile(self, source: bytes) -> Built:
        """Return the object without debug sections (BTF stays), or why there is none."""
        self._put(source)
        done = self._clang("-c", "-o", "out/object.o", "-MD", "-MF", "out/files.d")
        if done.returncode != 0:
            return Built((_failure(done),))
        strangers = self._files_from_elsewhere()
        if strangers:
            words = f"the build read files of its own choice: {strangers}"
            return Built((failed("build", Stage.BUILD, words),))
        stripped = self._run([self._tools.strip, "--strip-debug", "out/object.o"])
        if stripped.returncode != 0:
            said = bounded(stripped.stderr.decode(errors="replace"), 1500)
            raise CommandFailed(f"{self._tools.strip} ended with {stripped.returncode}\n{said}")
        data = (self._folder / "out/object.o").read_bytes()
        return Built((_success(done, data, self._isolation.words),), data)

    def _files_from_elsewhere(self) -> str:
        """Name the files that were read outside of the room's folders."""
        words = (self._folder / "out/files.d").read_text().replace("\\\n", " ").split()
        read = [word for word in words if not word.endswith(":") and word != "out/object.o"]
        allowed = (self._source_name, "kernel/", "include/", "libbpf/")
        return ", ".join(
            word for word in read if not word.startswith(allowed) or ".." in word.split("/")
        )


def _furnish(folder: Path, *, kernel: KernelBundle, tools: Toolchain) -> None:
    """Put copies of all inputs into a room that also nobody may enter, but not change."""
    folder.chmod(0o755)
    for name in ("kernel", "libbpf/bpf", "include/schedcp"):
        (folder / name).mkdir(parents=True)
    shutil.copyfile(kernel.vmlinux_h, folder / "kernel/vmlinux.h")
    for kind, target in ((tools.libbpf_headers, "libbpf/bpf"),
                         (tools.schedcp_headers / "schedcp", "include/schedcp")):  # fmt: skip
        for header in sorted(kind.glob("*.h")):
            shutil.copyfile(header, folder / target / header.name)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)


def _success(done: Completed, data: bytes, isolation_: str) -> Check:
    words = [_shown(found) for found in _diagnostics(done, "warning")]
    evidence = {
        "digest": digest_of(data),
        "bytes": len(data),
        "isolation": isolation_,
    }
    if words:
        return warning("build", Stage.BUILD, f"compiled with warnings: {words[0]}", **evidence)
    return passed("build", Stage.BUILD, "compiled without warnings", **evidence)


def _failure(done: Completed) -> Check:
    """Return the compiler's complaints; raise CommandFailed when the source is not to blame."""
    errors = _diagnostics(done, "error")
    if not errors:
        said = bounded(done.stderr.decode(errors="replace"), 1500)
        everything = done.stderr.decode(errors="replace")
        if (
            done.returncode < 0
            or done.returncode > 128
            or any(words in everything for words in _TOO_MUCH)
        ):
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
