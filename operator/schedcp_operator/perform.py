"""Effects, performed: one `match`. Whatever comes of one is an event, also when it fails."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from schedcp_api.nodestates import Arm, BlockRecord
from schedcp_api.profiles import WorkloadProfile
from schedcp_api.runs import BlockFigure
from schedcp_api.verdicts import VerificationRequest

from .errors import (
    NotFound,
    PrometheusUnavailable,
    Refused,
    SettingsError,
    StoreUnavailable,
    VerifierUnavailable,
)
from .events import (
    Effect,
    Event,
    FiguresMissing,
    FiguresRead,
    LessonsStored,
    MakePlans,
    NodeBlocks,
    PlanningFailed,
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
from .library import Library, LibraryEntry
from .planner import make_plans
from .prometheus import Figures
from .stages.promoting import OBJECTIVE
from .store import Store
from .trust import TrustedKeys
from .verifier_client import Verifier
from .views import Run

__all__ = ["Performer"]

_AT_ONCE = 8
"""Questions to Prometheus at a time."""


@dataclass(frozen=True)
class Performer:
    """Everything that effects need."""

    store: Store
    verifier: Verifier
    figures: Figures
    manifests: dict[str, LibraryEntry]
    sync_nodes: Callable[[tuple[str, ...]], Awaitable[None]]
    trust: TrustedKeys
    soak: timedelta
    clock: Callable[[], datetime]

    async def perform(self, run: Run, effect: Effect) -> Event | None:
        """Perform one effect; return what came of it. Raise only TemporaryError or NotLeader."""
        match effect:
            case SyncNodes(nodes):
                await self.sync_nodes(nodes)
                return None
            case TryQueries(node):
                return await self._try(run, node)
            case MakePlans():
                return await self._plan(run, effect)
            case Verify():
                return await self._verify(effect)
            case SignToken():
                return await self._sign(effect)
            case ReadFigures(nodes):
                return await self._read(run, nodes)
            case ReadPromotion(step, nodes):
                return await self._read_promotion(run, step, nodes)
            case StoreLessons(lessons):
                return LessonsStored(await self.store.add_lessons(lessons))

    async def library(self) -> Library:
        """Return the library with what was imported; an import never replaces a manifest."""
        return Library({**await self.store.sources(), **self.manifests})

    async def _profile(self, digest: str) -> WorkloadProfile:
        data = await self.store.get_blob(digest)
        if data is None:
            raise NotFound(f"the profile {digest} is not in the store")
        try:
            return WorkloadProfile.model_validate_json(data)
        except ValidationError as err:
            raise Refused(f"the profile {digest} does not fit: {err}"[:1500]) from err

    async def _plan(self, run: Run, effect: MakePlans) -> Event:
        try:
            profile = await self._profile(effect.profile_digest)
        except (NotFound, Refused) as err:
            return PlanningFailed("NoProfile", str(err))
        return make_plans(
            profile,
            run.policy,
            library=await self.library(),
            lessons=await self.store.lessons(),
            kernel_digest=effect.kernel_digest,
            kernel_release=effect.kernel_release,
            needed=run.needed_contract,
            programs=effect.programs,
        )

    async def _verify(self, effect: Verify) -> Event:
        try:
            if effect.verification:
                found = await self.verifier.status(effect.verification)
            else:
                request = await self._request(effect)
                found = await self.verifier.start(request, effect.claims)
            if found.verdict is not None:
                await self.trust.refresh()
            return VerificationSeen(found)
        except NotFound as err:
            return VerifierFailed(str(err), forgotten=True)
        except (VerifierUnavailable, StoreUnavailable, SettingsError) as err:
            return VerifierFailed(str(err))
        except Refused as err:
            return VerifierFailed(f"refused: {err}", forgotten=True)

    async def _request(self, effect: Verify) -> VerificationRequest:
        source = None
        if effect.candidate.source_digest is not None:
            source = await self.store.source(effect.candidate.source_digest)
            if source is None:
                raise NotFound(f"the source {effect.candidate.source_digest} is not in the store")
        return VerificationRequest(
            candidate=effect.candidate,
            source=source,
            kernel_digest=effect.kernel_digest,
            profile=await self._profile(effect.profile_digest),
            contract=effect.contract,
        )

    async def _sign(self, effect: SignToken) -> Event:
        try:
            built = effect.built_digest
            if built is not None and await self.store.get_blob(built) is None:
                await self.store.put_blob(await self.verifier.fetch(built))
            await self.trust.refresh()
            return TokenReceived(await self.verifier.sign(effect.request))
        except SettingsError as err:
            return SigningRefused("TrustedKeysUnusable", str(err), final=True)
        except (NotFound, Refused) as err:
            return SigningRefused("SigningRefused", str(err), final=True)
        except (VerifierUnavailable, StoreUnavailable) as err:
            return SigningRefused("SignerUnavailable", str(err), final=False)

    async def _read(self, run: Run, nodes: tuple[NodeBlocks, ...]) -> Event:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(node: str, block: BlockRecord) -> BlockFigure:
            async with limit:
                return await self._block(run, node, block)

        came: Event | None = None
        tasks: list[asyncio.Task[BlockFigure]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for entry in nodes:
                    for block in entry.blocks:
                        tasks.append(group.create_task(one(entry.node, block)))
        except* PrometheusUnavailable as errors:
            came = FiguresMissing(str(errors.exceptions[0]))
        except* Refused as errors:
            came = QueriesRefused(str(errors.exceptions[0]))
        return came or FiguresRead(tuple(task.result() for task in tasks))

    async def _try(self, run: Run, node: str) -> Event:
        now = self.clock()
        spec = run.policy
        metrics = (spec.objective.metric, *(rail.metric for rail in spec.guardrails))
        try:
            for metric in metrics:
                if metric.prometheus is not None:
                    await self.figures.value(
                        metric, policy=run.spec.policy, node=node, start=now - self.soak, end=now
                    )
        except PrometheusUnavailable as err:
            return QueriesTried(str(err))
        except Refused as err:
            return QueriesRefused(str(err))
        return QueriesTried()

    async def _block(self, run: Run, node: str, block: BlockRecord) -> BlockFigure:
        figure = BlockFigure(
            node=node,
            index=block.index,
            arm=block.arm,
            started_at=block.started_at,
            ended_at=block.ended_at,
            value="",
            valid=block.valid,
            invalid_reason=block.invalid_reason,
        )
        if not block.valid:
            return figure
        window = (block.started_at, block.ended_at)
        value = await self._value(run, OBJECTIVE, node, window)
        rails = {
            rail.name: _text(await self._value(run, rail.name, node, window))
            for rail in run.policy.guardrails
        }
        # Without a metric of the agents it is not known that Prometheus scrapes any, and it may
        # know no other target than the workload.
        ours = (run.policy.objective.metric, *(rail.metric for rail in run.policy.guardrails))
        if any(metric.builtin is not None for metric in ours):
            scrapes = await self.figures.scrapes(start=block.started_at, end=block.ended_at)
            figure = figure.replace(scrapes=scrapes)
        return figure.replace(value=_text(value), guardrails=rails)

    async def _value(
        self, run: Run, name: str, node: str, window: tuple[datetime, datetime]
    ) -> float | None:
        metric = run.policy.objective.metric
        for rail in run.policy.guardrails:
            if rail.name == name:
                metric = rail.metric
        return await self.figures.value(
            metric, policy=run.spec.policy, node=node, start=window[0], end=window[1]
        )

    async def _read_promotion(self, run: Run, step: int, nodes: tuple[str, ...]) -> Event:
        soak = self.soak
        since = {entry.name: entry.since for entry in run.status.nodes}
        now = self.clock()
        names = (OBJECTIVE, *(rail.name for rail in run.policy.guardrails))
        figures: list[PromotionFigure] = []
        try:
            await self.figures.ping()
            for node in nodes:
                start = since[node]
                for name in names:
                    before = _off_the_candidate(run, name, node)
                    if before is None:
                        before = await self._value(run, name, node, (start - soak, start))
                    after = await self._value(run, name, node, (now - soak, now))
                    figures.append(PromotionFigure(node, name, before, after))
        except PrometheusUnavailable as err:
            return FiguresMissing(str(err))
        except Refused as err:
            return QueriesRefused(str(err))
        return PromotionRead(step, tuple(figures))


def _off_the_candidate(run: Run, name: str, node: str) -> float | None:
    """Return the median of a canary node's valid OFF blocks; None where there were none.

    They lie nearest to the promotion, and they are in the run's status whatever has become of
    Prometheus since. A node that was no canary has no blocks.
    """
    values = [
        block.value if name == OBJECTIVE else block.guardrails.get(name, "")
        for block in run.attempt.blocks
        if block.node == node and block.arm is Arm.OFF and block.valid
    ]
    known = [float(value) for value in values if value]
    return statistics.median(known) if known else None


def _text(value: float | None) -> str:
    return f"{value:.9g}" if value is not None else ""
