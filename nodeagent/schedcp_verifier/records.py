"""What the guest may say: one JSON record a line, parsed as the hostile input that it is.

Unknown fields, wrong types, too long texts and too many records are refused with GuestOutputError;
nothing after this module looks at raw guest output.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from .errors import GuestOutputError

__all__ = [
    "Charge",
    "GroupData",
    "GuestReport",
    "HeartbeatData",
    "LoaderData",
    "StateData",
    "TrialData",
    "parse_report",
]

RECORDS_MAX = 2000
UINT64_MAX = 2**64 - 1

Name = Annotated[str, StringConstraints(max_length=128)]
Count = Annotated[int, Field(ge=0, le=UINT64_MAX)]
Counts = Annotated[dict[Name, Count], Field(max_length=32)]


class _Data(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, validate_by_alias=True
    )


class KernelData(_Data):
    """The types of the kernel that booted."""

    btf_digest: Name


class StateData(_Data):
    """`/sys/kernel/sched_ext` at one moment."""

    state: Name
    ops: Name
    enable_seq: Count
    uptime: Name

    @property
    def enabled(self) -> bool:
        """Whether some scheduler other than the kernel's own is in charge."""
        return self.state == "enabled"


class StatusData(_Data):
    """How a program ended."""

    program: Name
    code: Annotated[int, Field(ge=0, le=255)]


class TextData(_Data):
    """The end of a log; base64, because a log may hold anything."""

    name: Name
    base64: Annotated[str, StringConstraints(max_length=64 * 1024)]


class GroupData(_Data):
    """What one group of a workload got."""

    group: Name
    threads: Count
    cpu_time_ns: Count
    finished: Count
    longest_ns: Count = 0
    """The most CPU time of one of its workers."""
    makespan_ns: Count = 0
    turnaround_mean_ns: Count = 0
    """From when a finite worker's work was there to when it was done."""
    wakeups: Count
    samples_dropped: Count = 0
    wakeup_p50_ns: Count = 0
    wakeup_p99_ns: Count = 0
    wakeup_p999_ns: Count = 0
    wakeup_max_ns: Count = 0
    response_p50_ns: Count = 0
    response_p99_ns: Count = 0
    response_p999_ns: Count = 0
    response_max_ns: Count = 0


class HeartbeatData(_Data):
    """How long one class of threads went without running."""

    class_: Annotated[Name, Field(alias="class")]
    beats: Count
    longest_gap_ns: Count


class TrialData(_Data):
    """A trial that came to its end."""

    trial: Name
    took_ns: Count
    effects: Counts = Field(default_factory=dict)
    """How much of the trouble was made, and what was refused, by name."""
    longest_gaps_ns: Counts = Field(default_factory=dict)
    """By kind of watched task."""


class BorderData(_Data):
    """Who is in charge from now on."""

    charge: Literal["candidate", "kernel"]


@dataclass
class Charge:
    """Whether the candidate is in charge, as far as the guest came to tell."""

    candidate: bool = False


class LoaderData(BaseModel):
    """An event of the loader; it says more than is needed here."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", strict=True, alias_generator=to_camel, validate_by_alias=True
    )

    event: Name
    ops: Name = ""
    enable_seq: Count = 0
    kind: int = 0
    code: int | Name = 0
    exit_code: int = 0
    reason: Annotated[str, StringConstraints(max_length=1024)] = ""
    message: Annotated[str, StringConstraints(max_length=8192)] = ""
    log: Annotated[str, StringConstraints(max_length=65536)] = ""
    dump: Annotated[str, StringConstraints(max_length=65536)] = ""
    programs: tuple[ProgramData, ...] = ()
    counters: Counts = Field(default_factory=dict)
    """The scheduler's own statistics."""


class ProgramData(_Data):
    """How hard the kernel's verifier worked on one program."""

    name: Name
    verified_instructions: Count
    translated_bytes: Count = 0


class _Record(_Data):
    step: Name


class _Kernel(_Record):
    from_: Annotated[Literal["kernel"], Field(alias="from")]
    data: KernelData


class _State(_Record):
    from_: Annotated[Literal["state"], Field(alias="from")]
    data: StateData


class _Status(_Record):
    from_: Annotated[Literal["status"], Field(alias="from")]
    data: StatusData


class _Text(_Record):
    from_: Annotated[Literal["text"], Field(alias="from")]
    data: TextData


class _Workload(_Record):
    from_: Annotated[Literal["workload"], Field(alias="from")]
    data: GroupData


class _Heartbeat(_Record):
    from_: Annotated[Literal["heartbeat"], Field(alias="from")]
    data: HeartbeatData


class _Trials(_Record):
    from_: Annotated[Literal["trials"], Field(alias="from")]
    data: TrialData


class _Border(_Record):
    from_: Annotated[Literal["border"], Field(alias="from")]
    data: BorderData


class _Loader(_Record):
    from_: Annotated[Literal["loader"], Field(alias="from")]
    data: LoaderData


class _End(_Data):
    from_: Annotated[Literal["end"], Field(alias="from")]


_Any = (
    _Kernel | _State | _Status | _Text | _Workload | _Heartbeat | _Trials | _Loader | _Border | _End
)
_ADAPTER: TypeAdapter[_Any] = TypeAdapter(Annotated[_Any, Field(discriminator="from_")])


@dataclass(frozen=True)
class GuestReport:
    """Everything that one guest said, by step."""

    complete: bool
    """Whether the guest came to the end of its plan."""
    btf_digest: str
    states: dict[str, StateData]
    statuses: dict[tuple[str, str], int]
    """Exit status by (program, step)."""
    texts: dict[tuple[str, str], str]
    """Text by (name, step)."""
    groups: dict[str, dict[str, GroupData]]
    """Workload groups by step and name."""
    heartbeats: tuple[HeartbeatData, ...]
    trials_at: dict[str, tuple[TrialData, ...]]
    """Trials by step."""
    loader: dict[str, tuple[LoaderData, ...]]

    @property
    def of_program(self) -> bool:
        """Whether the scheduler's own program was started, instead of the loader."""
        return any(name == "program" for name, _ in self.statuses)

    @property
    def trials(self) -> tuple[TrialData, ...]:
        """The trials under the candidate."""
        return self.trials_at.get("trials", ())

    @property
    def control(self) -> tuple[TrialData, ...]:
        """The trials that ran under the kernel's own scheduler before."""
        return self.trials_at.get("control", ())

    def loader_event(self, step: str, event: str) -> LoaderData | None:
        """Return the loader's last event of that kind in a step."""
        found = [data for data in self.loader.get(step, ()) if data.event == event]
        return found[-1] if found else None


def parse_report(lines: Iterable[bytes], charge: Charge | None = None) -> GuestReport:
    """Return what the lines say, or raise GuestOutputError for the first that is not a record.

    `charge` is kept up to date meanwhile, for the case that the lines never come to their end.
    """
    charge = charge or Charge()
    report = GuestReport(False, "", {}, {}, {}, {}, (), {}, {})
    heartbeats: list[HeartbeatData] = []
    digest, complete = "", False
    for number, line in enumerate(lines, 1):
        if number > RECORDS_MAX:
            raise GuestOutputError(f"the guest sent more than {RECORDS_MAX} records")
        if complete:
            raise GuestOutputError(f"line {number} of the guest's results comes after its end")
        match _record(number, line):
            case _Kernel(data=data):
                digest = data.btf_digest
            case _State(step=step, data=data):
                report.states[step] = data
            case _Status(step=step, data=data):
                report.statuses[data.program, step] = data.code
            case _Text(step=step, data=data):
                report.texts[data.name, step] = _decoded(number, data)
            case _Workload(step=step, data=data):
                report.groups.setdefault(step, {})[data.group] = data
            case _Heartbeat(data=data):
                heartbeats.append(data)
            case _Trials(step=step, data=data):
                report.trials_at[step] = (*report.trials_at.get(step, ()), data)
            case _Loader(step=step, data=data):
                report.loader[step] = (*report.loader.get(step, ()), data)
            case _Border(data=data):
                charge.candidate = data.charge == "candidate"
            case _End():
                complete = True
    return GuestReport(
        complete,
        digest,
        report.states,
        report.statuses,
        report.texts,
        report.groups,
        tuple(heartbeats),
        report.trials_at,
        report.loader,
    )


def _record(number: int, line: bytes) -> _Any:
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GuestOutputError(
            f"line {number} of the guest's results is no record: {where}: {first['msg']}"
        ) from error


def _decoded(number: int, data: TextData) -> str:
    try:
        return base64.b64decode(data.base64, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError) as error:
        raise GuestOutputError(
            f"line {number} of the guest's results: text {data.name!r} is not base64"
        ) from error
