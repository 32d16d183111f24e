"""What the lab fetched or built, kept under one directory and checked by digest.

An artefact is a directory with a manifest: the digest of the inputs it was made from, the digest of
its contents, and a signature of its files' stat data. Asked for again with the same inputs it is
returned as it is. Files whose stat data changed since they were last hashed are hashed again; if
the contents no longer match, the artefact is made anew. Two programs that want the same artefact
wait for each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from schedcp_lab.errors import NotReady

__all__ = ["Cache", "contents_digest", "digest_file", "digest_text"]

MANIFEST = ".manifest.json"
LOCK_TIMEOUT_SECONDS = 3600.0
LOCK_POLL_SECONDS = 0.2


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's contents in hex."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def contents_digest(folder: Path) -> str:
    """Return the digest of all that a folder holds; an artefact's is in its manifest already."""
    manifest = _read_manifest(folder) or {}
    return manifest.get("contents") or _contents_digest(folder)


@dataclass(frozen=True)
class Cache:
    """A directory of artefacts, each under a name that may hold slashes."""

    root: Path

    def directory(self, name: str) -> Path:
        """Return a plain directory of the cache, made when absent; its contents are not checked."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def artefact(self, name: str, inputs: Mapping[str, str], build: Callable[[Path], None]) -> Path:
        """Return the directory `name`, made by `build(directory)` unless it is there and sound.

        `inputs` is everything the result depends on: versions, digests, options. `build` fills an
        empty directory beside the final place; it takes that place in one rename when it is done.
        """
        target = self.root / name
        wanted = digest_text(json.dumps(dict(inputs), sort_keys=True))
        with self.lock(name):
            if not self._sound(target, wanted):
                self._make(target, wanted, build)
        return target

    def has(self, name: str, inputs: Mapping[str, str]) -> bool:
        """Say whether an artefact of these inputs is there and sound, without making it."""
        wanted = digest_text(json.dumps(dict(inputs), sort_keys=True))
        with self.lock(name):
            return self._sound(self.root / name, wanted)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock of an artefact: one program at a time makes or checks it."""
        path = self.directory("locks") / f"{name.replace('/', '_')}.lock"
        with path.open("a") as handle:
            _acquire(handle.fileno(), path)
            yield

    def _sound(self, target: Path, wanted: str) -> bool:
        manifest = _read_manifest(target)
        if manifest is None or manifest.get("inputs") != wanted:
            return False
        signature = _stat_signature(target)
        if manifest.get("signature") == signature:
            return True
        if manifest.get("contents") != _contents_digest(target):
            return False
        _write_manifest(target, {**manifest, "signature": signature})
        return True

    def _make(self, target: Path, wanted: str, build: Callable[[Path], None]) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{target.name}."
        for stale in target.parent.glob(f"{prefix}*.tmp"):
            shutil.rmtree(stale)
        fresh = Path(tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=target.parent))
        try:
            fresh.chmod(0o755)
            build(fresh)
            manifest = {"inputs": wanted, "contents": _contents_digest(fresh)}
            _write_manifest(fresh, {**manifest, "signature": _stat_signature(fresh)})
            if target.exists():
                old = Path(tempfile.mkdtemp(prefix=prefix, suffix=".tmp", dir=target.parent))
                target.rename(old / "old")
                fresh.rename(target)
                shutil.rmtree(old)
            else:
                fresh.rename(target)
        finally:
            if fresh.exists():
                shutil.rmtree(fresh)


def _acquire(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise NotReady(
                    f"another program has held {path} for {LOCK_TIMEOUT_SECONDS:g} s; "
                    "end it, then try again"
                ) from error
            time.sleep(LOCK_POLL_SECONDS)
        else:
            return


def _read_manifest(target: Path) -> dict[str, str] | None:
    try:
        manifest = json.loads((target / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def _write_manifest(target: Path, manifest: Mapping[str, str]) -> None:
    fresh = target / f"{MANIFEST}.new"
    fresh.write_text(json.dumps(dict(manifest)))
    fresh.replace(target / MANIFEST)


def _files(target: Path) -> Iterator[Path]:
    """Yield every file and link below `target`, in a fixed order, the manifest left out."""
    for folder, folders, names in os.walk(target):
        folders.sort()
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted([*names, *links]):
            path = Path(folder) / name
            if path.parent != target or not name.startswith(MANIFEST):
                yield path


def _stat_signature(target: Path) -> str:
    digest = hashlib.sha256()
    for path in _files(target):
        stat = path.lstat()
        row = (stat.st_ino, stat.st_mode, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        digest.update(f"{path.relative_to(target)}\0{row}\n".encode())
    return digest.hexdigest()


def _contents_digest(target: Path) -> str:
    digest = hashlib.sha256()
    for path in _files(target):
        stat = path.lstat()
        if path.is_symlink():
            body = f"-> {path.readlink()}"
        elif path.is_file():
            body = digest_file(path)
        else:
            body = "special"
        digest.update(f"{path.relative_to(target)}\0{stat.st_mode}\0{body}\n".encode())
    return digest.hexdigest()
