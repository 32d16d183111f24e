"""A library with one program, as it is built and pinned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from schedcp_api.base import digest_of
from schedcp_api.manifests import CATALOGUE_NAME, BuiltProgram, Catalogue, SchedulerManifest
from schedcp_verifier.library import Library
from support.elf import elf

CRATE_DIGEST = digest_of(b"crate")
MANIFEST: dict[str, Any] = {
    "name": "scx_tried",
    "summary": "s",
    "goodFor": "g",
    "badFor": "b",
    "license": "GPL-2.0",
    "opsName": "tried",
    "program": {
        "crate": "scx_tried",
        "version": "1.2.3",
        "crateDigest": CRATE_DIGEST,
        "always": ["--run"],
        "exclusive": [["--fast", "--slow"]],
        "parameters": [
            {"flag": "--run", "type": "Flag", "summary": "s"},
            {"flag": "--fast", "letter": "-f", "type": "Flag", "summary": "s"},
            {"flag": "--slow", "type": "Flag", "summary": "s"},
            {
                "flag": "--slice-us",
                "letter": "-s",
                "type": "Integer",
                "unit": "us",
                "minimum": "100",
                "maximum": "20000",
                "summary": "s",
            },
            {
                "flag": "--share",
                "type": "Decimal",
                "minimum": "0.1",
                "maximum": "0.5",
                "summary": "s",
            },
            {"flag": "--mode", "type": "Choice", "choices": ["auto", "all"], "summary": "s"},
        ],
    },
}


def manifest(**changes: object) -> SchedulerManifest:
    """Return the manifest with changes of its program."""
    program = {**MANIFEST["program"], **changes}
    return SchedulerManifest.model_validate({**MANIFEST, "program": program})


def stock_library(folder: Path, **changes: object) -> Library:
    """Return a library with the program, built; `changes` are of its catalogue's entry."""
    programs = folder / "programs"
    (folder / "manifests").mkdir()
    programs.mkdir()
    (folder / "manifests/scx_tried.yaml").write_text(yaml.safe_dump(MANIFEST))
    (programs / "scx_tried").write_bytes(elf())
    built = BuiltProgram(
        crate="scx_tried",
        version="1.2.3",
        crate_digest=CRATE_DIGEST,
        digest=digest_of(elf()),
        built_with="rustc",
    )
    catalogue = Catalogue(programs=(built.replace(**changes),))
    (programs / CATALOGUE_NAME).write_text(catalogue.model_dump_json(by_alias=True))
    return Library(folder, programs)
