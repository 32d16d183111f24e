"""The Bytecode stage judges facts; anything else than an object is refused as malformed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_api.candidates import Argument
from schedcp_api.manifests import Knob
from schedcp_api.verdicts import EvaluationContract, Phase
from schedcp_verifier.btf import Btf
from schedcp_verifier.objects import MapFacts, ObjectFacts, Table, inspect, judge_object
from schedcp_verifier.rules import ALLOWED_MAP_TYPES
from support.verifier import raw_btf

CHECKOUT = Path(__file__).parents[3]
MAP_TYPE_NAMES = {
    "HASH": 1,
    "ARRAY": 2,
    "PERCPU_HASH": 5,
    "PERCPU_ARRAY": 6,
    "LRU_HASH": 9,
    "LRU_PERCPU_HASH": 10,
    "ARRAY_OF_MAPS": 12,
    "HASH_OF_MAPS": 13,
    "QUEUE": 22,
    "STACK": 23,
    "STRUCT_OPS": 26,
    "TASK_STORAGE": 29,
    "BLOOM_FILTER": 30,
    "CGRP_STORAGE": 32,
    "ARENA": 33,
}
"""Of the kernel's `enum bpf_map_type`."""

TABLE = Table("ops", "sched_ext_ops", ".struct_ops.link", name="mine", timeout_ms=10_000)
GOOD = ObjectFacts(
    license="GPL",
    programs=("struct_ops/enqueue", "struct_ops.s/init", ".text"),
    tables=(TABLE,),
    maps=(MapFacts("stats", 6, pinned=False),),
    kfuncs=(("scx_bpf_dsq_insert", False), ("bpf_iter_num_new", False)),
    helpers=frozenset({1, 5}),
    knobs={"slice_ns": 8},
    operations=("enqueue", "init"),
)
SLICE = Knob(
    name="slice_ns", type="u64", default=1, minimum=1, maximum=9, summary="how long a task may run"
)


def failed(facts: ObjectFacts, **changes: Any) -> set[str]:
    """Return the ids of failed checks; a pass for everything else is required."""
    options: dict[str, Any] = {
        "trusted": False,
        "kernel_has": lambda name: name != "scx_bpf_future",
        "knobs": (),
        "arguments": (),
        **changes,
    }
    checks = judge_object(facts, EvaluationContract(), **options)
    return {check.id for check in checks if check.phase is not Phase.PASSED}


def test_a_plain_scheduler_passes() -> None:
    assert failed(GOOD, knobs=(SLICE,), arguments=(Argument(name="slice_ns", value="5"),)) == set()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"license": "Proprietary"}, "license"),
        ({"license": ""}, "license"),
        ({"programs": ("struct_ops/enqueue", "kprobe/do_exit")}, "programs"),
        ({"programs": ("struct_ops/enqueue", "tp_btf/sched_switch")}, "programs"),
        ({"tables": ()}, "table"),
        ({"tables": (TABLE, TABLE)}, "table"),
        ({"tables": (replace(TABLE, type_name="tcp_congestion_ops"),)}, "table"),
        ({"tables": (replace(TABLE, section=".struct_ops"),)}, "table"),
        ({"tables": (replace(TABLE, name="scx_bpfland"),)}, "table"),
        ({"tables": (replace(TABLE, name="schedcp_gate"),)}, "table"),
        ({"tables": (replace(TABLE, name=""),)}, "table"),
        ({"tables": (replace(TABLE, flags=8),)}, "table"),
        ({"tables": (replace(TABLE, timeout_ms=30_000),)}, "timeout"),
        ({"tables": (replace(TABLE, timeout_ms=10),)}, "timeout"),
        ({"maps": (MapFacts("events", 27, pinned=False),)}, "maps"),
        ({"maps": (MapFacts("stays", 1, pinned=True),)}, "maps"),
        ({"maps": (MapFacts("odd", None, pinned=False),)}, "maps"),
        ({"kfuncs": (("bpf_override_return", False),)}, "kfuncs"),
        ({"kfuncs": (("scx_bpf_future", False),)}, "kfuncs"),
        ({"helpers": frozenset({36})}, "helpers"),
        ({"helpers": frozenset({6})}, "helpers"),
    ],
)
def test_each_rule_finds_what_it_is_for(changes: dict[str, Any], found: str) -> None:
    assert failed(replace(GOOD, **changes)) == {found}


def test_a_weak_function_may_be_absent() -> None:
    assert failed(replace(GOOD, kfuncs=(("scx_bpf_future", True),))) == set()


def test_the_library_may_use_its_own_names() -> None:
    table = replace(TABLE, name="schedcp_gate")
    assert failed(replace(GOOD, tables=(table,)), trusted=True) == set()


def test_unknown_arguments_and_a_manifest_that_differs_are_refused() -> None:
    assert failed(GOOD, arguments=(Argument(name="quantum", value="5"),)) == {"knobs"}
    narrow = SLICE.replace(type="u32")
    assert failed(GOOD, knobs=(narrow,)) == {"knobs"}


@given(st.binary(max_size=400))
def test_what_is_no_object_is_malformed(data: bytes) -> None:
    for candidate in (data, b"\x7fELF\x02\x01\x01" + data):
        with pytest.raises(ValueError, match="object"):
            inspect(candidate)


@given(st.binary(max_size=200))
def test_what_is_no_btf_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="BTF"):
        Btf(raw_btf("a")[:20] + data[:3])
    try:
        types = Btf(b"\x9f\xeb\x01\x00\x18\x00\x00\x00" + data).types
    except ValueError:
        return
    assert types[0].name == "void"


def test_the_loader_allows_the_kinds_of_maps_that_the_analysis_allows() -> None:
    source = (CHECKOUT / "schedulers/loader/checks.c").read_text()
    listed = source.partition("allowed_map_types[] = {")[2].partition("}")[0]
    names = re.findall(r"MAP_TYPE_(\w+),", listed)
    table = {MAP_TYPE_NAMES["STRUCT_OPS"]}  # the analysis does not count the ops' own table
    assert {MAP_TYPE_NAMES[name] for name in names} == ALLOWED_MAP_TYPES | table
