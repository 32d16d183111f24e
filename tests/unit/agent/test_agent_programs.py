"""Programs that came with the agent: which there are, how they are run, what they say."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedcp_agent.inputs import InputFiles
from schedcp_agent.load_requests import LoadRequest, ObjectFile, ProgramFile, load_options
from schedcp_agent.metrics import Exporter, Snapshot
from schedcp_agent.programs import InstalledProgram, figures_of, programs_in
from schedcp_api import metrics as names
from schedcp_api.base import digest_of
from schedcp_api.manifests import CATALOGUE_NAME, BuiltProgram, Catalogue
from schedcp_api.nodestates import Assignment, RunState
from support.agent import OBJECT, assignment, built, token, wish
from support.agent_bench import AgentBench

PROGRAM = b"a program"
DIGEST = digest_of(PROGRAM)
BUILT = built(PROGRAM)
WORDS = ("--slice-us", "5000")


def folder_with(folder: Path, *entries: BuiltProgram) -> Path:
    (folder / "scx_tried").write_bytes(PROGRAM)
    text = Catalogue(programs=entries).model_dump_json(by_alias=True)
    (folder / CATALOGUE_NAME).write_text(text)
    return folder


def test_programs_are_those_of_the_catalogue(tmp_path: Path) -> None:
    found = programs_in(folder_with(tmp_path, BUILT))
    assert found == {DIGEST: InstalledProgram(BUILT, tmp_path / "scx_tried")}


@pytest.mark.parametrize(
    "entry",
    [
        built(b"another"),
        built(PROGRAM, crate="gone"),
        built(b"another", crate="../scx_tried"),
    ],
)
def test_what_is_not_what_was_built_is_no_program(tmp_path: Path, entry: BuiltProgram) -> None:
    assert programs_in(folder_with(tmp_path, entry)) == {}


@pytest.mark.parametrize("text", ["", "{]", '{"programs": 3}', "x" * 300_000])
def test_without_a_catalogue_there_are_none(tmp_path: Path, text: str) -> None:
    assert programs_in(tmp_path) == {}
    (tmp_path / CATALOGUE_NAME).write_text(text)
    assert programs_in(tmp_path) == {}


def program_assignment() -> Assignment:
    changes = {"object_digest": DIGEST, "command_line": WORDS}
    return assignment(token=token(program_digest=DIGEST, **changes), **changes)


def test_a_program_is_run_with_its_words_and_never_fetched(tmp_path: Path) -> None:
    path = tmp_path / "scx_tried"
    bench = AgentBench(tmp_path / "agent", programs={DIGEST: InstalledProgram(BUILT, path)})
    bench.see(wish(program_assignment()))
    bench.tick(5)
    assert bench.writer.status.assignments[0].state is RunState.ACTIVE
    (request,) = bench.loader.starts
    assert (request.payload, request.object_digest) == (ProgramFile(path, WORDS), DIGEST)
    assert bench.objects.present == frozenset()
    assert bench.writer.status.programs == (BUILT,)


def test_a_program_that_is_not_here_is_refused_and_not_fetched(tmp_path: Path) -> None:
    another = built(b"another")
    here = InstalledProgram(another, tmp_path / "another")
    bench = AgentBench(tmp_path, programs={another.digest: here})
    bench.see(wish(program_assignment()))
    bench.tick(5)
    status = bench.writer.status.assignments[0]
    assert (status.state, status.reason) == (RunState.REFUSED, "ProgramNotHere")
    assert bench.loader.starts == []
    assert bench.objects.failures == {}


def test_an_object_is_loaded_as_before(tmp_path: Path) -> None:
    here = InstalledProgram(BUILT, tmp_path / "scx_tried")
    bench = AgentBench(tmp_path, programs={DIGEST: here})
    bench.see(wish(assignment()))
    bench.tick(5)
    (request,) = bench.loader.starts
    path = bench.objects.path(digest_of(OBJECT))
    assert request.payload == ObjectFile(path, assignment().arguments)


def test_its_words_come_last_and_are_the_programs_alone() -> None:
    request = LoadRequest(ProgramFile(Path("/p"), WORDS), DIGEST, "run-1", "tried_1", 10_000)
    assert load_options(request, InputFiles(Path("/run/schedcp"))) == [
        "--program=/p",
        "--ops=tried_1",
        f"--digest={DIGEST}",
        "--timeout-ms=10000",
        "--",
        *WORDS,
    ]


def answer(figures: object, errno: int = 0) -> bytes:
    return json.dumps({"errno": errno, "args": {"resp": figures}}).encode() + b"\n"


def test_numbers_of_the_top_level_are_figures() -> None:
    figures = {
        "nr_running": 3,
        "busy": 12.5,
        "power_mode": "balanced",
        "on": True,
        "nodes": {"0": 1},
        "Bad-Name": 1,
        "huge": 10**400,
        "minus": -1,
    }
    assert figures_of(answer(figures)) == {"busy": 12.5, "minus": -1.0, "nr_running": 3.0}
    assert len(figures_of(answer({f"n{number}": 1 for number in range(500)}))) == 64


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"3\n",
        b"\xff\n",
        b"{}\n",
        b'{"errno": 0}\n',
        b'{"errno": 0, "args": 3}\n',
        answer([1]),
        answer({}, errno=22),
    ],
)
def test_what_is_no_answer_has_no_figures(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        figures_of(line)


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.one_of(st.integers(), st.floats(), st.text(max_size=4), st.none(), st.booleans()),
        max_size=8,
    )
)
def test_figures_are_finite_numbers_with_plain_names(figures: dict[str, object]) -> None:
    for name, value in figures_of(answer(figures)).items():
        assert name in figures
        assert float("-inf") < value < float("inf")


def test_what_a_program_says_is_exported_as_its_own_word() -> None:
    exporter = Exporter()
    exporter.publish(Snapshot(node="n", ops="tried_1", statistics={"nr_running": 3.0}))
    wanted = f'{names.STATISTIC}{{name="nr_running",node="n",ops="tried_1"}} 3.0'
    assert wanted in exporter.render().decode().splitlines()
