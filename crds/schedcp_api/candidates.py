"""From a profile to a candidate: the description, the plan, and the thing to be proven."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from .base import Digest, KnobName, KnobValue, Noun, SchedulerName, ShortText, Text


class WorkloadClass(StrEnum):
    """What kind of work a profile shows."""

    LATENCY_SENSITIVE = "LatencySensitive"
    LONG_TAIL_BATCH = "LongTailBatch"
    THROUGHPUT_BATCH = "ThroughputBatch"
    MIXED = "Mixed"
    IDLE = "Idle"


class Confidence(StrEnum):
    """How sure a description is; a rule says which facts made it so."""

    HIGH = "High"
    MEDIUM = "Medium"
    LOW = "Low"


class WorkloadDescription(Noun):
    """The Observation agent's reading of a profile."""

    workload_class: WorkloadClass
    goal: Text
    summary: Text
    confidence: Confidence
    facts: Annotated[tuple[ShortText, ...], Field(max_length=16)] = ()
    """The figures of the profile that led here."""


class PlanKind(StrEnum):
    """How a candidate comes about, in order of preference."""

    CONFIGURE = "Configure"
    PATCH = "Patch"
    COMPOSE = "Compose"
    GENERATE = "Generate"


class Argument(Noun):
    """One knob of a scheduler, set before it is loaded."""

    name: KnobName
    value: KnobValue


CommandWord = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_.,:=/@%+-]{1,128}$", min_length=1, max_length=128),
]
"""One word of a command line, of characters that mean nothing to a shell."""
CommandLine = Annotated[tuple[CommandWord, ...], Field(max_length=32)]
"""What follows a program's name, in its order."""


class SchedulingPlan(Noun):
    """The Planning agent's proposal."""

    kind: PlanKind
    scheduler: SchedulerName
    arguments: Annotated[tuple[Argument, ...], Field(max_length=32)] = ()
    command_line: CommandLine = ()
    """Of a scheduler that is a program."""
    rationale: Text
    expected: ShortText = ""


class Candidate(Noun):
    """A scheduler with its knobs, or a program with its command line; its digest is its name."""

    kind: PlanKind
    scheduler: SchedulerName
    arguments: Annotated[tuple[Argument, ...], Field(max_length=32)] = ()
    source_digest: Digest | None = None
    """Digest of the C source in the store; none for a scheduler of the library."""
    composition_digest: Digest | None = None
    """Digest of the composition that the source was made from, for those of kind Compose."""
    base: SchedulerName | None = None
    """The scheduler of the library that a patch was applied to, for those of kind Patch."""
    base_digest: Digest | None = None
    """Digest of that scheduler's source; the patch fits no other."""
    patch_digest: Digest | None = None
    program_digest: Digest | None = None
    """Digest of a program that loads its scheduler by itself; it has neither source nor knobs."""
    command_line: CommandLine = ()
    """Of that program, without its name."""

    @property
    def spelled(self) -> str:
        """The scheduler with its knobs or its words, on one line, for people."""
        knobs = (f"{argument.name}={argument.value}" for argument in self.arguments)
        return " ".join((self.scheduler, *knobs, *self.command_line))

    @model_validator(mode="after")
    def _arguments_sorted_and_unique(self) -> "Candidate":
        names = [argument.name for argument in self.arguments]
        if names != sorted(set(names)):
            raise ValueError("a candidate's arguments must be unique and sorted by name")
        return self

    @model_validator(mode="after")
    def _compositions_have_a_source(self) -> "Candidate":
        if self.composition_digest is None:
            return self
        if self.kind is not PlanKind.COMPOSE or self.source_digest is None:
            raise ValueError("a composition's digest needs kind Compose and the source's digest")
        return self

    @model_validator(mode="after")
    def _patches_have_a_base(self) -> "Candidate":
        origin = (self.base, self.base_digest, self.patch_digest)
        if self.kind is PlanKind.PATCH:
            if None in (*origin, self.source_digest):
                raise ValueError(
                    "kind Patch needs the base, its digest, the patch's and the source's"
                )
        elif origin != (None, None, None):
            raise ValueError("only a candidate of kind Patch has a base and a patch's digest")
        return self

    @model_validator(mode="after")
    def _programs_stand_alone(self) -> "Candidate":
        if self.program_digest is None:
            if self.command_line:
                raise ValueError("only a program has a command line; give its digest")
        elif self.kind is not PlanKind.CONFIGURE or self.source_digest or self.arguments:
            raise ValueError("a program is of kind Configure, with neither a source nor knobs")
        return self
