"""The library as it lies in the repository: what is built, what is described, and what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from schedcp_verifier.library import Library

SCHEDULERS = Path(__file__).parents[3] / "schedulers"
LIBRARY = Library(SCHEDULERS)
OURS = LIBRARY.own_names()


def test_every_source_is_described_and_every_description_has_a_source() -> None:
    sources = {path.name.removesuffix(".bpf.c") for path in SCHEDULERS.glob("*.bpf.c")}
    assert set(OURS) == sources


@pytest.mark.parametrize("name", OURS)
def test_each_says_what_it_does_and_what_it_is_bad_for(name: str) -> None:
    scheduler = LIBRARY.scheduler(name)
    comment = scheduler.source.decode().partition("*/")[0]
    assert f" * {name}: " in comment
    assert " * Good for: " in comment
    assert " * Bad for: " in comment
    assert scheduler.manifest.ops_name == f"schedcp_{name}"


@pytest.mark.parametrize("name", OURS)
def test_defaults_are_within_their_ranges(name: str) -> None:
    knobs = LIBRARY.scheduler(name).manifest.knobs
    assert knobs
    for knob in knobs:
        assert knob.minimum <= knob.default <= knob.maximum, knob.name
        assert knob.minimum < knob.maximum, knob.name
