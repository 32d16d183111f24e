"""Compositions over the whole language, for property tests, and some that have every word of it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from schedcp_api.compositions import (
    CLASSES_MAX,
    CLASSES_PER_HOME_MAX,
    WEIGHED,
    Composition,
    OrderKind,
    Placement,
    Sharing,
    Topology,
    WeightOf,
    WorkBy,
)

HEAD = {"apiVersion": "schedcp.io/v1alpha1", "kind": "Composition"}
RANGES = {
    "burstUs": (100, 50_000),
    "sleepPercent": (0, 100),
    "wakeupsPerSecond": (1, 100_000),
    "nice": (-20, 19),
    "cgroupWeight": (1, 10_000),
    "threads": (1, 100_000),
    "ageMs": (1, 86_400_000),
    "parentAgeMs": (1, 86_400_000),
    "expectedMs": (1000, 86_400_000),
}
FLAGS = ("kernelThread", "target")
BRIEF = {"burstUs": {"atMost": 4000}, "sleepPercent": {"atLeast": 50}}
WOKEN = {"kind": "WhenWoken"}
ASSURED_PERCENT = 40


def composition_with(*classes: dict[str, Any], **more: Any) -> Composition:
    """Return a composition of classes; those before the last match brief tasks, or as they say.

    With sharing Bandwidth each of them is assured as much as the others.
    """
    *before, last = classes
    common: dict[str, Any] = {"match": BRIEF}
    if more.get("sharing") == Sharing.BANDWIDTH:
        common["bandwidthPercent"] = ASSURED_PERCENT
    named = [{"name": f"c{index}", **common, **c} for index, c in enumerate(before)]
    named.append({"name": "rest", **last})
    return Composition.model_validate({**HEAD, "name": "tried", "classes": named, **more})


def every_word() -> dict[str, Composition]:
    """Return compositions that have every value of every enumeration between them."""
    orders: list[dict[str, Any]] = [
        *({"kind": kind} for kind in OrderKind),
        *({"kind": "WeightedVtime", "weightOf": of} for of in WeightOf),
        *({"kind": "LongestFirst", "by": by} for by in WorkBy),
    ]
    found = {
        f"order-{'-'.join(order.values())}": composition_with({"order": order}) for order in orders
    }
    for placement in Placement:
        found[f"placement-{placement}"] = composition_with({"placement": placement})
    for field, (least, most) in RANGES.items():
        match = {field: {"atLeast": least, "atMost": most}}
        found[f"match-{field}"] = composition_with({"match": match}, {})
    for flag in FLAGS:
        for asked in (True, False):
            found[f"match-{flag}-{asked}"] = composition_with({"match": {flag: asked}}, {})
    deadline, vtime = {"order": {"kind": "Deadline"}}, {"order": {"kind": "WeightedVtime"}}
    jobs = {"order": {"kind": "ShortestFirst", "by": "Expected"}}
    pairs = {(sharing, Topology.GLOBAL) for sharing in Sharing}
    pairs |= {(Sharing.VIRTUAL_TIME, topology) for topology in Topology}
    for sharing, topology in sorted(pairs):
        classes = [{**deadline, "preemption": WOKEN}, vtime]
        if topology is Topology.GLOBAL:
            classes.insert(1, {**jobs, "preemption": WOKEN})
        found[f"{sharing}-{topology}"] = composition_with(
            *classes, sharing=sharing, topology=topology
        )
    return found | _the_most()


def _the_most() -> dict[str, Composition]:
    """Return compositions that ask for everything at once, with each sharing and topology."""
    match = {field: {"atLeast": ends[0], "atMost": ends[1]} for field, ends in RANGES.items()}
    first = {
        "match": {**match, "kernelThread": False, "target": True},
        "order": {"kind": "LongestFirst", "by": "Expected"},
        "preemption": WOKEN,
        "placement": "PreviousCpu",
    }
    second = {**first, "order": {"kind": "WeightedVtime"}, "placement": "AnyIdle"}
    last = {"order": {"kind": "WeightedVtime", "weightOf": "Cgroup"}}
    return {
        f"most-{sharing}-{topology}": composition_with(
            *([first, second, last] if topology is Topology.GLOBAL else [second, last]),
            sharing=sharing,
            topology=topology,
        )
        for sharing in Sharing
        for topology in Topology
    }


def _range(low: int, high: int) -> st.SearchStrategy[dict[str, int]]:
    end = st.integers(low, high)
    both = st.tuples(end, end).map(lambda ends: {"atLeast": min(ends), "atMost": max(ends)})
    return st.one_of(
        end.map(lambda value: {"atLeast": value}), end.map(lambda value: {"atMost": value}), both
    )


def _matches() -> st.SearchStrategy[dict[str, Any]]:
    ranges = {field: _range(*ends) for field, ends in RANGES.items()}
    anything = {**ranges, **dict.fromkeys(FLAGS, st.booleans())}
    return st.fixed_dictionaries({}, optional=anything).filter(bool)


def _orders() -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.just({"kind": "Fifo"}),
        st.fixed_dictionaries(
            {"kind": st.just("WeightedVtime"), "weightOf": st.sampled_from(WeightOf)},
            optional={"creditUs": st.integers(100, 100_000)},
        ),
        st.fixed_dictionaries(
            {"kind": st.just("Deadline")}, optional={"budgetUs": st.integers(100, 1_000_000)}
        ),
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["ShortestFirst", "LongestFirst"]),
                "by": st.sampled_from(WorkBy),
            },
            optional={"jobGapMs": st.integers(1, 60_000)},
        ),
    )


def _common(name: str, sharing: Sharing) -> dict[str, st.SearchStrategy[Any]]:
    found: dict[str, st.SearchStrategy[Any]] = {
        "name": st.just(name),
        "order": _orders(),
        "sliceUs": st.integers(100, 20_000),
        "placement": st.sampled_from(Placement),
    }
    if sharing in WEIGHED:
        found["weight"] = st.integers(1, 1000)
    return found


@st.composite
def compositions(draw: st.DrawFn) -> Composition:
    """Return any composition."""
    sharing, topology = draw(st.sampled_from(Sharing)), draw(st.sampled_from(Topology))
    most = CLASSES_MAX if topology is Topology.GLOBAL else CLASSES_PER_HOME_MAX
    count = draw(st.integers(1, most))
    name = st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True)
    names = draw(st.lists(name, min_size=count, max_size=count, unique=True))
    classes = []
    for name in names[:-1]:
        task_class = draw(st.fixed_dictionaries({**_common(name, sharing), "match": _matches()}))
        if draw(st.booleans()):
            run = draw(st.integers(0, 20_000))
            task_class["preemption"] = {"kind": "WhenWoken", "minimumRunUs": run}
        if sharing is Sharing.STRICT and draw(st.booleans()):
            task_class["capPercent"] = draw(st.integers(1, 95))
        if sharing is Sharing.BANDWIDTH:
            task_class["bandwidthPercent"] = draw(st.integers(1, 95 // (count - 1)))
        classes.append(task_class)
    classes.append(draw(st.fixed_dictionaries(_common(names[-1], sharing))))
    return Composition.model_validate(
        {
            **HEAD,
            "name": draw(st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True)),
            "classes": classes,
            "sharing": sharing,
            "topology": topology,
            "ageingMs": draw(st.integers(100, 2000)),
            "timeoutMs": draw(st.integers(5000, 20_000)),
        }
    )
