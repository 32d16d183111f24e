"""The examination set: which schedulers a verifier is tried on, and where each has to be stopped.

Reads `tests/data/schedulers`; its README says what the files promise.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

from schedcp_api.base import digest_of
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.verdicts import EvaluationContract, ReplayMode, Stage, VerificationRequest
from schedcp_lab.bench_works import WORKS, Work
from schedcp_lab.errors import LabError
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.sharing import WAIVED_WITHOUT_POLICY

__all__ = ["GOOD", "NOT_ON", "Case", "examination", "mixed", "sampled"]

GOOD = "good"
NOT_ON = {
    "6.": frozenset(
        {
            *("good/by_cid", "good/list_of_references", "good/tree_of_deadlines"),
            *("bad/L08-flag-of-old", "bad/K04-takes-everybody-back"),
        },
    )
}
"""What the beginning of a kernel's release rules out: there it cannot be built, or is harmless."""

_STAGES = tuple(Stage)
_STOPPED_AT = re.compile(r"Stopped at ([A-Z]\w+(?: or [A-Z]\w+)*)")
_REPLAYED_AS = re.compile(r"Replayed as ([a-z ]+)\.")
_SUFFIX = ".bpf.c"


@dataclass(frozen=True)
class Case:
    """One scheduler of the set."""

    path: Path
    stages: tuple[Stage, ...] = ()
    """The stages that may stop it; none for a good one."""
    work: Work | None = None
    """What it is replayed as; none of those that neither a replay may stop nor gain in one."""

    @property
    def good(self) -> bool:
        """Whether it must not be refused."""
        return not self.stages

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.path.parent.name}/{self.path.name.removesuffix(_SUFFIX)}"

    @property
    def id(self) -> str:
        """The kind of failure that it is a variant of, or `good`."""
        return GOOD if self.good else self.path.name[:3]

    @property
    def last_stage(self) -> Stage | None:
        """The latest stage that may stop it."""
        return max(self.stages, key=_STAGES.index, default=None)

    @property
    def contract(self) -> EvaluationContract:
        """What it is judged by: what only the contract shows, shows under one that waives nothing.

        Good ones, and what is bad for another reason, may lose what a good FIFO loses. Who is
        replayed must gain what a policy asks for that says nothing.
        """
        by_contract = Stage.CONTRACT in self.stages
        waived = () if by_contract else WAIVED_WITHOUT_POLICY
        if self.work is None:
            return EvaluationContract(replay=ReplayMode.ADVISORY, waived_losses=waived, seeds=1)
        return EvaluationContract(
            metric=self.work.metric, replay=ReplayMode.REQUIRED, waived_losses=waived
        )

    def request(self, kernel: KernelBundle) -> VerificationRequest:
        """Return the request to verify it for a kernel."""
        return self.request_of(self.path.read_text(encoding="utf-8"), kernel)

    def request_of(self, source: str, kernel: KernelBundle) -> VerificationRequest:
        """Return the request to verify another source in its place."""
        name = re.sub(r"[^a-z0-9_]", "_", self.path.name.removesuffix(_SUFFIX).lower())
        kernel_digest = kernel.profile.content_digest()
        return VerificationRequest(
            candidate=Candidate(
                kind=PlanKind.GENERATE,
                scheduler=name,
                source_digest=digest_of(source.encode()),
            ),
            source=source,
            kernel_digest=kernel_digest,
            profile=self.work.profile(kernel_digest) if self.work is not None else None,
            contract=self.contract,
        )


def examination(folder: Path, release: str, only: str = "*") -> tuple[Case, ...]:
    """Return the set for a kernel, ordered by name; `only` is a glob over names and ids.

    Raise LabError when there is nothing, or when a bad one does not say where it is to be stopped,
    or as what it is replayed where a replay may stop it.
    """
    bad = [_bad(path) for path in _sources(folder / "bad")]
    good = [Case(path, work=_work_named(path)) for path in _sources(folder / GOOD)]
    left_out = {
        name for start, names in NOT_ON.items() if release.startswith(start) for name in names
    }
    cases = tuple(
        case
        for case in (*bad, *good)
        if case.name not in left_out and (fnmatchcase(case.name, only) or case.id == only)
    )
    if not cases:
        raise LabError(f"no scheduler below {folder} matches {only!r}")
    return cases


def mixed(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """Return the cases in an order that has nothing to do with what they are, always the same."""
    return tuple(sorted(cases, key=lambda case: sha256(case.name.encode()).digest()))


def sampled(cases: tuple[Case, ...], count: int) -> tuple[Case, ...]:
    """Return `count` of the cases, always the same ones: a quarter good, many kinds of bad."""
    shuffled = mixed(cases)
    good = [case for case in shuffled if case.good]
    bad, turns = [], Counter[str]()
    for case in shuffled:
        if not case.good:
            bad.append((turns[case.id], case.name, case))
            turns[case.id] += 1
    bad.sort(key=lambda entry: entry[:2])
    goods = min(len(good), max(count // 4, count - len(bad)))
    kept = {case.name for case in good[:goods]}
    kept |= {name for _, name, _ in bad[: max(count - goods, 0)]}
    return tuple(case for case in cases if case.name in kept)


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{_SUFFIX}"))


def _bad(path: Path) -> Case:
    stages, work = _stages_named(path), _work_named(path)
    if (work is not None) != (Stage.REPLAY in stages):
        raise LabError(
            f"{path}: whoever may be stopped at Replay says what it is replayed as, and nobody else"
        )
    return Case(path, stages, work)


def _top_comment(path: Path) -> str:
    """Return the top comment as one line."""
    return path.read_text(encoding="utf-8").partition("*/")[0].replace("\n *", "")


def _stages_named(path: Path) -> tuple[Stage, ...]:
    """Return the stages that the top comment allows to stop a scheduler."""
    found = _STOPPED_AT.search(_top_comment(path))
    if found is None:
        raise LabError(f"{path} does not say at which stage it is to be stopped")
    return tuple(Stage(name) for name in found[1].split(" or "))


def _work_named(path: Path) -> Work | None:
    """Return the work that the top comment has a scheduler replayed as, if it names one."""
    found = _REPLAYED_AS.search(_top_comment(path))
    if found is None:
        return None
    if found[1] not in WORKS:
        raise LabError(
            f"{path} is replayed as {found[1]!r}, which is none of {', '.join(map(repr, WORKS))}"
        )
    return WORKS[found[1]]
