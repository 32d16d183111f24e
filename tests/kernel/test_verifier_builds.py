"""A build reads what it is given, writes within bounds, and gives the same object every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schedcp_api.verdicts import Phase
from schedcp_verifier.building import BuildRoom, Toolchain
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier

SECRET = b"nobody may know this"


@contextmanager
def room(settings: Settings, kernel: KernelBundle, secret: Path) -> Iterator[BuildRoom]:
    """Yield a room whose compiler must not see the folder `secret`."""
    tools = Toolchain(
        settings.clang,
        settings.llvm_strip,
        settings.libbpf_headers,
        settings.schedulers_dir / "include",
        (secret,),
    )
    with BuildRoom.prepared("x.bpf.c", kernel=kernel, tools=tools) as found:
        yield found


@pytest.mark.parametrize("directive", ["", '#line 1 "kernel/vmlinux.h"\n'])
def test_the_assembler_cannot_copy_the_signing_key(
    directive: str, verifier_settings: Settings, kernel: KernelBundle, tmp_path: Path
) -> None:
    key = tmp_path / "state" / "signing-key.pem"
    key.parent.mkdir(mode=0o755)
    key.write_bytes(SECRET)
    source = f'{directive}__asm__(".data\\n.incbin \\"{key}\\"");\nint x;\n'.encode()
    with room(verifier_settings, kernel, key.parent) as found:
        built = found.compile(source)
    assert built.object is None
    assert [check.phase for check in built.checks] == [Phase.FAILED]
    assert "signing-key.pem" in built.checks[0].message


def test_macros_that_explode_are_refused_and_not_kept_in_memory(
    verifier_settings: Settings, kernel: KernelBundle, tmp_path: Path
) -> None:
    doubled = "".join(f"#define A{n} A{n - 1} A{n - 1}\n" for n in range(1, 26))
    source = f"#define A0 x\n{doubled}int y = A25;\n".encode()
    with room(verifier_settings, kernel, tmp_path) as found:
        text, problems = found.preprocess(source)
    assert text == b""
    assert [check.phase for check in problems] == [Phase.FAILED]


def test_the_time_of_day_is_in_no_object(
    verifier_settings: Settings, kernel: KernelBundle, tmp_path: Path
) -> None:
    source = b"const char t[] = __DATE__ __TIME__ __TIMESTAMP__;\n"
    with room(verifier_settings, kernel, tmp_path) as found:
        text, problems = found.preprocess(source)
    assert not problems
    assert b"1970" in text


def test_a_verdict_depends_on_headers_and_on_the_kernel(
    verifier_settings: Settings, kernel: KernelBundle, tmp_path: Path
) -> None:
    tools = Verifier.from_settings(verifier_settings).tools
    (tmp_path / "schedcp").mkdir()
    header = tmp_path / "schedcp/common.bpf.h"
    seen = []
    for text in ("int a;", "int b;"):
        header.write_text(text)
        changed = Toolchain(tools.clang, tools.strip, tools.libbpf_headers, tmp_path)
        seen.append(changed.fingerprint(kernel))
    assert seen[0] != seen[1]
    assert {"vmlinux.h", f"tool {tools.clang}"} <= set(seen[0])
    assert any("bpf_helpers.h" in name for name in seen[0])
