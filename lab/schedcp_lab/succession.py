"""Many schedulers in one guest, one after the other: which load, and let everybody live on.

It judges less than a proof does, at a fraction of its cost: whether each object is loaded and
enabled, holds, serves a few trials, and lets every class of task run in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from schedcp_verifier.enduring import STARVED_NS
from schedcp_verifier.guests import PROOF_WATCHDOG_MS, GuestFactory, GuestPlan
from schedcp_verifier.initramfs import Entry, file
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.records import GuestReport, HeartbeatData
from schedcp_verifier.troubles import HEARTS
from schedcp_verifier.verifierlog import refusal_of

__all__ = ["OBJECTS_MAX", "Fate", "Objects", "fates", "succession_plan", "tried_in_turn"]

OBJECTS_MAX = 24
"""In one guest: its report has a bound."""
STEPS = Path(__file__).parents[1] / "succession" / "steps"
TRIALS = ("bursts", "waiting-churn", "pinned")
_SHIFT = 4
"""Eight times as slow a machine as the replay's, which is so much sooner over."""
_GUEST_SECONDS = 1800.0
"""A quiet machine takes 5 s for each scheduler, a busy one ten times as long."""
_SAID_CHARS = 300
_HEARTS = TypeAdapter(HeartbeatData)


@dataclass(frozen=True)
class Objects:
    """BPF objects by name, as a guest's payload."""

    objects: Mapping[str, bytes]

    def settings(self) -> dict[str, str]:
        """Return what the loader is told of all of them."""
        return {"DIGEST": "", "KNOBS": "", "PROGRAM": ""}

    def entries(self, kernel: KernelBundle) -> list[Entry]:  # noqa: ARG002 -- none asks for it
        """Return the objects, and the script that loads them."""
        found = [file(f"guest/objects/{name}", data) for name, data in self.objects.items()]
        return [*found, file("guest/succession", STEPS.read_bytes())]


@dataclass(frozen=True)
class Fate:
    """What became of one scheduler."""

    holds: bool
    """Whether it was attached, is so at the end, and let everybody run."""
    words: str
    longest_gap_ns: int = 0


def succession_plan() -> GuestPlan:
    """Return what the guest is to do with its objects."""
    settings = {"TIMEOUT_MS": str(PROOF_WATCHDOG_MS), "TRIALS": " ".join(TRIALS)}
    return GuestPlan("succession", settings, {}, _SHIFT)


def tried_in_turn(
    guests: GuestFactory, kernel: KernelBundle, objects: Mapping[str, bytes]
) -> dict[str, Fate]:
    """Boot one guest that loads all objects in turn; raise VmError when it is lost."""
    if len(objects) > OBJECTS_MAX:
        raise ValueError(f"{len(objects)} objects are more than the {OBJECTS_MAX} of one guest")
    patient = replace(guests, deadline_seconds=max(guests.deadline_seconds, _GUEST_SECONDS))
    report = patient.run(succession_plan(), kernel, Objects(objects)).report
    return fates(report, tuple(objects))


def fates(report: GuestReport, names: tuple[str, ...]) -> dict[str, Fate]:
    """Return what a report says of each scheduler."""
    return {name: _fate(report, name) for name in names}


def _fate(report: GuestReport, name: str) -> Fate:
    refusal = report.loader_event(name, "error")
    if refusal is not None:
        said = refusal_of(report.texts.get(("loader", name), ""))
        return Fate(False, f"{refusal.message}: {said}"[:_SAID_CHARS])
    end, attached = report.states.get(name), report.loader_event(name, "attached")
    if attached is None or end is None:
        return Fate(False, "the loader did not attach it")
    if not end.enabled or end.enable_seq != attached.enable_seq:
        exit_ = report.loader_event(name, "exit")
        why = f"{exit_.reason}: {exit_.message}" if exit_ else f"sched_ext is {end.state}"
        return Fate(False, f"it did not hold: {why}"[:_SAID_CHARS])
    complaints = report.texts.get(("complaints", name), "")
    if complaints:
        return Fate(False, f"the kernel complained: {complaints.splitlines()[0]}"[:_SAID_CHARS])
    return _heard(report, name)


def _heard(report: GuestReport, name: str) -> Fate:
    done = tuple(trial.trial for trial in report.trials_at.get(name, ()))
    if done != TRIALS:
        return Fate(False, f"of the trials only {', '.join(done) or 'none'} came to an end")
    beats = {}
    for line in report.texts.get(("heartbeat", name), "").splitlines():
        try:
            beat = _HEARTS.validate_json(line)
        except ValidationError:
            return Fate(False, f"a heart said {line[:80]!r}")
        beats[beat.class_] = beat
    silent = [heart for heart in HEARTS if heart not in beats or not beats[heart].beats]
    if silent:
        return Fate(False, f"no beat of {', '.join(silent)}")
    worst = max(beats.values(), key=lambda beat: beat.longest_gap_ns)
    gap = worst.longest_gap_ns
    words = f"the longest gap was {gap // 1_000_000} ms ({worst.class_})"
    return Fate(gap <= STARVED_NS, words, gap)
