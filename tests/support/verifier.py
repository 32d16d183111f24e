"""Doubles and builders for the verifier's tests."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schedcp_api.base import digest_of
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.kernels import profile_of
from schedcp_api.profiles import Distribution, GroupProfile, ThreadGroup, WorkloadProfile
from schedcp_api.verdicts import (
    Check,
    EvaluationContract,
    Phase,
    Stage,
    Verdict,
    VerificationRequest,
)
from schedcp_verifier.errors import VerifierError
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.soaking import SOAK_SECONDS
from schedcp_verifier.troubles import COMPARED, HEARTS, TRIALS, WATCHED, WATCHING
from schedcp_verifier.verifying import Verified

OPS = "tried"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MS = 1_000_000


def raw_btf(*names: str) -> bytes:
    """Return raw BTF without types whose strings are `names`."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, len(strings)) + strings


def make_bundle(folder: Path, release: str = "7.0.0-test", *, sched_ext: bool = True) -> Path:
    """Write a bundle that holds nothing but names, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("sched_ext_ops",) if sched_ext else ("task_struct",)
    (folder / "release").write_text(f"{release}\n")
    (folder / "vmlinux.btf").write_bytes(raw_btf(*names, release))
    (folder / "vmlinuz").write_bytes(b"")
    (folder / "vmlinux.h").write_text("")
    return folder


@dataclass
class FakeProver:
    """Proves nothing: gives the verdicts it was told to, and counts how often it was asked."""

    accepted: bool = True
    broken: VerifierError | None = None
    phase: Phase = Phase.PASSED
    identity_value: str = digest_of(b"identity")
    asked: list[VerificationRequest] = field(default_factory=list)
    known: list[Verified | None] = field(default_factory=list)
    """With which earlier proof, each time."""

    def identity(self, request: VerificationRequest, kernel: KernelBundle) -> str:
        """Return what was set."""
        return self.identity_value

    def verify(
        self,
        request: VerificationRequest,
        kernel: KernelBundle,
        *,
        proven: Verified | None = None,
    ) -> Verified:
        """Return a verdict of one check, or raise what was set."""
        self.asked.append(request)
        self.known.append(proven)
        if self.broken is not None:
            raise self.broken
        return Verified(
            verdict_of(request, kernel, accepted=self.accepted, phase=self.phase), OBJECT
        )


OBJECT = b"an object"


def verdict_of(
    request: VerificationRequest, kernel: KernelBundle, *, accepted: bool, phase: Phase
) -> Verdict:
    """Return a verdict of one check on a request."""
    return Verdict(
        accepted=accepted,
        checks=(Check(id="trials", stage=Stage.DYNAMIC, phase=phase, message="as told"),),
        scheduler=request.candidate.scheduler,
        ops_name=OPS,
        arguments=request.candidate.arguments,
        candidate_digest=request.candidate.content_digest(),
        digest=digest_of(OBJECT),
        contract_digest=request.contract.content_digest(),
        kernel=kernel.profile,
        duration_seconds=1,
    )


def record(source: str, step: str, **data: Any) -> bytes:
    """Return one line of a guest."""
    return json.dumps({"from": source, "step": step, "data": data}).encode()


def text_record(name: str, step: str, text: str) -> bytes:
    """Return a line that carries a text."""
    return record("text", step, name=name, base64=base64.b64encode(text.encode()).decode())


def state_record(step: str, state: str = "enabled", ops: str = OPS, **changes: Any) -> bytes:
    """Return a line about who schedules."""
    values = {"enableSeq": 1, "uptime": "10.00", **changes}
    return record("state", step, state=state, ops=ops, **values)


def group_record(step: str, group: str, cpu_ms: int, **more: int) -> bytes:
    """Return a line about what a group of a workload got."""
    values = {"threads": 4, "finished": 0, "wakeups": 0, **more}
    return record("workload", step, group=group, cpuTimeNs=cpu_ms * MS, **values)


def contract_records(arm: str, *, fair: bool = True) -> list[bytes]:
    """Return the contract's measurements under a scheduler that keeps all of it, or nothing."""
    heavy, light, idle = (2900, 990, 10) if fair else (1300, 1300, 1300)
    capped, ordinary, nice10 = (250, 3600, 400) if fair else (1000, 2000, 2000)
    groups = {"limits": {"capped": capped, "fenced": 1000}}
    for start in ("first", "last"):
        groups[f"weight-{start}"] = {"heavy": heavy, "light": light, "idle": idle}
        groups[f"nice-{start}"] = {"ordinary": ordinary, "nice10": nice10}
    return [
        line
        for run, found in groups.items()
        for line in (
            record("status", f"{arm}-{run}", program="workload", code=0),
            *(group_record(f"{arm}-{run}", name, cpu_ms) for name, cpu_ms in found.items()),
        )
    ]


EFFECTS = {
    "tasks": 700, "forks": 1950, "bursts": 1200, "sleeps": 1900, "yields": 800, "niced": 90,
    "bound": 90, "realtimeMs": 1400, "cgroups": 300, "moves": 200, "released": 8,
    "switches": 5000, "interrupts": 900, "waitedUs": 1000, "woken": 1000, "wokenUs": 1_000_000,
    "wokenMostUs": 20_000, "crossed": 500, "nodes": 2,
    "speedsWatched": 1,
}  # fmt: skip


def trial_record(name: str, *, gap_ms: int = 300, step: str = "trials", **effects: int) -> bytes:
    """Return a line about a trial in which everything happened; 0 takes an effect away."""
    counts = {key: count for key, count in {**EFFECTS, **effects}.items() if count}
    gaps = dict.fromkeys(WATCHED, gap_ms * MS) if name in WATCHING else {}
    return record("trials", step, trial=name, tookNs=1000 * MS, effects=counts, longestGapsNs=gaps)


def heart_record(name: str, gap_ms: int = 300, beats: int = 9) -> bytes:
    """Return a line about one class of the heartbeat."""
    return record(
        "heartbeat", "trials", **{"class": name, "beats": beats, "longestGapNs": gap_ms * MS}
    )


def proof_lines(
    *,
    fair: bool = True,
    gap_ms: int = 300,
    trials: Iterable[str] = TRIALS,
    hearts: Iterable[str] = HEARTS,
) -> list[bytes]:
    """Return what a guest says of a candidate that lives through everything."""
    programs = [{"name": "enqueue", "verifiedInstructions": 90}]
    return [
        record("kernel", "boot", btfDigest=digest_of(b"btf")),
        record("border", "proof", charge="candidate"),
        state_record("boot", "disabled", "", enableSeq=0),
        *(trial_record(name, step="control") for name in trials if name in COMPARED),
        state_record("attached"),
        state_record("settled"),
        record("status", "trials", program="trials", code=0),
        record("status", "trials", program="heartbeat", code=0),
        *(trial_record(name) for name in trials),
        *(heart_record(name, gap_ms) for name in hearts),
        state_record("trials"),
        trial_record("saturated-briefly", step="soak"),
        state_record("soak", uptime=f"{20 + SOAK_SECONDS}.00"),
        trial_record("hotplug", step="hotplug", offlined=1, onlined=1),
        state_record("hotplug"),
        *contract_records("candidate", fair=fair),
        state_record("contract"),
        state_record("killed", "disabled", ""),
        record("status", "proof", program="schedcp-loader", code=0),
        record("loader", "proof", event="stats", counters={"shared_dispatches": 5}),
        record("loader", "proof", event="loaded", programs=programs),
        record("border", "proof", charge="kernel"),
        state_record("end", "disabled", ""),
        text_record("kmsg", "proof", 'sched_ext: BPF scheduler "tried" enabled'),
        *contract_records("default"),
        b'{"from":"end"}',
    ]


def distribution(**figures: int) -> Distribution:
    """Return a distribution with the named quantiles, and the rest 0."""
    names = ("count", "mean", "p10", "p25", "p50", "p75", "p90", "p99", "p999", "max")
    return Distribution(
        **{name if name == "count" else f"{name}_ns": figures.get(name, 0) for name in names}
    )


def steady(ns: int, count: int = 1000) -> Distribution:
    """Return the distribution of a duration that never changes."""
    quantiles = ("mean", "p10", "p25", "p50", "p75", "p90", "p99", "p999", "max")
    return distribution(count=count, **dict.fromkeys(quantiles, ns))


def thread_group(label: str = "service", **changes: Any) -> ThreadGroup:
    """Return four threads that burn 0.5 ms every 9 ms."""
    values: dict[str, Any] = {
        "label": label,
        "threads": 4,
        "cpu_milli": 211,
        "switches_per_second": 840,
        "wakeups_per_second": 421,
        "burst": steady(500_000),
        "sleep": steady(8_500_000),
        "wakeup_latency": steady(500_000),
    }
    return ThreadGroup(**{**values, **changes})


def hog_group(label: str = "batch", threads: int = 8) -> ThreadGroup:
    """Return threads that never sleep."""
    return thread_group(
        label,
        threads=threads,
        cpu_milli=3700,
        wakeups_per_second=0,
        sleep=steady(0, count=0),
        burst=steady(4_000_000),
    )


def workload_profile(
    target: tuple[ThreadGroup, ...] | None = None,
    neighbours: tuple[ThreadGroup, ...] | None = None,
    cpus: int = 4,
) -> WorkloadProfile:
    """Return a profile of a latency-sensitive service beside batch work."""

    def side(groups: tuple[ThreadGroup, ...]) -> GroupProfile:
        return GroupProfile(
            pods=1,
            cpu_milli=sum(group.cpu_milli for group in groups),
            thread_groups=groups,
            wakeup_latency=steady(1_000_000),
            burst=steady(500_000),
            sleep=steady(8_500_000),
        )

    return WorkloadProfile(
        node="node-1",
        workload="Deployment/shop/checkout",
        kernel_digest=profile_of("7.0.0-test", raw_btf("sched_ext_ops")).content_digest(),
        cpus=cpus,
        started_at=NOW,
        duration_ms=10_000,
        target=side((thread_group(),) if target is None else target),
        neighbours=side((hog_group(),) if neighbours is None else neighbours),
    )


def source_request(
    path: Path, kernel: KernelBundle, contract: EvaluationContract
) -> VerificationRequest:
    """Return the request for a source that is not in the library."""
    source = path.read_text()
    name = path.name.removesuffix(".bpf.c").lower().replace("-", "_")
    return VerificationRequest(
        candidate=Candidate(
            kind=PlanKind.GENERATE, scheduler=name, source_digest=digest_of(source.encode())
        ),
        source=source,
        kernel_digest=kernel.profile.content_digest(),
        contract=contract,
    )
