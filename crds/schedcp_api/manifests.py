"""What is known of the schedulers that a plan may name, without reading their code.

A scheduler is either a C source with knobs, which the verifier builds, or a program that loads its
scheduler by itself and has parameters on its command line.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from .base import Digest, KnobName, Noun, SchedulerName, ShortText, Text
from .candidates import Argument, CommandLine
from .verdicts import ContractLoss

__all__ = [
    "CATALOGUE_NAME",
    "BuiltProgram",
    "Catalogue",
    "Knob",
    "Measured",
    "Parameter",
    "ParameterType",
    "Program",
    "SchedulerManifest",
]

CATALOGUE_NAME = "catalogue.json"
"""Of the file with a `Catalogue`, in the folder of the programs."""


class Knob(Noun):
    """A `const volatile` variable of a scheduler that may be set before it is loaded."""

    name: KnobName
    type: Annotated[str, Field(pattern=r"^(u32|u64|bool)$")]
    unit: ShortText = ""
    default: int = Field(ge=0)
    minimum: int = Field(ge=0)
    maximum: int = Field(ge=0)
    summary: ShortText


class ParameterType(StrEnum):
    """What stands behind a flag of a program."""

    FLAG = "Flag"
    """Nothing: it is there or not."""
    INTEGER = "Integer"
    DECIMAL = "Decimal"
    CHOICE = "Choice"


Bound = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,6})?$", max_length=26)]
"""A number as text: digests are made of no floats."""
Flag = Annotated[str, StringConstraints(pattern=r"^--[a-z][a-z0-9-]{1,40}$", max_length=43)]
Letter = Annotated[str, StringConstraints(pattern=r"^-[A-Za-z]$", max_length=2)]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,32}$", max_length=32)]

_NUMBERS = {
    ParameterType.INTEGER: re.compile(r"-?[0-9]{1,18}"),
    ParameterType.DECIMAL: re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,6})?"),
}


class Parameter(Noun):
    """One flag of a program: `--flag VALUE`, `--flag=VALUE` or `-f VALUE`; just `--flag` for Flag.

    The range is what we allow: the program itself may take more.
    """

    flag: Flag
    letter: Letter | None = None
    type: ParameterType
    unit: ShortText = ""
    default: ShortText = ""
    """What the program does without the flag."""
    minimum: Bound | None = None
    maximum: Bound | None = None
    choices: Annotated[tuple[Word, ...], Field(max_length=16)] = ()
    summary: ShortText

    @model_validator(mode="after")
    def _a_type_has_its_own_limits(self) -> "Parameter":
        ranged = self.minimum is not None and self.maximum is not None
        if (self.minimum is not None or self.maximum is not None) != (self.type in _NUMBERS):
            raise ValueError(f"{self.flag}: numbers have a range, and nothing else has one")
        if self.type in _NUMBERS and not ranged:
            raise ValueError(f"{self.flag}: a range has two ends")
        if bool(self.choices) != (self.type is ParameterType.CHOICE):
            raise ValueError(f"{self.flag}: a Choice has choices, and nothing else has")
        if ranged and Decimal(self.minimum or 0) > Decimal(self.maximum or 0):
            raise ValueError(f"{self.flag}: its range is empty")
        return self

    def problem(self, value: str | None) -> str:
        """Return why `value`, or none at all, does not fit; empty when it does."""
        if (value is None) != (self.type is ParameterType.FLAG):
            return f"{self.flag} {'needs a value behind it' if value is None else 'takes no value'}"
        if value is None:
            return ""
        if self.type is ParameterType.CHOICE:
            known = ", ".join(self.choices)
            return "" if value in self.choices else f"{self.flag} {value}: it is one of {known}"
        if not _NUMBERS[self.type].fullmatch(value):
            return f"{self.flag} {value}: its value is a number of type {self.type}"
        if not Decimal(self.minimum or 0) <= Decimal(value) <= Decimal(self.maximum or 0):
            span = f"{self.minimum}..{self.maximum} {self.unit}".rstrip()
            return f"{self.flag} {value} is outside {span}"
        return ""


class Program(Noun):
    """A program of the scx project as its authors publish it: a crate, by version and digest.

    The crate is pinned and not what is built from it, because a build holds the compilers' versions
    and is another on another release. The crate's own lock file pins everything else that goes into
    it. What was built is known by its digest where it was built (`catalogue.json`), in verdicts and
    in tokens.
    """

    crate: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$", max_length=63)]
    version: Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$", max_length=32)]
    crate_digest: Digest
    """Of the crate's archive, as the registry's own index says it."""
    always: Annotated[tuple[Flag, ...], Field(max_length=4)] = ()
    """Flags without a value that it does not start a scheduler without."""
    parameters: Annotated[tuple[Parameter, ...], Field(max_length=64)] = ()
    exclusive: Annotated[tuple[tuple[Flag, ...], ...], Field(max_length=4)] = ()
    """Of each of these sets at most one flag may be given."""
    statistics_socket: ShortText = ""
    """Where it answers requests for statistics, as lines of JSON."""
    prerequisites: Annotated[tuple[ShortText, ...], Field(max_length=16)] = ()
    """What it needs of a machine, in words: nobody has read from its code what it calls."""

    @model_validator(mode="after")
    def _flags_are_known_and_unique(self) -> "Program":
        names = [name for p in self.parameters for name in (p.flag, p.letter) if name]
        if len(names) != len(set(names)):
            raise ValueError(f"{self.crate}: two parameters have the same flag or letter")
        for flag in (*self.always, *(flag for group in self.exclusive for flag in group)):
            parameter = self._named(flag)
            if parameter is None or parameter.type is not ParameterType.FLAG:
                raise ValueError(f"{self.crate}: {flag} is no parameter of type Flag")
        return self

    def problems(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Return why these words are no command line for the program; empty when they are."""
        found: list[str] = []
        given: list[str] = []
        unknown: list[str] = []
        for word, parameter, value in self._read(words):
            if parameter is None:
                unknown.append(word)
                continue
            problem = parameter.problem(value)
            if problem:
                found.append(problem)
            if parameter.flag in given:
                found.append(f"{parameter.flag} is given twice")
            given.append(parameter.flag)
        if unknown:
            known = ", ".join(parameter.flag for parameter in self.parameters) or "none"
            found.append(f"{self.crate} has no parameter {', '.join(unknown)}; it has: {known}")
        missing = [flag for flag in self.always if flag not in given]
        found.extend(f"{flag} must be given" for flag in missing)
        for group in self.exclusive:
            chosen = [flag for flag in group if flag in given]
            if len(chosen) > 1:
                found.append(f"{' and '.join(chosen)} exclude each other")
        return tuple(found)

    def _read(self, words: tuple[str, ...]) -> Iterator[tuple[str, Parameter | None, str | None]]:
        """Yield each flag with the parameter that it names, if any, and its value, if any."""
        rest = iter(words)
        for word in rest:
            name, equals, joined = word.partition("=") if word.startswith("--") else (word, "", "")
            parameter = self._named(name)
            if equals:
                yield name, parameter, joined
            elif parameter is None or parameter.type is ParameterType.FLAG:
                yield name, parameter, None
            else:
                yield name, parameter, next(rest, None)

    def _named(self, name: str) -> Parameter | None:
        found = (p for p in self.parameters if name in (p.flag, p.letter))
        return next(found, None)


class Measured(Noun):
    """What the verifier said of a scheduler with its defaults, on the kernels of one series."""

    kernels: Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$", max_length=16)]
    accepted: bool
    refused_for: Annotated[tuple[ShortText, ...], Field(max_length=16)] = ()
    """Check and reason, in short; none when it was accepted."""
    contract_losses: Annotated[tuple[ContractLoss, ...], Field(max_length=8)]
    """Of the Contract stage; of what was refused before it, measured without the trials."""

    @model_validator(mode="after")
    def _a_refusal_has_a_reason(self) -> "Measured":
        if self.accepted == bool(self.refused_for):
            raise ValueError("what is refused is refused for something, and nothing else is")
        return self


class SchedulerManifest(Noun):
    """What is known of a scheduler without reading its code."""

    name: SchedulerName
    summary: Text
    good_for: Text
    bad_for: Text
    source: ShortText | None = None
    """File name of the C source, relative to the manifest's `schedulers` folder."""
    program: Program | None = None
    """In place of a source."""
    license: ShortText
    ops_name: ShortText
    """A program may append to it, after an underscore, what it was built as."""
    knobs: Annotated[tuple[Knob, ...], Field(max_length=32)] = ()
    needs: Annotated[tuple[ShortText, ...], Field(max_length=64)] = ()
    """Names in the kernel's BTF; see `capabilities`."""
    statistics: Annotated[tuple[ShortText, ...], Field(max_length=64)] = ()
    measured: Annotated[tuple[Measured, ...], Field(max_length=16)] = ()

    @model_validator(mode="after")
    def _is_a_source_or_a_program(self) -> "SchedulerManifest":
        if (self.source is None) == (self.program is None):
            raise ValueError(f"{self.name} needs a source or a program, and not both")
        if self.program is not None and self.knobs:
            raise ValueError(f"{self.name} is a program: it has parameters, not knobs")
        return self

    @property
    def default_command_line(self) -> CommandLine:
        """What a program is started with when nobody says more; nothing for a source."""
        return self.program.always if self.program is not None else ()

    def problems(
        self, arguments: tuple[Argument, ...], command_line: CommandLine = ()
    ) -> tuple[str, ...]:
        """Return why the scheduler cannot be set like that; empty when it can."""
        found = list(self._misfits(arguments))
        if self.program is not None:
            found.extend(self.program.problems(command_line))
        elif command_line:
            found.append(f"{self.name} is no program: it has knobs, and no command line")
        return tuple(found)

    def _misfits(self, arguments: tuple[Argument, ...]) -> Iterator[str]:
        """Yield why arguments do not fit the knobs."""
        knobs = {knob.name: knob for knob in self.knobs}
        for argument in arguments:
            knob = knobs.get(argument.name)
            if knob is None:
                known = ", ".join(sorted(knobs)) or "none"
                yield f"{self.name} has no knob {argument.name!r}; it has: {known}"
            elif (argument.value in ("true", "false")) != (knob.type == "bool"):
                yield f"{argument.name}={argument.value} is not a value of type {knob.type}"
            elif knob.type != "bool" and not knob.minimum <= int(argument.value) <= knob.maximum:
                span = f"{knob.minimum}..{knob.maximum} {knob.unit}".rstrip()
                yield f"{argument.name}={argument.value} is outside {span}"

    def calls_itself(self, ops_name: str) -> bool:
        """Say whether a scheduler with this name in the kernel can be this one."""
        if self.program is None:
            return ops_name == self.ops_name
        return f"{ops_name}_".startswith(f"{self.ops_name}_")


class BuiltProgram(Noun):
    """A program as it was built on one machine; verdicts and tokens are about its digest."""

    crate: ShortText
    version: ShortText
    crate_digest: Digest
    digest: Digest
    """Of the file, which lies beside the catalogue under the crate's name."""
    built_with: ShortText

    def is_of(self, program: Program) -> bool:
        """Say whether it was built from the crate that a manifest pins."""
        pinned = (program.crate, program.version, program.crate_digest)
        return (self.crate, self.version, self.crate_digest) == pinned


class Catalogue(Noun):
    """`catalogue.json`: the programs in a folder, as whoever built them says."""

    programs: Annotated[tuple[BuiltProgram, ...], Field(max_length=64)] = ()

    def program(self, crate: str) -> BuiltProgram | None:
        """Return what was built of a crate."""
        return next((built for built in self.programs if built.crate == crate), None)
