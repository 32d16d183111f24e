"""Programs as candidates: who may be one, set how, and after whom."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from schedcp_api.base import digest_of
from schedcp_api.candidates import Argument, Candidate, PlanKind, WorkloadClass
from schedcp_api.manifests import BuiltProgram, Measured
from schedcp_api.policies import PinnedCandidate, Search
from schedcp_api.profiles import GroupProfile
from schedcp_api.runs import AttemptResult, Lesson, Outcome, OutcomeKind
from schedcp_api.verdicts import ContractLoss
from schedcp_operator.events import PlanningFailed, PlansMade
from schedcp_operator.library import Library, LibraryEntry, load_manifests
from schedcp_operator.planner import make_plans
from schedcp_operator.programs import Missing, NodePrograms, build_on_all, programs_on
from support.operator_library import BUILT, LIBRARY, PROGRAM, built, manifest, program_manifest
from support.operator_nodes import node, world
from support.operator_nouns import KERNEL, NOW, policy_spec
from support.operator_profiles import LATENCY_TARGET, profile
from support.workloads import COMPUTING, IDLE, LONG_TAIL, UNSURE

TWO_NODES: NodePrograms = {"node-1": (BUILT,), "node-2": (BUILT,)}
OTHER_BUILD = built(PROGRAM, digest=digest_of(b"built elsewhere"))
OTHER_VERSION = built(PROGRAM, version="1.2.4")
OTHER_CRATE = built(PROGRAM, crate_digest=digest_of(b"forged"))
NEEDY = program_manifest("scx_needy", always=("--run-example",))


def made(
    search: Search | None = None,
    *,
    target: GroupProfile = LATENCY_TARGET,
    programs: NodePrograms = TWO_NODES,
    library: Library = LIBRARY,
    needed: frozenset[ContractLoss] = frozenset(),
    lessons: tuple[Lesson, ...] = (),
    release: str = KERNEL.release,
) -> PlansMade | PlanningFailed:
    return make_plans(
        profile(target),
        policy_spec(search=search or Search()),
        library=library,
        lessons=lessons,
        kernel_digest=KERNEL.content_digest(),
        kernel_release=release,
        needed=needed,
        programs=programs,
    )


def candidates(found: PlansMade | PlanningFailed) -> list[Candidate]:
    assert isinstance(found, PlansMade)
    return [proposal.candidate for proposal in found.proposals]


def names(found: PlansMade | PlanningFailed) -> list[str]:
    return [candidate.scheduler for candidate in candidates(found)]


def pinned(*words: str, scheduler: str = PROGRAM.name) -> Search:
    return Search(pinned=(PinnedCandidate(scheduler=scheduler, command_line=words),))


def test_a_pinned_program_is_the_build_of_the_nodes_with_the_policys_words() -> None:
    words = ("--slice-us", "5000")
    found = made(pinned(*words))
    (candidate,) = candidates(found)
    assert candidate == Candidate(
        kind=PlanKind.CONFIGURE,
        scheduler=PROGRAM.name,
        program_digest=BUILT.digest,
        command_line=words,
    )
    assert isinstance(found, PlansMade)
    assert found.proposals[0].plan.command_line == words
    assert candidate.spelled == "scx_bpfland --slice-us 5000"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (PinnedCandidate(scheduler=PROGRAM.name, command_line=("--monitor",)), "no parameter"),
        (
            PinnedCandidate(scheduler=PROGRAM.name, command_line=("--slice-us", "1")),
            "--slice-us 1 is outside 100..20000 us",
        ),
        (
            PinnedCandidate(
                scheduler=PROGRAM.name, arguments=(Argument(name="slice_ns", value="1"),)
            ),
            "scx_bpfland has no knob 'slice_ns'; it has: none",
        ),
        (PinnedCandidate(scheduler=NEEDY.name), "--run-example must be given"),
        (
            PinnedCandidate(scheduler="simple_fifo", command_line=("--slice-us", "5000")),
            "simple_fifo is no program: it has knobs, and no command line",
        ),
        (
            PinnedCandidate(scheduler="mine", command_line=("-k",)),
            "mine is no program: it has knobs, and no command line",
        ),
    ],
)
def test_words_that_do_not_fit_are_said_before_anything_is_verified(
    wanted: PinnedCandidate, words: str
) -> None:
    imported = LibraryEntry(manifest("mine"), digest_of(b"source"))
    more = {NEEDY.name: LibraryEntry(NEEDY), "mine": imported}
    found = made(Search(pinned=(wanted,)), library=Library({**LIBRARY.entries, **more}))
    assert isinstance(found, PlanningFailed)
    assert found.reason == "InvalidArguments"
    assert found.message.startswith(f"pinned {wanted.scheduler}: ")
    assert words in found.message


MISSING: Mapping[str, tuple[NodePrograms, str]] = {
    "no node": ({}, "did not come with the agents on any node"),
    "one node of two": ({"node-1": (BUILT,), "node-2": ()}, "the agents on node-2:"),
    "another version": ({"node-1": (OTHER_VERSION,)}, "the agents on node-1:"),
    "another archive": ({"node-1": (OTHER_CRATE,)}, "the agents on node-1:"),
    "two builds": (
        {"node-1": (BUILT,), "node-2": (OTHER_BUILD,)},
        "the agents on node-1, node-2 have 2 builds of scx_bpfland 1.2.3",
    ),
    "many nodes": ({f"node-{n}": () for n in range(1, 10)}, "node-8 and 1 more"),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_some_node_does_not_have_is_no_candidate(case: str) -> None:
    programs, words = MISSING[case]
    found = made(pinned(), programs=programs)
    assert isinstance(found, PlanningFailed)
    assert found.reason == "ProgramNotOnNodes"
    assert words in found.message
    by_rule = names(made(programs=programs))
    assert by_rule
    assert PROGRAM.name not in by_rule


def test_a_node_that_is_gone_has_nothing() -> None:
    there = programs_on(("node-1", "node-2"), world(node("node-1", programs=(BUILT,))))
    assert there == {"node-1": (BUILT,), "node-2": ()}
    assert isinstance(build_on_all(PROGRAM, there), Missing)


def test_by_rule_a_program_comes_after_ours_with_its_default_words() -> None:
    found = candidates(made())
    assert [candidate.scheduler for candidate in found][-1:] == [PROGRAM.name]
    assert [candidate.program_digest for candidate in found] == [
        *[None] * (len(found) - 1),
        BUILT.digest,
    ]
    needy = program_manifest(PROGRAM.name, always=("--run-example",))
    library = Library({**LIBRARY.entries, PROGRAM.name: LibraryEntry(needy)})
    assert candidates(made(library=library))[-1].command_line == ("--run-example",)


@pytest.mark.parametrize("target", [LONG_TAIL, COMPUTING, IDLE])
def test_by_rule_a_program_is_for_the_work_that_it_is_good_for(target: GroupProfile) -> None:
    assert PROGRAM.name not in names(made(target=target))


def test_by_rule_nothing_is_proposed_when_configuring_is_not_allowed() -> None:
    assert names(made(Search(allow=(PlanKind.GENERATE,)))) == []


@pytest.mark.parametrize("needed", [(), (ContractLoss.CPU_WEIGHT,), tuple(ContractLoss)])
def test_programs_come_after_ours_whatever_was_measured(needed: tuple[ContractLoss, ...]) -> None:
    kept = Measured(kernels="7.3", accepted=True, contract_losses=(ContractLoss.NICE,))
    measured = LibraryEntry(PROGRAM.replace(measured=(kept,)))
    library = Library({**LIBRARY.entries, PROGRAM.name: measured})
    assert names(made(library=library, needed=frozenset(needed)))[-1] == PROGRAM.name


@pytest.mark.parametrize(
    ("words", "reason", "left"),
    [((), "Worse", False), (("--slice-us", "300"), "Worse", True), (("-k",), "Ejected", False)],
)
def test_a_lesson_about_a_program_is_about_its_words_or_its_crash(
    words: tuple[str, ...], reason: str, left: bool
) -> None:
    found = made()
    assert isinstance(found, PlansMade)
    lesson = Lesson(
        run="before",
        policy="checkout",
        workload="Deployment/shop/checkout",
        description=found.description,
        profile_digest=None,
        kernel_digest=KERNEL.content_digest(),
        candidate=candidates(found)[-1].replace(command_line=words),
        result=AttemptResult.ROLLED_BACK,
        outcome=Outcome(kind=OutcomeKind.WORSE, reason=reason),
        at=NOW,
    )
    assert (PROGRAM.name in names(made(lessons=(lesson,)))) is left


def test_every_program_of_the_repository_is_somewhere_tried_but_for_the_one_of_layers(
    repository: Path,
) -> None:
    library = Library(load_manifests(repository / "schedulers" / "manifests"))
    manifests = {name: entry.manifest for name, entry in library.entries.items()}
    stock: dict[str, BuiltProgram] = {
        name: built(found) for name, found in manifests.items() if found.program is not None
    }
    seen: set[str] = set()
    for target, kind in (
        (LATENCY_TARGET, WorkloadClass.LATENCY_SENSITIVE),
        (UNSURE, WorkloadClass.MIXED),
    ):
        there = {"node-1": tuple(stock.values())}
        found = made(target=target, library=library, programs=there, release="never measured")
        assert isinstance(found, PlansMade)
        assert found.description.workload_class is kind
        kinds = [candidate.program_digest is not None for candidate in candidates(found)]
        assert kinds == sorted(kinds), "ours first"
        for candidate in candidates(found):
            fits = manifests[candidate.scheduler].problems(
                candidate.arguments, candidate.command_line
            )
            assert fits == ()
        seen |= stock.keys() & set(names(found))
    assert seen == stock.keys() - {"scx_layered"}
