"""The store: blobs by digest, lessons, runs of jobs, imported sources. By default an SQLite file.

Nothing here says how far a run has come: that is in the run's status only.
"""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from schedcp_api.base import digest_of
from schedcp_api.manifests import SchedulerManifest
from schedcp_api.runs import Lesson

from .errors import StoreUnavailable
from .jobs import MOST_JOB_RUNS, JobRun
from .library import LibraryEntry

__all__ = ["LESSONS", "MOST_LESSONS", "SqliteStore", "Store", "readable"]

_log = logging.getLogger(__name__)

LESSONS: TypeAdapter[tuple[Lesson, ...]] = TypeAdapter(tuple[Lesson, ...])
MOST_LESSONS = 10_000
"""Older lessons are forgotten."""

_T = TypeVar("_T")
_M = TypeVar("_M", bound=BaseModel)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS blobs (
    digest TEXT PRIMARY KEY, data BLOB NOT NULL, size INTEGER NOT NULL, used_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS lessons (
    digest TEXT PRIMARY KEY, at TEXT NOT NULL, lesson TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS job_runs (
    uid TEXT PRIMARY KEY, at TEXT NOT NULL, run TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sources (
    name TEXT PRIMARY KEY, digest TEXT NOT NULL, manifest TEXT NOT NULL, source TEXT NOT NULL);
"""


class Store(Protocol):
    """Where big and lasting data lives."""

    async def put_blob(self, data: bytes) -> str:
        """Keep bytes; return their digest."""

    async def get_blob(self, digest: str) -> bytes | None:
        """Return the bytes of that digest, checked, or None."""

    async def add_lessons(self, lessons: tuple[Lesson, ...]) -> str:
        """Keep lessons; the same ones again change nothing. Return the digest of all of them."""

    async def lessons(self) -> tuple[Lesson, ...]:
        """Return every lesson, the latest first."""

    async def add_job_runs(self, runs: tuple[JobRun, ...]) -> None:
        """Keep what jobs took; the same ones again change nothing."""

    async def job_runs(self) -> tuple[JobRun, ...]:
        """Return every run of a job that is kept, the latest first."""

    async def add_source(self, manifest: SchedulerManifest, source: str) -> str:
        """Keep an imported scheduler under its name; return the source's digest."""

    async def sources(self) -> Mapping[str, LibraryEntry]:
        """Return the imported schedulers by name."""

    async def source(self, digest: str) -> str | None:
        """Return the C source of that digest, or None."""

    async def close(self) -> None:
        """Close the store."""


def readable(kind: type[_M], texts: Iterable[str | bytes]) -> tuple[_M, ...]:
    """Return what can be read of stored rows; one that was damaged must not hide the others."""
    found: list[_M] = []
    for text in texts:
        try:
            found.append(kind.model_validate_json(text))
        except ValidationError as err:
            _log.error("a stored %s is left out, because it cannot be read: %s", kind.__name__, err)
    return tuple(found)


class SqliteStore:
    """A store in one file, for one replica."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open or create the file; raise StoreUnavailable when that cannot be done."""
        self._lock = threading.Lock()
        self._max_bytes = max_bytes
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=10, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as err:
            raise StoreUnavailable(f"{path}: {err}; set SCHEDCP_OPERATOR_STORE_PATH") from err

    async def put_blob(self, data: bytes) -> str:
        """Keep bytes; return their digest."""
        digest = digest_of(data)

        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO blobs VALUES (?, ?, ?, ?)"
                " ON CONFLICT (digest) DO UPDATE SET data = excluded.data, size = excluded.size,"
                " used_at = excluded.used_at",
                (digest, data, len(data), time.time()),
            )
            self._prune(db, keep=digest)

        await self._run(write)
        return digest

    def _prune(self, db: sqlite3.Connection, *, keep: str) -> None:
        """Drop the longest unused blobs until the rest fits."""
        total = int(db.execute("SELECT coalesce(sum(size), 0) FROM blobs").fetchone()[0])
        if total <= self._max_bytes:
            return
        oldest = db.execute(
            "SELECT digest, size FROM blobs WHERE digest != ? ORDER BY used_at", (keep,)
        )
        for digest, size in oldest.fetchall():
            if total <= self._max_bytes:
                return
            db.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
            total -= int(size)

    async def get_blob(self, digest: str) -> bytes | None:
        """Return the bytes of that digest, checked, or None; corrupt ones are dropped and told."""

        def read(db: sqlite3.Connection) -> bytes | None:
            row = db.execute("SELECT data FROM blobs WHERE digest = ?", (digest,)).fetchone()
            if row is None:
                return None
            if digest_of(bytes(row[0])) != digest:
                db.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
            db.execute("UPDATE blobs SET used_at = ? WHERE digest = ?", (time.time(), digest))
            return bytes(row[0])

        data = await self._run(read)
        if data is not None and digest_of(data) != digest:
            raise StoreUnavailable(f"blob {digest} is corrupt: its bytes have another digest")
        return data

    async def add_lessons(self, lessons: tuple[Lesson, ...]) -> str:
        """Keep lessons; the same ones again change nothing. Return the digest of all of them."""
        rows = [
            (lesson.content_digest(), lesson.at.isoformat(), lesson.model_dump_json(by_alias=True))
            for lesson in lessons
        ]

        def write(db: sqlite3.Connection) -> None:
            db.executemany("INSERT OR IGNORE INTO lessons VALUES (?, ?, ?)", rows)
            db.execute(
                "DELETE FROM lessons WHERE digest IN"
                " (SELECT digest FROM lessons ORDER BY at DESC LIMIT -1 OFFSET ?)",
                (MOST_LESSONS,),
            )

        await self._run(write)
        return await self.put_blob(LESSONS.dump_json(lessons, by_alias=True))

    async def lessons(self) -> tuple[Lesson, ...]:
        """Return every lesson, the latest first."""

        def read(db: sqlite3.Connection) -> list[str]:
            rows = db.execute("SELECT lesson FROM lessons ORDER BY at DESC, digest")
            return [str(row[0]) for row in rows.fetchall()]

        return readable(Lesson, await self._run(read))

    async def add_job_runs(self, runs: tuple[JobRun, ...]) -> None:
        """Keep what jobs took; the same ones again change nothing."""
        rows = [(run.uid, run.at.isoformat(), run.model_dump_json(by_alias=True)) for run in runs]

        def write(db: sqlite3.Connection) -> None:
            db.executemany("INSERT OR IGNORE INTO job_runs VALUES (?, ?, ?)", rows)
            db.execute(
                "DELETE FROM job_runs WHERE uid IN"
                " (SELECT uid FROM job_runs ORDER BY at DESC LIMIT -1 OFFSET ?)",
                (MOST_JOB_RUNS,),
            )

        await self._run(write)

    async def job_runs(self) -> tuple[JobRun, ...]:
        """Return every run of a job that is kept, the latest first."""

        def read(db: sqlite3.Connection) -> list[str]:
            rows = db.execute("SELECT run FROM job_runs ORDER BY at DESC, uid")
            return [str(row[0]) for row in rows.fetchall()]

        return readable(JobRun, await self._run(read))

    async def add_source(self, manifest: SchedulerManifest, source: str) -> str:
        """Keep an imported scheduler under its name; return the source's digest."""
        digest = digest_of(source.encode())
        row = (manifest.name, digest, manifest.model_dump_json(by_alias=True), source)

        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?)", row)

        await self._run(write)
        return digest

    async def sources(self) -> Mapping[str, LibraryEntry]:
        """Return the imported schedulers by name."""

        def read(db: sqlite3.Connection) -> list[tuple[str, str]]:
            return db.execute("SELECT digest, manifest FROM sources ORDER BY name").fetchall()

        entries = [
            LibraryEntry(manifest, digest)
            for digest, text in await self._run(read)
            for manifest in readable(SchedulerManifest, [text])
        ]
        return {entry.manifest.name: entry for entry in entries}

    async def source(self, digest: str) -> str | None:
        """Return the C source of that digest, or None."""

        def read(db: sqlite3.Connection) -> str | None:
            row = db.execute("SELECT source FROM sources WHERE digest = ?", (digest,)).fetchone()
            return str(row[0]) if row is not None else None

        return await self._run(read)

    async def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        return await asyncio.to_thread(self._locked, work)

    def _locked(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            with self._lock, self._db:
                return work(self._db)
        except sqlite3.Error as err:
            raise StoreUnavailable(f"the store's file: {err}") from err
