"""A small library of schedulers for the operator's tests."""

from schedcp_api.base import digest_of
from schedcp_api.manifests import (
    BuiltProgram,
    Knob,
    Parameter,
    ParameterType,
    Program,
    SchedulerManifest,
)
from schedcp_operator.library import Library, LibraryEntry

_MS = 1_000_000


def manifest(name: str, *knobs: Knob) -> SchedulerManifest:
    """A library scheduler's manifest."""
    return SchedulerManifest(
        name=name,
        summary=f"the scheduler {name}",
        good_for="tests",
        bad_for="nothing",
        source=f"{name}.bpf.c",
        license="GPL",
        ops_name=f"schedcp_{name}",
        knobs=knobs,
    )


WORD = Parameter(
    flag="--slice-us",
    type=ParameterType.INTEGER,
    unit="us",
    minimum="100",
    maximum="20000",
    summary="time slice",
)


def program_manifest(name: str, *, always: tuple[str, ...] = ()) -> SchedulerManifest:
    """A library scheduler that is a program; `always` are flags that it does not start without."""
    flags = (Parameter(flag=flag, type=ParameterType.FLAG, summary="on") for flag in always)
    return SchedulerManifest(
        name=name,
        summary=f"the program {name}",
        good_for="tests",
        bad_for="nothing",
        license="GPL",
        ops_name=name,
        program=Program(
            crate=name,
            version="1.2.3",
            crate_digest=digest_of(name.encode()),
            always=always,
            parameters=(*flags, WORD),
        ),
    )


def built(manifest: SchedulerManifest, **changes: object) -> BuiltProgram:
    """A build of a manifest's program."""
    assert manifest.program is not None
    return BuiltProgram(
        crate=manifest.program.crate,
        version=manifest.program.version,
        crate_digest=manifest.program.crate_digest,
        digest=digest_of(f"{manifest.name}, built".encode()),
        built_with="rustc",
    ).replace(**changes)


SLICE = Knob(
    name="slice_ns",
    type="u64",
    unit="ns",
    default=5 * _MS,
    minimum=100_000,
    maximum=100 * _MS,
    summary="time slice",
)
SHORT = SLICE.replace(name="burst_limit_ns", default=4 * _MS)
PROGRAM = program_manifest("scx_bpfland")
BUILT = built(PROGRAM)
LIBRARY = Library(
    {
        name: LibraryEntry(manifest(name, *knobs))
        for name, knobs in {
            "simple_fifo": (SLICE,),
            "weighted_vtime": (SLICE,),
            "latency_class": (SLICE, SHORT),
            "long_tail": (SLICE,),
            "throughput": (SLICE,),
            "mixed_service": (SLICE, SHORT),
        }.items()
    }
    | {PROGRAM.name: LibraryEntry(PROGRAM)}
)
