"""A switchback in real time, as an agent plays it, for tests that interfere with it."""

from datetime import datetime, timedelta

from schedcp_api.nodestates import Arm, Assignment, BlockRecord, SwitchbackProgress

Interval = tuple[datetime, datetime, Arm]


class PacedBlocks:
    """One node's blocks, one after the other; one in which the lease ran out does not count."""

    def __init__(self, wanted: Assignment, *, seconds: float) -> None:
        assert wanted.switchback is not None
        self._wanted = wanted
        self._schedule = wanted.switchback
        self._length = timedelta(seconds=seconds)
        self._started: datetime | None = None
        self._spoiled = ""
        self._records: list[BlockRecord] = []

    def tick(self, now: datetime, *, leased: bool) -> SwitchbackProgress:
        """Let time go on to `now`; return what there is then."""
        if len(self._records) < len(self._schedule.blocks):
            self._go_on(now, leased=leased)
        return SwitchbackProgress(
            id=self._schedule.id,
            run=self._wanted.run,
            blocks=tuple(self._records),
            finished=len(self._records) == len(self._schedule.blocks),
        )

    def intervals(self) -> list[Interval]:
        """When the node was in which arm."""
        return [(block.started_at, block.ended_at, block.arm) for block in self._records]

    def _go_on(self, now: datetime, *, leased: bool) -> None:
        if self._started is None:
            if leased:
                self._started, self._spoiled = now, ""
            return
        if not leased:
            self._spoiled = "LeaseExpired"
        if now >= self._started + self._length:
            self._records.append(self._record(self._started, now))
            self._started, self._spoiled = (now if leased else None), ""

    def _record(self, started: datetime, now: datetime) -> BlockRecord:
        arm = self._schedule.blocks[len(self._records)]
        return BlockRecord(
            index=len(self._records),
            arm=arm,
            started_at=started,
            ended_at=now,
            ops_name=self._wanted.ops_name if arm is Arm.ON else "",
            enable_seq_start=1,
            enable_seq_end=1,
            valid=not self._spoiled,
            invalid_reason=self._spoiled,
        )
