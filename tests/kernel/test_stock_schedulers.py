"""The stock schedulers, as `make stock` builds them: what their manifests say is measured here.

No part of `make test`, because they take minutes to build: `make test-stock`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from schedcp_agent.loader import parse_event
from schedcp_agent.programs import figures_of
from schedcp_api.verdicts import ContractLoss, Phase, Verdict
from schedcp_verifier.guests import proof_plan
from schedcp_verifier.initramfs import Entry, archive, file, program, symlink
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library, LibraryProgram
from schedcp_verifier.microvm import MicroVm, VmSpec
from schedcp_verifier.payloads import StartedProgram
from schedcp_verifier.processes import run
from schedcp_verifier.settings import Settings
from schedcp_verifier.sharing import contract_kept
from schedcp_verifier.targets import request_of
from schedcp_verifier.verifying import Verifier
from support.laboratory import CONTRACT

DATA = Path(__file__).parent.parent / "data"
NAMES = ("scx_bpfland", "scx_lavd", "scx_layered", "scx_rusty")
APPLETS = (
    *("cat", "echo", "grep", "kill", "mkdir", "mount", "poweroff", "sed", "sh", "tail"),
    "usleep",
)
TRIPLE = "x86_64_unknown_linux_gnu"
"""What their builds append to the names of their schedulers, behind the version."""
SECONDS = 900.0
COMPILE_SECONDS = 60.0


@pytest.fixture(scope="session")
def stock(verifier_settings: Settings) -> Library:
    """The library with its programs; they must be there where these tests run."""
    return Verifier.from_settings(verifier_settings).library


def program_named(stock: Library, name: str) -> LibraryProgram:
    found = stock.program(name)
    assert found is not None
    return found


def words_of(found: LibraryProgram) -> tuple[str, ...]:
    """Return the fewest words that it runs with."""
    assert found.manifest.program is not None
    return found.manifest.program.always


def verdict_on(verifier: Verifier, kernel: KernelBundle, found: LibraryProgram) -> Verdict:
    """Return the verdict on a program with its defaults."""
    request = request_of(
        found.manifest.name,
        list(words_of(found)),
        kernel,
        contract=CONTRACT,
        profile=None,
        program=found.executable,
    )
    return verifier.verify(request, kernel).verdict


def losses_of(
    verifier: Verifier, kernel: KernelBundle, found: LibraryProgram
) -> tuple[ContractLoss, ...]:
    """Return what of the CPU contract is lost by what the trials refuse: without the trials."""
    plan = proof_plan(CONTRACT)
    calm = {"TRIALS": "idle", "COMPARED": "idle", "SOAK_SECONDS": ""}
    plan = replace(plan, settings={**plan.settings, **calm})
    payload = StartedProgram(found.executable, words_of(found))
    checks, losses = contract_kept(verifier.guests.run(plan, kernel, payload).report, CONTRACT)
    assert not any(check.phase is Phase.ERROR for check in checks), checks
    return losses


def series(kernel: KernelBundle) -> str:
    """Return the first two numbers of a kernel's release."""
    numbers = re.match(r"\d+\.\d+", kernel.profile.release)
    assert numbers is not None
    return numbers.group()


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_says_what_is_measured(
    verifier_settings: Settings, kernels: tuple[KernelBundle, ...], stock: Library, name: str
) -> None:
    verifier = Verifier.from_settings(verifier_settings)
    found = program_named(stock, name)
    here = {series(kernel): kernel for kernel in kernels}
    said = [measured for measured in found.manifest.measured if measured.kernels in here]
    assert said, "there is none of the kernels that the manifest speaks of"
    for measured in said:
        kernel = here[measured.kernels]
        verdict = verdict_on(verifier, kernel, found)
        failed = {check.id for check in verdict.checks if check.phase is Phase.FAILED}
        assert verdict.accepted == measured.accepted, verdict.reasons()
        assert failed == {reason.partition(":")[0] for reason in measured.refused_for}
        losses = verdict.contract_losses
        if not verdict.accepted:
            losses = losses_of(verifier, kernel, found)
        assert losses == measured.contract_losses


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A static program that asks a statistics socket."""
    path = tmp_path_factory.mktemp("client") / "statistics-client"
    source = DATA / "statistics-client.c"
    run(["gcc", "-O2", "-static", "-Wall", "-o", path, source], timeout_seconds=COMPILE_SECONDS)
    return path.read_bytes()


def trial(
    settings: Settings, kernel: KernelBundle, found: LibraryProgram, *, ops: str
) -> list[Entry]:
    """Return a guest in which the loader holds a program and a client asks it."""
    executable = found.executable
    variables = {
        "PROGRAM": executable.path,
        "OPS": ops,
        "DIGEST": executable.digest,
        "WORDS": " ".join(words_of(found)),
    }
    return [
        program("init", b"#!/bin/sh\n" + (DATA / "stock-trial.sh").read_bytes()),
        program("bin/busybox", settings.busybox.read_bytes()),
        *(symlink(f"bin/{applet}", "busybox") for applet in APPLETS),
        program("bin/schedcp-loader", (settings.programs / "schedcp-loader").read_bytes()),
        file("guest/trial", "".join(f"{k}='{v}'\n" for k, v in variables.items()).encode()),
        file(f"boot/config-{kernel.profile.release}", kernel.config),
        *executable.entries(),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_loader_holds_it_and_it_tells_its_statistics(
    verifier_settings: Settings,
    kernel: KernelBundle,
    stock: Library,
    client: bytes,
    name: str,
    tmp_path: Path,
) -> None:
    found = program_named(stock, name)
    pinned = found.manifest.program
    assert pinned is not None
    ops = f"{found.manifest.ops_name}_{pinned.version}_{TRIPLE}"
    entries = trial(verifier_settings, kernel, found, ops=ops)
    initramfs = tmp_path / "initramfs"
    initramfs.write_bytes(archive([*entries, program("bin/statistics-client", client)]))
    spec = VmSpec(kernel.image, initramfs, SECONDS, qemu=verifier_settings.qemu)
    with MicroVm(spec) as vm:
        lines = [line.decode() for line in vm.lines()]
        assert lines, vm.console.text()[-2000:]
    said = [parse_event(line[1:].encode()) for line in lines if line.startswith("\t")]
    assert [event.event for event in said if event and event.event != "stats"] == [
        "opened",
        "attached",
        "detached",
    ], lines
    assert [line for line in lines if line.startswith("stat")] == ["status 0", "state disabled"]
    answers = [figures_of(line.encode()) for line in lines if line.startswith("{")]
    assert len(answers) == 3
    assert set(found.manifest.statistics) & set(answers[-1]), answers[-1]
