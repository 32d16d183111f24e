"""What pods ask for goes before what is best otherwise: who keeps it is tried first."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from schedcp_api.candidates import WorkloadClass
from schedcp_api.manifests import Measured
from schedcp_api.profiles import GroupProfile
from schedcp_api.verdicts import ContractLoss
from schedcp_operator.events import PlansMade
from schedcp_operator.library import Library, LibraryEntry, load_manifests
from schedcp_operator.planner import make_plans
from support.operator_library import LIBRARY
from support.operator_nouns import KERNEL, policy_spec
from support.operator_profiles import LATENCY_TARGET, profile
from support.workloads import UNSURE

WEIGHTS_AND_LIMITS = frozenset({ContractLoss.CPU_WEIGHT, ContractLoss.CPU_MAX})
KEEPS = Measured(kernels="7.3", accepted=True, contract_losses=())
LOSES = Measured(kernels="7.3", accepted=True, contract_losses=tuple(ContractLoss))
MADE_TO_KEEP = {"cgroup_fair", "cgroup_layers", "mixed_service"}
TARGETS = pytest.mark.parametrize(
    ("target", "kind"),
    [
        (LATENCY_TARGET, WorkloadClass.LATENCY_SENSITIVE),
        (UNSURE, WorkloadClass.MIXED),
    ],
)


def test_who_keeps_what_pods_ask_for_goes_first() -> None:
    keeps = Measured(kernels="7.3", accepted=True, contract_losses=(ContractLoss.NICE,))
    library = with_findings(LIBRARY, {"mixed_service": (keeps,)})
    weight, nice = ContractLoss.CPU_WEIGHT, ContractLoss.NICE

    def first(*needed: ContractLoss) -> str:
        return first_of(plans(library, frozenset(needed)))

    assert first() == "latency_class"
    assert first(weight, nice) == "mixed_service"
    assert first(nice) == "latency_class", "both lose it"


def test_a_refusal_keeps_nothing() -> None:
    refused = Measured(
        kernels="7.3", accepted=False, refused_for=("Dynamic/starvation",), contract_losses=()
    )
    library = with_findings(LIBRARY, {"mixed_service": (refused,)})
    assert first_of(plans(library, frozenset({ContractLoss.CPU_MAX}))) == "latency_class"


def test_what_was_refused_on_such_a_kernel_is_not_tried_there() -> None:
    findings = (
        Measured(kernels="6.1", accepted=True, contract_losses=()),
        Measured(
            kernels="6.18", accepted=False, refused_for=("needs: no kfunc",), contract_losses=()
        ),
    )
    library = with_findings(LIBRARY, {"latency_class": findings})
    refused = plans(library, release="6.18.15-cloud")
    assert "latency_class" not in {p.candidate.scheduler for p in refused.proposals}
    assert refused.set_aside == ("latency_class: refused on 6.18: needs: no kfunc",)
    for release in ("6.1.8", "6.180.1", "7.3.4", ""):
        assert first_of(plans(library, release=release)) == "latency_class"


def test_what_was_measured_on_such_a_kernel_counts_before_what_was_elsewhere() -> None:
    older = Measured(kernels="6.18", accepted=True, contract_losses=(ContractLoss.NICE,))
    library = with_findings(LIBRARY, {"mixed_service": (older, KEEPS), "latency_class": (older,)})
    nice = frozenset({ContractLoss.NICE})
    assert first_of(plans(library, nice, release="7.3.4")) == "mixed_service"
    assert first_of(plans(library, nice, release="6.18.15")) == "latency_class", "both lose it"


@TARGETS
def test_of_the_repositorys_schedulers_one_that_keeps_weights_and_limits_is_first(
    repository: Path, target: GroupProfile, kind: WorkloadClass
) -> None:
    library = library_of(repository)
    keepers = {name for name, entry in library.entries.items() if keeps_both(entry)}
    assert keepers >= MADE_TO_KEEP
    assert keepers < set(library.entries)
    made = plans(library, WEIGHTS_AND_LIMITS, target)
    assert made.description.workload_class is kind
    assert first_of(made) in keepers


@TARGETS
@pytest.mark.parametrize("keeper", ["cgroup_fair", "mixed_service"])
def test_the_only_one_of_the_repository_that_keeps_both_is_first(
    repository: Path, keeper: str, target: GroupProfile, kind: WorkloadClass
) -> None:
    own = library_of(repository)
    library = with_findings(own, dict.fromkeys(own.entries, (LOSES,)) | {keeper: (KEEPS,)})
    made = plans(library, WEIGHTS_AND_LIMITS, target)
    assert made.description.workload_class is kind
    assert first_of(made) == keeper


def library_of(repository: Path) -> Library:
    return Library(load_manifests(repository / "schedulers" / "manifests"))


def with_findings(library: Library, findings: Mapping[str, tuple[Measured, ...]]) -> Library:
    """The library, with these as what was measured of the schedulers of those names."""
    changed = {
        name: LibraryEntry(library.entries[name].manifest.replace(measured=measured))
        for name, measured in findings.items()
    }
    return Library({**library.entries, **changed})


def keeps_both(entry: LibraryEntry) -> bool:
    """Whether it was accepted somewhere, and lost neither wherever it was."""
    accepted = [found for found in entry.manifest.measured if found.accepted]
    return bool(accepted) and not any(
        WEIGHTS_AND_LIMITS & set(found.contract_losses) for found in accepted
    )


def plans(
    library: Library,
    needed: frozenset[ContractLoss] = frozenset(),
    target: GroupProfile = LATENCY_TARGET,
    *,
    release: str = KERNEL.release,
) -> PlansMade:
    made = make_plans(
        profile(target),
        policy_spec(),
        library=library,
        kernel_digest=KERNEL.content_digest(),
        kernel_release=release,
        needed=needed,
    )
    assert isinstance(made, PlansMade)
    return made


def first_of(made: PlansMade) -> str:
    return made.proposals[0].candidate.scheduler
