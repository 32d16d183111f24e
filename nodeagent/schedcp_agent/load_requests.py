"""What a loader is asked for: an object with its knobs, or a program with its words. Pure."""

from dataclasses import dataclass, field
from pathlib import Path

from schedcp_api.candidates import Argument, CommandLine

from .inputs import InputFiles, Inputs


@dataclass(frozen=True)
class ObjectFile:
    """A BPF object, which the loader loads."""

    path: Path
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True)
class ProgramFile:
    """A program that loads its scheduler by itself, and that the loader holds."""

    path: Path
    command_line: CommandLine = ()


@dataclass(frozen=True)
class LoadRequest:
    """What to load."""

    payload: ObjectFile | ProgramFile
    object_digest: str
    """Of the payload's file, whichever it is."""
    run: str
    ops_name: str
    timeout_ms: int
    token_digest: str = ""
    inputs: Inputs = field(default_factory=Inputs)


def load_options(request: LoadRequest, files: InputFiles) -> list[str]:
    """Return the loader's options for what it is to load."""
    common = [f"--digest={request.object_digest}", f"--timeout-ms={request.timeout_ms}"]
    match request.payload:
        case ProgramFile(path, words):
            return [f"--program={path}", f"--ops={request.ops_name}", *common, "--", *words]
        case ObjectFile(path, knobs):
            return [
                f"--object={path}",
                *common,
                f"--target-cgroups-file={files.target_cgroups}",
                f"--expected-file={files.expected_runtime}",
                *(f"--knob={knob.name}={knob.value}" for knob in knobs),
            ]
