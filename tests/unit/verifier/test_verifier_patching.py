"""Patches: applied exactly or not at all, with words that say where they do not fit."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schedcp_api.base import digest_of
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.manifests import SchedulerManifest
from schedcp_api.patches import Edit
from schedcp_api.verdicts import EvaluationContract, VerificationRequest
from schedcp_verifier.__main__ import run_command
from schedcp_verifier.documents import mapping_of
from schedcp_verifier.errors import UsageError
from schedcp_verifier.library import Library, LibraryScheduler
from schedcp_verifier.patching import (
    PATCH_BYTES_MAX,
    SOURCE_BYTES_MAX,
    applied_edits,
    patch_of,
    patched_source,
)
from schedcp_verifier.subjects import subject_of
from schedcp_verifier.unifieddiff import DiffRefused, applied_diff, lines_of

SOURCE = """\
/* fifo */
const volatile u64 slice_ns = 10;

void enqueue(void)
{
\tinsert(slice_ns);
\tkick();
}

struct sched_ext_ops ops = { .name = "schedcp_fifo" };
"""
MANIFEST = {
    "name": "fifo",
    "summary": "s",
    "goodFor": "g",
    "badFor": "b",
    "source": "fifo.bpf.c",
    "license": "GPL-2.0",
    "opsName": "schedcp_fifo",
}
BASE = LibraryScheduler(SchedulerManifest.model_validate(MANIFEST), SOURCE.encode())
HEAD = {"apiVersion": "schedcp.io/v1alpha1", "kind": "SchedulerPatch", "name": "mine"}
EDIT = {"find": "slice_ns = 10;", "replacement": "slice_ns = 20;"}
DIFF = """\
--- a/fifo.bpf.c
+++ b/fifo.bpf.c
@@ -4,5 +4,6 @@ const volatile u64 slice_ns = 10;
 void enqueue(void)
 {
 \tinsert(slice_ns);
+\tcount();
 \tkick();
 }
"""


def document(**changes: Any) -> dict[str, Any]:
    return {**HEAD, "base": "fifo", "baseDigest": digest_of(SOURCE.encode()), **changes}


def patched(**changes: Any) -> str:
    return patched_source(BASE, patch_of(document(**changes)))


def refusal(make: Callable[[], object]) -> str:
    with pytest.raises((UsageError, DiffRefused)) as refused:
        make()
    return str(refused.value)


def diff_of(old: str, new: str, *, context: int = 3) -> str:
    """A unified diff as git writes it: a line without its newline says so."""
    lines = difflib.unified_diff(lines_of(old), lines_of(new), n=context)
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def test_an_edit_changes_its_place_and_the_name() -> None:
    assert patched(edits=[EDIT]) == SOURCE.replace("= 10", "= 20").replace(
        "schedcp_fifo", "patched_mine"
    )


def test_a_diff_changes_its_place_and_the_name() -> None:
    assert patched(diff=DIFF) == SOURCE.replace("\tkick", "\tcount();\n\tkick").replace(
        "schedcp_fifo", "patched_mine"
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "either edits or a diff"),
    ({"edits": [EDIT], "diff": DIFF}, "either edits or a diff"),
    ({"edits": [EDIT] * 17}, "edits: "),
    ({"edits": [{"find": "", "replacement": "x"}]}, "edits.0.find: "),
    ({"edits": [EDIT], "name": "A-b"}, "name: "),
    ({"edits": [EDIT], "baseDigest": digest_of(b"")}, "written against another fifo"),
    ({"edits": [{"find": "absent", "replacement": ""}]}, "edit 1: 'absent' is not there"),
    ({"edits": [{"find": "  insert(slice_ns);", "replacement": ""}]}, "line 6 is"),
    ({"edits": [{"find": "slice_ns", "replacement": "x"}]}, "more than once, at lines 2 and 6"),
    ({"edits": [EDIT, {"find": "10;", "replacement": ""}]}, "edits 1 and 2 overlap"),
    ({"edits": [{"find": "kick", "replacement": "kick"}]}, "changes nothing"),
    (
        {"edits": [{"find": "schedcp_fifo", "replacement": "schedcp_other"}]},
        'has "schedcp_fifo" 0 times',
    ),
    ({"diff": "nothing"}, "line 1 of the diff begins no hunk"),
    ({"diff": "--- a\n+++ b\n"}, "has no hunk"),
    ({"diff": DIFF.replace("-4,5", "-5,5")}, "hunk 1 does not fit: line 5 should be 'void enq"),
    ({"diff": DIFF.replace("-4,5", "-5,5")}, "the hunk's lines are at line 4"),
    ({"diff": DIFF.replace("+4,6", "+5,6")}, "begin at line 5 of the result"),
    ({"diff": DIFF.replace("-4,5", "-4,6")}, "its @@ line says 6 and 6"),
    ({"diff": DIFF.replace("-4,5", "-0,5")}, "lines are counted from 1"),
    ({"diff": DIFF.replace("+\tcount", "*\tcount")}, "begins with neither a blank nor - nor +"),
    ({"diff": DIFF + DIFF}, "more than one file"),
    ({"diff": DIFF + DIFF.partition("+++ b/fifo.bpf.c\n")[2]}, "before the end of the one before"),
    ({"diff": "@@ -90,0 +90,1 @@\n+x\n"}, "after the end of the text"),
    ({"diff": "@@ -9999999,1 +1,1 @@\n-x\n+y\n"}, "there is the end of the text"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_what_does_not_fit_is_refused_with_its_place(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(lambda: patched(**changes))


def test_a_patched_source_has_a_bound() -> None:
    edits = [
        {"find": find, "replacement": "/*" + "x" * 16_000 + "*/"}
        for find in ("fifo */", "const", "volatile", "u64", "= 10", "enqueue", "insert", "kick",
                     "struct")
    ]  # fmt: skip
    assert f"more than {SOURCE_BYTES_MAX} bytes" in refusal(lambda: patched(edits=edits))


def test_a_document_has_a_bound() -> None:
    data = b"#" * (PATCH_BYTES_MAX + 1)
    assert "shorten it" in refusal(lambda: mapping_of(data, "patch", PATCH_BYTES_MAX))


WORDS = st.sampled_from(
    ["a", "b", "", " ", "\t", "}", "-", "+", "--- x", "@@", "\\", "c\r", "é\x0c"]
)
TEXTS = st.builds(
    lambda lines, bare: "\n".join(lines) + ("" if bare or not lines else "\n"),
    st.lists(WORDS, max_size=24),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("text", "diff", "words"),
    [
        (
            "a\nb\nc\n",
            "@@ -1,1 +1,1 @@\n-a\n+x\n\\ No newline at end of file\n",
            "line 1 of the result would be 'x' without a newline, and it is not the last: 'b'",
        ),
        (
            "a\nb",
            "@@ -2,0 +3,1 @@\n+c\n",
            "line 2 of the result would be 'b' without a newline, and it is not the last: 'c'",
        ),
        (
            "a\nb",
            "@@ -2,1 +2,2 @@\n b\n\\ No newline at end of file\n+c\n",
            "line 2 of the result would be 'b' without a newline, and it is not the last: 'c'",
        ),
    ],
)
def test_no_two_lines_become_one(text: str, diff: str, words: str) -> None:
    assert words in refusal(lambda: applied_diff(text, diff))


@given(TEXTS, TEXTS, st.integers(0, 3))
def test_a_diff_between_two_texts_makes_one_of_the_other(old: str, new: str, context: int) -> None:
    assume(old != new)
    assert applied_diff(old, diff_of(old, new, context=context)) == new


@given(TEXTS, TEXTS, st.integers(0, 3), st.data())
def test_any_other_line_where_a_hunk_has_one_is_refused(
    old: str, new: str, context: int, data: st.DataObject
) -> None:
    """A text that differs in a line of context, or in one that is removed, is not the base."""
    lines, others = lines_of(old), lines_of(new)
    matcher = difflib.SequenceMatcher(None, lines, others)
    groups = list(matcher.get_grouped_opcodes(context)) if context else [matcher.get_opcodes()]
    covered = [
        index
        for group in groups
        for tag, begin, end, _, _ in group
        if context or tag != "equal"
        for index in range(begin, end)
    ]
    assume(old != new and covered)
    at = data.draw(st.sampled_from(covered))
    changed = data.draw(st.sampled_from([f"x{lines[at]}", f" {lines[at]}", f"{lines[at][:-1]} \n"]))
    assume(changed != lines[at])
    there = "".join([*lines[:at], changed, *lines[at + 1 :]])
    with pytest.raises(DiffRefused):
        applied_diff(there, diff_of(old, new, context=context))


@given(TEXTS, TEXTS, st.integers(1, 5))
def test_a_base_that_is_moved_by_lines_is_refused(old: str, new: str, by: int) -> None:
    """No hunk looks for its place, also where the same lines are a little further on."""
    assume(old != new and lines_of(old))
    with pytest.raises(DiffRefused):
        applied_diff("moved\n" * by + old, diff_of(old, new, context=10_000))


@given(st.text(max_size=300), st.text(max_size=100))
def test_hostile_diffs_are_refused_or_applied(diff: str, text: str) -> None:
    with contextlib.suppress(DiffRefused):
        applied_diff(text, diff)


HOSTILE = st.lists(
    st.sampled_from(
        ["@@ -1,2 +1,2 @@", "@@ -0,0 +1 @@", "@@ -9999999,9999999 +1 @@", "--- a", "+++ b", " a",
         "-a", "+a", "\\ No newline", "", "@@ -1 +1 @@ x", "diff --git a b"]
    ),
    max_size=12,
).map("\n".join)  # fmt: skip


@given(HOSTILE, TEXTS)
def test_what_looks_like_a_diff_is_refused_or_applied(diff: str, text: str) -> None:
    with contextlib.suppress(DiffRefused):
        applied_diff(text, diff)


@given(TEXTS, st.lists(st.tuples(st.text("ab\n", min_size=1, max_size=4), st.text(max_size=4))))
def test_edits_are_all_made_or_none(text: str, pairs: list[tuple[str, str]]) -> None:
    edits = tuple(Edit(find=find, replacement=instead) for find, instead in pairs)
    try:
        found = applied_edits(text, edits)
    except DiffRefused:
        assert any(text.count(edit.find) != 1 for edit in edits) or len(edits) > 1
        return
    assert len(found) == len(text) + sum(len(e.replacement) - len(e.find) for e in edits)
    assert all(edit.replacement in found for edit in edits)


@given(st.binary(max_size=300))
def test_hostile_documents_are_wrong_usage_or_read(data: bytes) -> None:
    with contextlib.suppress(UsageError):
        patch_of(mapping_of(data, "patch", PATCH_BYTES_MAX))


def candidate(**changes: Any) -> Candidate:
    digest = digest_of(SOURCE.encode())
    fields = {
        "kind": PlanKind.PATCH,
        "scheduler": "mine",
        "source_digest": digest_of(b"int x;"),
        "base": "fifo",
        "base_digest": digest,
        "patch_digest": digest,
    }
    return Candidate(**{**fields, **changes})


@pytest.mark.parametrize("field", ["source_digest", "base", "base_digest", "patch_digest"])
def test_a_candidate_of_kind_patch_says_what_it_was_made_of(field: str) -> None:
    with pytest.raises(ValueError, match="kind Patch needs"):
        candidate(**{field: None})
    with pytest.raises(ValueError, match="only a candidate of kind Patch"):
        candidate(kind=PlanKind.GENERATE)
    changed = candidate(**{field: "other" if field == "base" else digest_of(b"other")})
    assert changed.content_digest() != candidate().content_digest()


class TestLibrary:
    """A patch and the library that has its base."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A library of one scheduler."""
        (tmp_path / "manifests").mkdir()
        (tmp_path / "manifests/fifo.yaml").write_text(json.dumps(MANIFEST))
        (tmp_path / "fifo.bpf.c").write_text(SOURCE)
        return tmp_path

    def subject(self, folder: Path, asked: Candidate) -> object:
        request = VerificationRequest(
            candidate=asked,
            source="int x;",
            kernel_digest=digest_of(b""),
            contract=EvaluationContract(),
        )
        return subject_of(request, Library(folder), {})

    def test_its_source_is_a_strangers(self, folder: Path) -> None:
        assert getattr(self.subject(folder, candidate()), "manifest", "") is None

    def test_a_base_that_has_changed_since_is_told(self, folder: Path) -> None:
        (folder / "fifo.bpf.c").write_text("int y;")
        assert "make it anew" in refusal(lambda: self.subject(folder, candidate()))

    def test_a_base_that_is_not_there_is_told(self, folder: Path) -> None:
        asked = candidate(base="other")
        assert "no scheduler 'other'" in refusal(lambda: self.subject(folder, asked))

    def test_the_verb_prints_the_source(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SCHEDCP_VERIFIER_SCHEDULERS_DIR", str(folder))
        path = folder / "patch.yaml"
        path.write_text(json.dumps(document(edits=[EDIT])))
        assert run_command(["patch", str(path)]) == 0
        assert capsys.readouterr().out == patched(edits=[EDIT])
        path.write_text(json.dumps(document(base="absent", edits=[EDIT])))
        assert run_command(["patch", str(path)]) == 64
        assert "no scheduler 'absent'" in capsys.readouterr().err
        path.write_text("kind: Composition")
        assert run_command(["patch", str(path)]) == 64
        assert "is no patch" in capsys.readouterr().err
