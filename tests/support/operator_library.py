"""A small library of schedulers for the operator's tests."""

from schedcp_api.manifests import Knob, SchedulerManifest
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
)
