"""The repository seen by people: search in words, a scheduler on one page, and imports. Pure."""

import re
from collections.abc import Mapping

import yaml

from schedcp_api.manifests import SchedulerManifest
from schedcp_api.runs import Lesson

from .library import LibraryEntry

__all__ = ["found", "imported_manifest", "shown"]

_SUFFIX = ".bpf.c"
_LICENSE = re.compile(r'SEC\("license"\)\s*=\s*"([^"]{1,64})"')
_OPS_NAME = re.compile(r'\.name\s*=\s*"([A-Za-z0-9_.]{1,127})"')
_MOST_HITS = 20


def found(text: str, entries: Mapping[str, LibraryEntry], lessons: tuple[Lesson, ...]) -> list[str]:
    """Return one line for each scheduler or lesson that has words of `text`, best first."""
    words = set(re.findall(r"[a-z0-9]+", text.lower()))
    hits: list[tuple[int, str]] = []
    for name, entry in entries.items():
        manifest = entry.manifest
        body = f"{name} {manifest.summary} {manifest.good_for}".lower()
        line = f"scheduler {name}: {' '.join(manifest.summary.split())}"
        hits.append((_score(words, body), line))
    for lesson in lessons:
        said = lesson.antipattern or (lesson.outcome.message if lesson.outcome else "")
        kind = lesson.description.workload_class if lesson.description else ""
        line = f"lesson {lesson.run}: {lesson.candidate.scheduler} {lesson.result}: {said}"
        hits.append((_score(words, f"{line} {kind} {lesson.workload}".lower()), line))
    hits = [hit for hit in hits if hit[0] > 0]
    return [line for _, line in sorted(hits, key=lambda hit: (-hit[0], hit[1]))[:_MOST_HITS]]


def _score(words: set[str], body: str) -> int:
    return sum(word in body for word in words)


def shown(entry: LibraryEntry, lessons: tuple[Lesson, ...]) -> list[str]:
    """Return a scheduler's manifest as YAML, and the lessons about it."""
    text = yaml.safe_dump(entry.manifest.to_json(), sort_keys=False, width=100)
    lines = text.splitlines()
    if entry.source_digest:
        lines.append(f"sourceDigest: {entry.source_digest}")
    about = [lesson for lesson in lessons if lesson.candidate.scheduler == entry.manifest.name]
    for lesson in about[:_MOST_HITS]:
        outcome = f"{lesson.outcome.kind}: {lesson.outcome.message}" if lesson.outcome else ""
        lines.append(f"# {lesson.at:%Y-%m-%d} {lesson.run}: {lesson.result} {outcome}".rstrip())
    return lines


def imported_manifest(file_name: str, source: str) -> SchedulerManifest:
    """Return a manifest for a bare source: what its text says, and nothing about its worth.

    Raise ValueError when the file's name is no scheduler's name, or the source names no ops.
    """
    if not file_name.endswith(_SUFFIX):
        raise ValueError(f"{file_name} does not end in {_SUFFIX}")
    ops = _OPS_NAME.search(source)
    if ops is None:
        raise ValueError('no `.name = "..."` of a sched_ext_ops table in the source')
    license_ = _LICENSE.search(source)
    return SchedulerManifest(
        name=file_name.removesuffix(_SUFFIX),
        summary=f"imported from {file_name}",
        good_for="unknown: imported without a manifest",
        bad_for="unknown: imported without a manifest",
        source=file_name,
        license=license_.group(1) if license_ else "unknown",
        ops_name=ops.group(1),
    )
