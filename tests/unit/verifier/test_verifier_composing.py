"""Compositions: what is refused with which words, and what C comes out."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from schedcp_api.base import digest_of
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.compositions import (
    Composition,
    OrderKind,
    Placement,
    Sharing,
    Topology,
    WeightOf,
    WorkBy,
)
from schedcp_api.verdicts import Phase
from schedcp_verifier.__main__ import run_command
from schedcp_verifier.composing import COMPOSITION_BYTES_MAX, compose, composition_of
from schedcp_verifier.errors import UsageError
from schedcp_verifier.sources import judge_written
from support.compositions import BRIEF, HEAD, compositions, every_word

REST = {"name": "rest"}
FIRST = {"name": "first", "match": BRIEF}
COLUMNS = 100
TAB = 8


def told(data: bytes) -> str:
    with pytest.raises(UsageError) as refused:
        composition_of(data)
    return str(refused.value)


def said(classes: list[dict[str, Any]], **more: Any) -> bytes:
    return json.dumps({**HEAD, "name": "x", "classes": classes, **more}).encode()


WRONG: list[tuple[bytes, str]] = [
    (b"[]", "is not a mapping"),
    (b"a: b: c", "is not plain YAML"),
    (b"\xff\xfe", "is not plain YAML"),
    (b"a: !!python/object:os.system {}", "anchors, aliases and tags are not used"),
    (b"a: &x [1]\nb: *x", "anchors, aliases and tags are not used"),
    (b"[" * 40 + b"]" * 40, "nested more than 8 deep"),
    (b"#" * (COMPOSITION_BYTES_MAX + 1), "shorten it"),
    (b"2026-13-45", "is not plain YAML"),
    (said([]), "classes: "),
    (said([REST] * 2), "classes: each needs a name of its own"),
    (said([REST, {"name": "b"}]), "classes.0 (rest): only the last class may be without a match"),
    (said([FIRST]), "classes.0 (first): the last class takes whoever is left"),
    (said([{**REST, "sliceUs": 10}]), "classes.0.sliceUs: "),
    (said([{**REST, "sliceUs": True}]), "classes.0.sliceUs: "),
    (said([{**REST, "sliceUs": "4000"}]), "classes.0.sliceUs: "),
    (said([{**REST, "order": {"kind": "Lottery"}}]), "classes.0.order: "),
    (said([{**REST, "comm": "nginx"}]), "classes.0.comm: "),
    (said([{**REST, "name": "A; int x"}]), "classes.0.name: "),
    (said([{**REST, "preemption": {"kind": "WhenWoken"}}]), "no class is below the last one"),
    (said([{**REST, "capPercent": 50}]), "remove its capPercent"),
    (said([{**REST, "weight": 5}]), "weights count when sharing is Turns or VirtualTime"),
    (said([{**FIRST, "capPercent": 5}, REST], sharing="Turns"), "a cap counts when"),
    (said([{**FIRST, "bandwidthPercent": 5}, REST]), "counts when sharing is Bandwidth: remove"),
    (said([FIRST, REST], sharing="Bandwidth"), "each class but the last needs bandwidthPercent"),
    (said([{**REST, "bandwidthPercent": 5}], sharing="Bandwidth"), "remove its bandwidthPercent"),
    (
        said([{**FIRST, "bandwidthPercent": 5, "capPercent": 5}, REST], sharing="Bandwidth"),
        "with sharing Bandwidth bandwidthPercent is the cap: remove capPercent",
    ),
    (
        said([{**FIRST, "bandwidthPercent": 5, "weight": 5}, REST], sharing="Bandwidth"),
        "weights count when sharing is Turns or VirtualTime",
    ),
    (
        said(
            [{**FIRST, "name": name, "bandwidthPercent": 48} for name in ("a", "b")] + [REST],
            sharing="Bandwidth",
        ),
        "classes: bandwidthPercent comes to 96 together, and no more than 95 can be assured",
    ),
    (said([{**FIRST, "match": {"nice": {}}}, REST]), "classes.0.match.nice: a range needs"),
    (
        said([{**FIRST, "match": {"nice": {"atLeast": 5, "atMost": 1}}}, REST]),
        "classes.0.match.nice: atLeast must not be more than atMost",
    ),
    (
        said([{**FIRST, "match": {"nice": {"atLeast": -99}}}, REST]),
        "classes.0.match.nice: both ends must be from -20 to 19",
    ),
    (
        said([FIRST, {**FIRST, "name": "second"}, REST], topology="Cpu"),
        "with topology Cpu there may be 2 at most",
    ),
    (said([REST], timeoutMs=30_000), "timeoutMs: "),
    (said([REST], ageingMs=5000), "ageingMs: "),
    (said([REST], name="-x"), "name: "),
    (said([REST], apiVersion="v2"), "apiVersion: "),
]


@pytest.mark.parametrize(("data", "words"), WRONG, ids=[words[:40] for _, words in WRONG])
def test_what_is_wrong_is_named_with_its_place(data: bytes, words: str) -> None:
    message = told(data)
    assert words in message
    assert len(message) < 2000


def test_of_many_problems_the_first_are_told() -> None:
    message = told(said([{"name": f"C{n}", "sliceUs": 0, "x": 1} for n in range(3)], a=1, b=2))
    assert "and " in message.splitlines()[-1]
    assert len(message.splitlines()) == 10


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_anything_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(UsageError):
        composition_of(data)


@given(compositions())
def test_a_composition_is_what_its_json_says(composition: Composition) -> None:
    text = yaml.safe_dump(composition.to_json())
    again = composition_of(text.encode())
    assert again == composition
    assert compose(again) == compose(composition)


@given(compositions())
def test_what_is_composed_is_c_that_the_source_stage_passes(composition: Composition) -> None:
    source = compose(composition)
    checks = judge_written(source.encode(), trusted=False)
    assert {check.phase for check in checks} == {Phase.PASSED}
    assert source.count("{") == source.count("}")
    assert all(len(line.expandtabs(TAB)) <= COLUMNS for line in source.splitlines())
    assert f'.name = "composed_{composition.name}",' in source
    assert f".timeout_ms = {composition.timeout_ms}," in source


@given(compositions())
def test_every_class_has_a_queue_that_is_made_filled_aged_and_read(
    composition: Composition,
) -> None:
    source = compose(composition)
    for task_class in composition.classes:
        class_id = f"CLASS_{task_class.name.upper()}"
        for call in (
            f"class_dsqs_create({class_id})",
            f"class_insert(p, wait, {class_id}, ",
            f"class_age({class_id}, cpu, now, ",
            f"class_move_to_local({class_id}, cpu)",
        ):
            assert call in source, call


def test_every_word_of_the_language_changes_the_source() -> None:
    composed = every_word()
    sources = {compose(composition) for composition in composed.values()}
    # Fifo, WeightedVtime and LongestFirst are there twice: with their defaults spelled out or not.
    alike = {"order-WeightedVtime-Task", "order-LongestFirst-Attained"}
    alike |= {"placement-IdleSibling"}
    assert len(sources) == len(composed) - len(alike)


def test_every_value_of_every_enumeration_is_among_them() -> None:
    said = str([composition.to_json() for composition in every_word().values()])
    for enumeration in (OrderKind, Placement, Sharing, Topology, WeightOf, WorkBy):
        for value in enumeration:
            assert f"'{value}'" in said


@pytest.mark.parametrize("line", ["", "# only a comment\n"])
def test_the_same_composition_gives_the_same_bytes(line: str, repository: Path) -> None:
    data = (repository / "examples/composition-latency-first.yaml").read_bytes()
    assert compose(composition_of(line.encode() + data)) == compose(composition_of(data))


def test_the_digest_of_a_composition_goes_with_its_source() -> None:
    digest = digest_of(b"")
    with pytest.raises(ValueError, match="needs kind Compose"):
        Candidate(kind=PlanKind.GENERATE, scheduler="x", composition_digest=digest)
    composed = Candidate(
        kind=PlanKind.COMPOSE, scheduler="x", source_digest=digest, composition_digest=digest
    )
    assert composed.content_digest() != composed.replace(composition_digest=None).content_digest()


def test_the_verb_prints_what_the_knobs_say(
    capsys: pytest.CaptureFixture[str], repository: Path
) -> None:
    path = repository / "examples/composition-latency-first.yaml"
    assert run_command(["compose", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed == compose(composition_of(path.read_bytes()))
    assert "const volatile u64 latency_slice_ns = 4000 * (u64)NSEC_PER_USEC;" in printed
    assert re.search(r"^ \* latency: tasks with bursts of at most 4000 us", printed, re.MULTILINE)


def test_a_composition_that_cannot_be_read_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "spec.yaml"
    assert run_command(["compose", str(path)]) == 64
    assert "cannot read" in capsys.readouterr().err
    path.write_bytes(said([FIRST]))
    assert run_command(["compose", str(path)]) == 64
    assert "the last class takes whoever is left" in capsys.readouterr().err
