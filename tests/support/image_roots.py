"""Images unpacked, and their programs run in them as in a restricted pod, without a runtime."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schedcp_lab.processes import Completed, run, run_as_root
from schedcp_lab.rootfs import remove_tree

__all__ = ["ImageRoot", "unpacked"]

SCRIPT = Path(__file__).with_name("image_root.sh")
UNPACK_SECONDS = 300.0
RUN_SECONDS = 180.0


@dataclass(frozen=True)
class ImageRoot:
    """An image's files, and what it says of how it is run."""

    folder: Path
    user: str
    entrypoint: tuple[str, ...]
    env: tuple[str, ...]
    volumes: tuple[tuple[str, ...], ...] = ()
    """("empty", PLACE), which may be written, ("copy", PLACE, FOLDER) and ("bind", ...)."""

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, entrypoint: Sequence[str] = ()
    ) -> Completed:
        """Run the image's program (or another) with arguments, in a root that it cannot write."""
        volumes = [part for volume in self.volumes for part in volume]
        variables = [*self.env, *(f"{name}={value}" for name, value in (env or {}).items())]
        command = ["env", "-i", *variables, *(entrypoint or self.entrypoint), *arguments]
        apart = ["unshare", "--mount", "--propagation", "private", "--pid", "--kill-child"]
        return run_as_root(
            [*apart, "sh", SCRIPT, self.folder, self.user, *volumes, "--", *command],
            timeout_seconds=RUN_SECONDS,
            check=False,
        )


@contextmanager
def unpacked(archive: Path, folder: Path) -> Iterator[ImageRoot]:
    """Unpack a docker archive for as long as the block lasts.

    What an upper layer removes of a lower one stays, with a mark beside it: no program minds.
    """
    with tarfile.open(archive) as outer:
        manifest = json.loads(_read(outer, "manifest.json"))[0]
        config = json.loads(_read(outer, manifest["Config"]))["config"]
    root, layers = folder / "root", folder / "layers"
    for made in (root, layers):
        made.mkdir(parents=True)
    try:
        for layer in manifest["Layers"]:
            run(_extraction(archive, layers, layer), timeout_seconds=UNPACK_SECONDS)
            run_as_root(_extraction(layers / layer, root), timeout_seconds=UNPACK_SECONDS)
            (layers / layer).unlink()
        user = str(config["User"]).partition(":")[0]
        yield ImageRoot(root, user, tuple(config["Entrypoint"]), tuple(config["Env"]))
    finally:
        remove_tree(folder)


def _extraction(archive: Path, folder: Path, *members: str) -> list[str | Path]:
    return ["tar", "--extract", "--file", archive, "--directory", folder, *members]


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    assert stream is not None
    return stream.read()
