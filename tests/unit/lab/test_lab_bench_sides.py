"""Whom the bench compares: ours, and the programs of the library that are built."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from schedcp_lab.bench_sides import names_by_default, sides_of
from schedcp_lab.errors import LabError
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.library import Library
from schedcp_verifier.payloads import StartedProgram
from schedcp_verifier.verifying import Verifier
from support.stock import MANIFEST, stock_library
from support.verifier import make_bundle


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """A library with a scheduler of our own, a program, and a program that is not built."""
    library = stock_library(tmp_path)
    source = {key: value for key, value in MANIFEST.items() if key != "program"}
    program = {**MANIFEST["program"], "crate": "scx_unbuilt"}
    for manifest in (
        {**source, "name": "ours", "source": "ours.bpf.c"},
        {**MANIFEST, "name": "scx_unbuilt", "program": program},
    ):
        path = tmp_path / f"manifests/{manifest['name']}.yaml"
        path.write_text(yaml.safe_dump(manifest))
    return library


@pytest.fixture
def kernel(tmp_path: Path) -> KernelBundle:
    return KernelBundle.open(make_bundle(tmp_path / "kernel"))


def verifier(library: Library) -> Verifier:
    return Verifier(library, None, None)  # type: ignore[arg-type]


def test_by_default_ours_and_what_is_built_are_compared_and_the_others_named(
    library: Library,
) -> None:
    names, left_out = names_by_default(library)
    assert names == ("ours", "scx_tried")
    (words,) = left_out
    assert "scx_unbuilt is not built" in words


def test_a_program_is_started_with_what_it_needs_and_is_not_ours(
    library: Library, kernel: KernelBundle
) -> None:
    (side,) = sides_of(["default", "scx_tried:--slice-us:5000"], verifier(library), kernel)
    assert not side.own
    assert isinstance(side.payload, StartedProgram)
    assert side.payload.command_line == ("--run", "--slice-us", "5000")
    assert side.payload.executable.path == str(library.programs) + "/scx_tried"


def test_words_that_a_program_does_not_take_are_refused(
    library: Library, kernel: KernelBundle
) -> None:
    with pytest.raises(LabError, match="outside 100"):
        sides_of(["scx_tried:--slice-us:5"], verifier(library), kernel)
