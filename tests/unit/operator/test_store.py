from pathlib import Path

import pytest

from schedcp_api.base import digest_of
from schedcp_operator import store as stores
from schedcp_operator.errors import StoreUnavailable
from schedcp_operator.store import SqliteStore
from support.operator_library import manifest
from support.operator_nouns import job_run, lesson

MIB = 1024 * 1024


def store(tmp_path: Path, *, max_bytes: int = 16 * MIB) -> SqliteStore:
    """A store in a file."""
    return SqliteStore(tmp_path / "a folder" / "store.sqlite", max_bytes=max_bytes)


async def test_blobs_outlive_the_process(tmp_path: Path) -> None:
    first = store(tmp_path)
    digest = await first.put_blob(b"bytes")
    assert digest == digest_of(b"bytes")
    await first.close()
    second = store(tmp_path)
    assert await second.get_blob(digest) == b"bytes"
    assert await second.get_blob(digest_of(b"other")) is None
    await second.close()


async def test_a_corrupt_blob_is_noticed(tmp_path: Path) -> None:
    kept = store(tmp_path)
    digest = await kept.put_blob(b"bytes")
    with kept._db as db:
        db.execute("UPDATE blobs SET data = ?", (b"forged",))
    with pytest.raises(StoreUnavailable, match="corrupt"):
        await kept.get_blob(digest)
    assert await kept.get_blob(digest) is None, "whoever has the bytes may bring them again"
    await kept.close()


async def test_a_corrupt_blob_is_mended_by_the_right_bytes(tmp_path: Path) -> None:
    kept = store(tmp_path)
    digest = await kept.put_blob(b"right")
    with kept._db as db:
        db.execute("UPDATE blobs SET data = ?", (b"wrong",))
    assert await kept.put_blob(b"right") == digest
    assert await kept.get_blob(digest) == b"right"
    await kept.close()


async def test_runs_of_jobs_outlive_the_process_and_the_oldest_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MOST_JOB_RUNS", 2)
    first = store(tmp_path)
    await first.add_job_runs((job_run(1), job_run(3)))
    await first.add_job_runs((job_run(3), job_run(2)))
    await first.close()
    second = store(tmp_path)
    assert await second.job_runs() == (job_run(3), job_run(2))
    await second.close()


async def test_one_damaged_row_hides_no_other(tmp_path: Path) -> None:
    kept = store(tmp_path)
    await kept.add_lessons((lesson(1), lesson(2)))
    await kept.add_source(manifest("one"), "int x;")
    await kept.add_source(manifest("two"), "int y;")
    with kept._db as db:
        db.execute("UPDATE lessons SET lesson = '{}' WHERE lesson LIKE '%run-1%'")
        db.execute("UPDATE sources SET manifest = '{}' WHERE name = 'one'")
    assert [found.run for found in await kept.lessons()] == ["run-2"]
    assert list(await kept.sources()) == ["two"]
    await kept.close()


async def test_the_longest_unused_blobs_go_first(tmp_path: Path) -> None:
    kept = store(tmp_path, max_bytes=3 * MIB)
    digests = [await kept.put_blob(bytes([number]) * MIB) for number in range(3)]
    await kept.get_blob(digests[0])
    await kept.put_blob(bytes([9]) * MIB)
    present = [await kept.get_blob(digest) is not None for digest in digests]
    assert present == [True, False, True]
    await kept.close()


async def test_lessons_come_latest_first_and_once(tmp_path: Path) -> None:
    kept = store(tmp_path)
    both = (lesson(1), lesson(2))
    assert await kept.add_lessons(both) == await kept.add_lessons(both)
    assert [found.run for found in await kept.lessons()] == ["run-2", "run-1"]
    await kept.close()


async def test_sources_are_found_by_name_and_digest(tmp_path: Path) -> None:
    kept = store(tmp_path)
    digest = await kept.add_source(manifest("mine"), "int x;")
    newer = await kept.add_source(manifest("mine"), "int y;")
    sources = await kept.sources()
    assert sources["mine"].source_digest == newer != digest
    assert await kept.source(newer) == "int y;"
    assert await kept.source(digest) is None
    await kept.close()


async def test_a_place_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "a folder").write_text("a file")
    with pytest.raises(StoreUnavailable, match="SCHEDCP_OPERATOR_STORE_PATH"):
        store(tmp_path)


async def test_a_closed_store_is_unavailable(tmp_path: Path) -> None:
    kept = store(tmp_path)
    await kept.close()
    with pytest.raises(StoreUnavailable):
        await kept.put_blob(b"x")
