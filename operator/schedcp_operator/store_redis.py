"""The store in Redis, for several replicas. The only module that imports `redis`."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from schedcp_api.base import digest_of
from schedcp_api.manifests import SchedulerManifest
from schedcp_api.runs import Lesson

from .errors import StoreUnavailable
from .jobs import MOST_JOB_RUNS, JobRun
from .library import LibraryEntry
from .store import LESSONS, MOST_LESSONS, readable

__all__ = ["RedisStore"]

_BLOB_SECONDS = 90 * 24 * 3600
"""Blobs that nobody reads for this long are dropped."""
_ANSWER_SECONDS = 15.0
_LESSONS = "schedcp:lessons"
_JOB_RUNS = "schedcp:job-runs"
_SOURCES = "schedcp:sources"
_MANIFESTS = "schedcp:manifests"


class RedisStore:
    """A store that several replicas share."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5)

    async def put_blob(self, data: bytes) -> str:
        """Keep bytes; return their digest."""
        digest = digest_of(data)
        await _asked(self._redis.set(_blob(digest), data, ex=_BLOB_SECONDS))
        return digest

    async def get_blob(self, digest: str) -> bytes | None:
        """Return the bytes of that digest, checked, or None; corrupt ones are dropped and told."""
        data = await _asked(self._redis.getex(_blob(digest), ex=_BLOB_SECONDS))
        if data is not None and digest_of(data) != digest:
            await _asked(self._redis.delete(_blob(digest)))
            raise StoreUnavailable(f"blob {digest} is corrupt: its bytes have another digest")
        return cast(bytes | None, data)

    async def add_lessons(self, lessons: tuple[Lesson, ...]) -> str:
        """Keep lessons; the same ones again change nothing. Return the digest of all of them."""
        members = {
            lesson.model_dump_json(by_alias=True): lesson.at.timestamp() for lesson in lessons
        }
        if members:
            await _asked(self._redis.zadd(_LESSONS, members))
            await _asked(self._redis.zremrangebyrank(_LESSONS, 0, -MOST_LESSONS - 1))
        return await self.put_blob(LESSONS.dump_json(lessons, by_alias=True))

    async def lessons(self) -> tuple[Lesson, ...]:
        """Return every lesson, the latest first."""
        found = await _asked(self._redis.zrevrange(_LESSONS, 0, -1))
        return readable(Lesson, found)

    async def add_job_runs(self, runs: tuple[JobRun, ...]) -> None:
        """Keep what jobs took; the same ones again change nothing."""
        members = {run.model_dump_json(by_alias=True): run.at.timestamp() for run in runs}
        if members:
            await _asked(self._redis.zadd(_JOB_RUNS, members))
            await _asked(self._redis.zremrangebyrank(_JOB_RUNS, 0, -MOST_JOB_RUNS - 1))

    async def job_runs(self) -> tuple[JobRun, ...]:
        """Return every run of a job that is kept, the latest first."""
        return readable(JobRun, await _asked(self._redis.zrevrange(_JOB_RUNS, 0, -1)))

    async def add_source(self, manifest: SchedulerManifest, source: str) -> str:
        """Keep an imported scheduler under its name; return the source's digest."""
        digest = digest_of(source.encode())
        entry = f"{digest}\n{manifest.model_dump_json(by_alias=True)}"
        await _asked(self._redis.hset(_SOURCES, digest, source))
        await _asked(self._redis.hset(_MANIFESTS, manifest.name, entry))
        return digest

    async def sources(self) -> Mapping[str, LibraryEntry]:
        """Return the imported schedulers by name."""
        found = await _asked(self._redis.hgetall(_MANIFESTS))
        entries: dict[str, LibraryEntry] = {}
        for name, text in sorted(found.items()):
            digest, _, manifest = text.decode().partition("\n")
            for read in readable(SchedulerManifest, [manifest]):
                entries[name.decode()] = LibraryEntry(read, digest)
        return entries

    async def source(self, digest: str) -> str | None:
        """Return the C source of that digest, or None."""
        found = await _asked(self._redis.hget(_SOURCES, digest))
        return found.decode() if found is not None else None

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


def _blob(digest: str) -> str:
    return f"schedcp:blob:{digest}"


async def _asked(reply: Awaitable[Any] | Any) -> Any:
    try:
        # With its own attempts the client would ask for minutes.
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await reply
    except TimeoutError as err:
        raise StoreUnavailable(f"Redis: no answer within {_ANSWER_SECONDS:g} s") from err
    except (RedisError, OSError) as err:
        raise StoreUnavailable(f"Redis: {type(err).__name__}: {err}") from err
