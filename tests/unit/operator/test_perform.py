"""Effects and what comes of them, against in-memory edges."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schedcp_api.base import digest_of
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.nodestates import Arm
from schedcp_api.policies import (
    BuiltinMetric,
    Guardrail,
    MetricSource,
    Objective,
    PinnedCandidate,
    PrometheusQuery,
    Search,
)
from schedcp_api.runs import NodeRole, RunNode, RunStage
from schedcp_operator.assignments import switchback
from schedcp_operator.errors import (
    OperatorError,
    PrometheusUnavailable,
    Refused,
    StoreUnavailable,
    VerifierUnavailable,
)
from schedcp_operator.events import (
    Event,
    FiguresMissing,
    FiguresRead,
    LessonsStored,
    MakePlans,
    NodeBlocks,
    PlanningFailed,
    PlansMade,
    PromotionFigure,
    PromotionRead,
    QueriesRefused,
    QueriesTried,
    ReadFigures,
    ReadPromotion,
    SigningRefused,
    SignToken,
    StoreLessons,
    SyncNodes,
    TokenReceived,
    TryQueries,
    VerificationSeen,
    VerifierFailed,
    Verify,
)
from schedcp_operator.perform import Performer
from schedcp_operator.stages.common import with_attempt
from schedcp_operator.stages.learning import lessons_of
from schedcp_operator.stages.verifying import claims_of, contract_of
from schedcp_operator.trust import TrustedKeys
from schedcp_operator.views import Run
from support.operator_doubles import MemoryFigures, MemoryStore, MemoryVerifier, pem
from support.operator_driver import Driver
from support.operator_library import BUILT, LIBRARY, PROGRAM, manifest
from support.operator_nodes import block_records
from support.operator_nouns import KERNEL, KEY, NOW, RULES, run
from support.operator_profiles import profile


class Bench:
    """A performer with doubles on every side."""

    def __init__(self, *, keys: Path | None = None) -> None:
        self.store = MemoryStore()
        self.verifier = MemoryVerifier()
        self.figures = MemoryFigures()
        self.synced: list[tuple[str, ...]] = []
        self.trust = TrustedKeys(keys, self.verifier)
        self.performer = Performer(
            store=self.store,
            verifier=self.verifier,
            figures=self.figures,
            manifests=dict(LIBRARY.entries),
            sync_nodes=self._sync,
            trust=self.trust,
            soak=timedelta(seconds=10),
            clock=lambda: NOW,
        )

    async def _sync(self, nodes: tuple[str, ...]) -> None:
        self.synced.append(nodes)

    async def profiled(self) -> str:
        """A profile in the store."""
        return await self.store.put_blob(profile().model_dump_json(by_alias=True).encode())

    async def verify(self, found: Run, *, verification: str = "") -> Verify:
        """The effect for the run's candidate."""
        return Verify(
            candidate=found.attempt.candidate,
            profile_digest=await self.profiled(),
            kernel_digest=KERNEL.content_digest(),
            contract=contract_of(found),
            claims=claims_of(found, RULES),
            verification=verification,
        )


def at(stage: RunStage, **spec: Any) -> Run:
    """A run in a stage, on nodes that have a program."""
    driver = Driver(run(**spec), programs=(BUILT,))
    driver.until(stage)
    if stage is RunStage.CANARY:
        driver.observe()
    return driver.run


async def test_nodes_are_synced() -> None:
    bench = Bench()
    assert await bench.performer.perform(run(), SyncNodes(("node-1",))) is None
    assert bench.synced == [("node-1",)]


async def test_plans_are_made_from_the_stored_profile() -> None:
    bench = Bench()
    digest = await bench.profiled()
    came = await bench.performer.perform(
        run(), MakePlans(digest, KERNEL.content_digest(), KERNEL.release, {})
    )
    assert isinstance(came, PlansMade)
    assert PROGRAM.name not in [proposal.candidate.scheduler for proposal in came.proposals]
    there = MakePlans(digest, KERNEL.content_digest(), KERNEL.release, {"node-1": (BUILT,)})
    with_it = await bench.performer.perform(run(), there)
    assert isinstance(with_it, PlansMade)
    assert with_it.proposals[-1].candidate.program_digest == BUILT.digest


@pytest.mark.parametrize("data", [None, b"{}", b"not json"])
async def test_a_profile_that_cannot_be_read_is_no_plan(data: bytes | None) -> None:
    bench = Bench()
    digest = digest_of(b"missing") if data is None else await bench.store.put_blob(data)
    came = await bench.performer.perform(
        run(), MakePlans(digest, KERNEL.content_digest(), KERNEL.release, {})
    )
    assert isinstance(came, PlanningFailed)
    assert came.reason == "NoProfile"


async def test_a_verification_is_started_and_then_asked_for() -> None:
    bench = Bench()
    found = at(RunStage.VERIFYING)
    started = await bench.performer.perform(found, await bench.verify(found))
    assert isinstance(started, VerificationSeen)
    assert bench.verifier.requests[0].profile == profile()
    known = await bench.verify(found, verification=started.verification.id)
    done = await bench.performer.perform(found, known)
    assert isinstance(done, VerificationSeen)
    assert done.verification.verdict is not None


async def test_an_imported_source_goes_along() -> None:
    bench = Bench()
    digest = await bench.store.add_source(manifest("mine"), "int x;")
    found = at(RunStage.VERIFYING)
    candidate = Candidate(kind=PlanKind.CONFIGURE, scheduler="mine", source_digest=digest)
    attempt = found.attempt.replace(candidate=candidate)
    changed = Run(found.name, found.spec, found.status.replace(attempts=(attempt,)))
    await bench.performer.perform(changed, await bench.verify(changed))
    assert bench.verifier.requests[0].source == "int x;"


async def test_an_import_never_replaces_a_scheduler_of_the_library() -> None:
    bench = Bench()
    await bench.store.add_source(manifest("simple_fifo"), "int x;")
    library = await bench.performer.library()
    assert library.entries["simple_fifo"].source_digest is None


@pytest.mark.parametrize(
    ("problem", "forgotten"),
    [(VerifierUnavailable("gone"), False), (Refused("no"), True)],
)
async def test_a_verifier_in_trouble(problem: Exception, forgotten: bool) -> None:
    bench = Bench()
    bench.verifier.problem = problem  # type: ignore[assignment]
    found = at(RunStage.VERIFYING)
    came = await bench.performer.perform(found, await bench.verify(found))
    assert isinstance(came, VerifierFailed)
    assert came.forgotten is forgotten


async def test_a_verification_that_nobody_knows() -> None:
    bench = Bench()
    found = at(RunStage.VERIFYING)
    effect = await bench.verify(found, verification=digest_of(b"x"))
    came = await bench.performer.perform(found, effect)
    assert isinstance(came, VerifierFailed)
    assert came.forgotten


async def signing(bench: Bench) -> tuple[Run, SignToken]:
    """A run in Signing whose verification the verifier knows."""
    found = at(RunStage.VERIFYING)
    started = await bench.performer.perform(found, await bench.verify(found))
    assert isinstance(started, VerificationSeen)
    signed = at(RunStage.SIGNING)
    effect = Driver(signed).sign_request().replace(verification=started.verification.id)
    return signed, SignToken(effect, signed.attempt.built_digest)


async def test_the_object_is_in_the_store_before_there_is_a_token() -> None:
    bench = Bench()
    found, effect = await signing(bench)
    came = await bench.performer.perform(found, effect)
    assert isinstance(came, TokenReceived)
    assert effect.built_digest in bench.store.blobs
    assert [key.public_bytes_raw() for key in bench.trust.keys] == [
        KEY.public_key().public_bytes_raw()
    ]


async def test_nothing_is_fetched_for_a_program() -> None:
    bench = Bench()
    pinned = Search(pinned=(PinnedCandidate(scheduler=PROGRAM.name),))
    verifying = at(RunStage.VERIFYING, search=pinned)
    started = await bench.performer.perform(verifying, await bench.verify(verifying))
    assert isinstance(started, VerificationSeen)
    found = at(RunStage.SIGNING, search=pinned)
    request = Driver(found).sign_request().replace(verification=started.verification.id)
    before = dict(bench.store.blobs)
    came = await bench.performer.perform(found, SignToken(request, found.attempt.built_digest))
    assert isinstance(came, TokenReceived)
    assert bench.store.blobs == before


async def test_signing_in_trouble() -> None:
    bench = Bench()
    found, effect = await signing(bench)
    bench.store.problem = StoreUnavailable("disk")
    came = await bench.performer.perform(found, effect)
    assert came == SigningRefused("SignerUnavailable", "disk", final=False)
    bench.store.problem = None
    unknown = SignToken(effect.request, digest_of(b"another"))
    refused = await bench.performer.perform(found, unknown)
    assert isinstance(refused, SigningRefused)
    assert refused.final


async def test_trusted_keys_that_turn_bad_refuse_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.pem"
    path.write_text(pem())
    bench = Bench(keys=path)
    found, effect = await signing(bench)
    path.write_text("garbage")
    came = await bench.performer.perform(found, effect)
    assert isinstance(came, SigningRefused)
    assert (came.reason, came.final) == ("TrustedKeysUnusable", True)
    assert "not a PEM public key" in came.message


RECORDS = block_records(switchback(run(), "node-1").blocks, "x", NOW)
OWN = Guardrail(
    name="own", metric=MetricSource(prometheus=PrometheusQuery(query='x{node="$node"}'))
)
RAIL = Guardrail(name="neighbours", metric=MetricSource(builtin=BuiltinMetric.NEIGHBOUR_CPU_TIME))


async def test_every_valid_block_is_read_in_its_own_window() -> None:
    bench = Bench()
    bench.figures.scraped = 9
    found = at(RunStage.JUDGING, guardrails=(RAIL,))
    blocks = block_records(switchback(found, "node-1").blocks, found.attempt.ops_name, NOW)
    spoilt = (blocks[0].replace(valid=False, invalid_reason="restart"), *blocks[1:])
    came = await bench.performer.perform(found, ReadFigures((NodeBlocks("node-1", spoilt),)))
    assert isinstance(came, FiguresRead)
    assert [figure.value for figure in came.blocks] == ["", *9 * ["1"]]
    assert [figure.scrapes for figure in came.blocks] == [None, *9 * [9]]
    assert came.blocks[1].guardrails == {"neighbours": "1"}
    assert {(start, end) for _, _, start, end in bench.figures.asked} == {
        (block.started_at, block.ended_at) for block in blocks[1:]
    }


async def test_a_canary_is_compared_with_its_own_off_blocks() -> None:
    bench = Bench()
    bench.figures.answer = 7.0
    found = at(RunStage.PROMOTING, guardrails=(RAIL,))
    canary = found.attempt.blocks[0].node
    blocks = tuple(
        block.replace(value="5", guardrails={"neighbours": "0.5"})
        if block.arm is Arm.OFF
        else block
        for block in found.attempt.blocks
    )
    other = RunNode(name="node-9", role=NodeRole.PROMOTED, since=NOW)
    nodes = (*found.status.nodes, other)
    attempts = with_attempt(found, blocks=blocks)
    changed = found.status.replace(attempts=attempts, nodes=nodes)
    found = Run(found.name, found.spec, changed)
    came = await bench.performer.perform(found, ReadPromotion(0, (canary, "node-9")))
    assert isinstance(came, PromotionRead)
    assert [(f.node, f.name, f.before, f.after) for f in came.figures] == [
        (canary, "Objective", 5.0, 7.0),
        (canary, "neighbours", 0.5, 7.0),
        ("node-9", "Objective", 7.0, 7.0),
        ("node-9", "neighbours", 7.0, 7.0),
    ]
    assert [node for _, node, *_ in bench.figures.asked] == [canary] * 2 + ["node-9"] * 4


async def test_off_blocks_without_a_figure_are_no_figure() -> None:
    bench = Bench()
    found = at(RunStage.PROMOTING)
    canary = found.attempt.blocks[0].node
    blocks = tuple(
        block.replace(value="") if block.index % 4 == 1 else block.replace(valid=False)
        for block in found.attempt.blocks
    )
    bench.figures.answer = None
    attempts = with_attempt(found, blocks=blocks)
    found = Run(found.name, found.spec, found.status.replace(attempts=attempts))
    came = await bench.performer.perform(found, ReadPromotion(0, (canary,)))
    assert came == PromotionRead(0, (PromotionFigure(canary, "Objective", None, None),))


async def test_a_block_without_data_is_empty_and_not_zero() -> None:
    bench = Bench()
    bench.figures.answer, bench.figures.scraped = None, 9
    found = at(RunStage.JUDGING, objective=Objective(metric=OWN.metric))
    blocks = block_records(switchback(found, "node-1").blocks, found.attempt.ops_name, NOW)
    came = await bench.performer.perform(found, ReadFigures((NodeBlocks("node-1", blocks),)))
    assert isinstance(came, FiguresRead)
    # What else Prometheus scrapes than the workload is not known here.
    assert {(figure.value, figure.scrapes) for figure in came.blocks} == {("", None)}


@pytest.mark.parametrize(
    "effect",
    [
        lambda: ReadFigures(
            (NodeBlocks("node-1", block_records(switchback(run(), "node-1").blocks, "x", NOW)),)
        ),
        lambda: ReadPromotion(0, ()),
    ],
)
async def test_no_prometheus_no_figures(
    effect: Callable[[], ReadFigures | ReadPromotion],
) -> None:
    bench = Bench()
    bench.figures.problem = PrometheusUnavailable("connection refused")
    came = await bench.performer.perform(run(), effect())
    assert came == FiguresMissing("connection refused")


@pytest.mark.parametrize(
    ("problem", "came"),
    [
        (None, QueriesTried()),
        (PrometheusUnavailable("gone"), QueriesTried("gone")),
        (Refused("parse error"), QueriesRefused("parse error")),
    ],
)
async def test_the_policys_own_queries_are_tried(
    problem: OperatorError | None, came: Event
) -> None:
    bench = Bench()
    bench.figures.problem = problem
    found = run(guardrails=(RAIL, OWN))
    assert await bench.performer.perform(found, TryQueries("node-1")) == came
    assert [name for name, *_ in bench.figures.asked] == ([] if problem else ["prometheus"])


@pytest.mark.parametrize(
    "effect", [ReadFigures((NodeBlocks("node-1", RECORDS),)), ReadPromotion(0, ())]
)
async def test_a_query_that_is_refused_is_not_prometheus_being_gone(
    effect: ReadFigures | ReadPromotion,
) -> None:
    bench = Bench()
    bench.figures.problem = Refused("parse error")
    assert await bench.performer.perform(run(), effect) == QueriesRefused("parse error")


async def test_lessons_are_stored_once_however_often() -> None:
    bench = Bench()
    found = at(RunStage.LEARNING)
    first = await bench.performer.perform(found, StoreLessons(lessons_of(found)))
    again = await bench.performer.perform(found, StoreLessons(lessons_of(found)))
    assert isinstance(first, LessonsStored)
    assert first == again
    assert len(await bench.store.lessons()) == 1
