"""OCI images without a registry: a Debian base, then the real Dockerfiles, as docker archives.

Each image is an artefact of the cache: `image.tar` (a docker archive with the image's full name)
and `digest` (of that file). A build pulls nothing, and sees only a context that is assembled for
it. Python packages come from a wheelhouse that is prepared outside (`wheels`), so that an image
build needs no package index. Builds share one storage: what did not change is not built again.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from schedcp_lab import rootfs
from schedcp_lab.cache import MANIFEST, Cache, digest_file, digest_text
from schedcp_lab.debian import TARGET_SUITE, Debian
from schedcp_lab.processes import run, run_as_root
from schedcp_lab.rootfs import debootstrap
from schedcp_lab.workspaces import workspace

__all__ = [
    "BASE_IMAGE",
    "PAUSE_IMAGE",
    "ImageSpec",
    "apt_proxy_options",
    "base_image",
    "build_image",
    "pause_image",
    "tree_digest",
]

BASE_IMAGE = f"debian:{TARGET_SUITE}-slim"
"""As the Dockerfiles' FROM says; local storage holds it under `localhost/`."""

PAUSE_IMAGE = "localhost/pause:1"
BASE_PACKAGES = ("ca-certificates",)
RECIPE = digest_text(digest_file(Path(__file__)) + digest_file(Path(rootfs.__file__)))
"""Of the code that makes images: what it made differently is made anew."""

BUILD_TIMEOUT_SECONDS = 1200.0
COPY_TIMEOUT_SECONDS = 300.0
NODE_FILES = Path(__file__).resolve().parent.parent / "node"
# What the sources made elsewhere is neither part of an image nor of its digest.
IGNORED = shutil.ignore_patterns(
    *(
        "__pycache__",
        "*.pyc",
        "*.egg-info",
        ".git",
        ".venv",
        ".cache",
        ".mypy_cache",
        ".ruff_cache",
    ),
    *(MANIFEST, ".output"),
)


@dataclass(frozen=True)
class ImageSpec:
    """One image to build: its full name, the Dockerfile, and what the build may see.

    `context` maps a place in the build context to the file or directory that goes there.
    """

    name: str
    dockerfile: Path
    context: Mapping[str, Path]
    target: str | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    from_base: bool = True


def build_image(cache: Cache, spec: ImageSpec, *, base: Path | None) -> Path:
    """Return the artefact directory of the image; `base` is the one that `base_image` returned."""
    inputs = {
        "recipe": RECIPE,
        "name": spec.name,
        "dockerfile": digest_file(spec.dockerfile),
        "target": spec.target or "",
        "arguments": repr(sorted(spec.arguments.items())),
        "base": image_digest(base) if base is not None and spec.from_base else "",
        **{f"context {place}": tree_digest(source) for place, source in spec.context.items()},
    }

    def build(folder: Path) -> None:
        with workspace(cache, "image") as context:
            _assemble(spec.context, context)
            with _storage(cache) as storage:
                if base is not None and spec.from_base:
                    storage.load(base / "image.tar")
                storage.build(spec, context)
                storage.export(spec.name, folder / "image.tar")
        (folder / "digest").write_text(digest_file(folder / "image.tar"))

    return cache.artefact(f"images/{_artefact_name(spec.name)}", inputs, build)


def base_image(cache: Cache, debian: Debian) -> Path:
    """Return the artefact directory of the Debian base image."""
    sources = target_lines(debian)
    options = apt_proxy_options()
    inputs = {
        "recipe": RECIPE,
        "sources": "\n".join(sources),
        "options": "\n".join(options),
        "packages": " ".join(BASE_PACKAGES),
    }

    def build(folder: Path) -> None:
        with workspace(cache, "base") as context:
            listing = context / "base.list"
            listing.write_text("\n".join(sources) + "\n")
            debootstrap(
                context / "base.tar",
                sources=listing,
                variant="minbase",
                packages=BASE_PACKAGES,
                apt_options=options,
            )
            dockerfile = context / "Dockerfile"
            dockerfile.write_text('FROM scratch\nADD base.tar /\nCMD ["/bin/bash"]\n')
            spec = ImageSpec(BASE_IMAGE, dockerfile, {})
            with _storage(cache) as storage:
                storage.build(spec, context)
                storage.export(f"localhost/{BASE_IMAGE}", folder / "image.tar")
        (folder / "digest").write_text(digest_file(folder / "image.tar"))

    return cache.artefact(f"images/{_artefact_name(BASE_IMAGE)}", inputs, build)


def pause_image(cache: Cache) -> Path:
    """Return the artefact directory of the image that holds a pod's namespaces."""
    source = NODE_FILES / "pause.c"

    def build(folder: Path) -> None:
        run(
            ["gcc", "-Os", "-static", "-Wall", "-Werror", "-o", folder / "pause", source],
            timeout_seconds=COPY_TIMEOUT_SECONDS,
        )

    program = cache.artefact("images/pause-program", {"source": digest_file(source)}, build)
    spec = ImageSpec(
        PAUSE_IMAGE,
        NODE_FILES / "Dockerfile.pause",
        {"pause": program / "pause"},
        from_base=False,
    )
    return build_image(cache, spec, base=None)


def image_digest(artefact: Path) -> str:
    """Return the digest of an image artefact's archive."""
    return (artefact / "digest").read_text().strip()


def target_lines(debian: Debian) -> list[str]:
    """Return the target release's own sources lines, without its backports."""
    return [line for line in debian.mmdebstrap_sources() if f" {TARGET_SUITE} " in line]


def apt_proxy_options() -> list[str]:
    """Return the machine's own apt proxy settings as apt options."""
    dump = run(["apt-config", "dump", "Acquire"], timeout_seconds=COPY_TIMEOUT_SECONDS)
    return proxies_in(dump.stdout)


def proxies_in(dump: str) -> list[str]:
    """Return the proxies in the output of `apt-config dump`, as apt options."""
    found = re.findall(r'^(Acquire::https?::Proxy(?:::\S+)?) "(.+)";$', dump, re.MULTILINE)
    return [f'{name} "{value}"' for name, value in found]


def tree_digest(source: Path) -> str:
    """Return a digest of a file or of a directory's names, modes and contents."""
    if source.is_file():
        return digest_file(source)
    rows: list[str] = []
    for folder_name, names, files in os.walk(source):
        folder = Path(folder_name)
        skipped = IGNORED(folder_name, [*names, *files])
        names[:] = sorted(name for name in names if name not in skipped)
        for name in sorted(name for name in files if name not in skipped):
            path = folder / name
            body = f"-> {path.readlink()}" if path.is_symlink() else digest_file(path)
            rows.append(f"{path.relative_to(source)} {path.lstat().st_mode:o} {body}")
    return digest_text("\n".join(rows))


def _artefact_name(image: str) -> str:
    return image.removeprefix("localhost/").replace("/", "-").replace(":", "-")


def _assemble(context: Mapping[str, Path], target: Path) -> None:
    for place, source in context.items():
        destination = target / place
        destination.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, destination, symlinks=True, ignore=IGNORED, dirs_exist_ok=True)
        else:
            shutil.copy2(source, destination)


@dataclass(frozen=True)
class _Storage:
    """A container storage of one build."""

    root: Path

    def load(self, archive: Path) -> None:
        self._buildah(["pull", "--quiet", f"docker-archive:{archive}"])

    def build(self, spec: ImageSpec, context: Path) -> None:
        options = ["--isolation", "chroot", "--pull-never", "--layers", "--format", "docker"]
        options += ["--file", str(spec.dockerfile), "--tag", spec.name]
        options += _limits()
        if spec.target is not None:
            options += ["--target", spec.target]
        for name, value in sorted(spec.arguments.items()):
            options += ["--build-arg", f"{name}={value}"]
        self._buildah(["bud", *options, str(context)])

    def export(self, name: str, archive: Path) -> None:
        self._buildah(["push", "--quiet", name, f"docker-archive:{archive}:{name}"])

    def _buildah(self, arguments: Sequence[str]) -> None:
        """Run it where its mounts go with it: what it leaves mounted, nobody could remove."""
        places = ["--root", str(self.root / "storage"), "--runroot", str(self.root / "run")]
        command = ["buildah", *places, "--storage-driver", "overlay", *arguments]
        run_as_root(["unshare", "--mount", *command], timeout_seconds=BUILD_TIMEOUT_SECONDS)


def _limits() -> list[str]:
    """Return options that raise no limit: Debian 13's builder would, and may not everywhere."""
    options: list[str] = []
    for name, kind, most in (
        ("nofile", resource.RLIMIT_NOFILE, 1 << 20),
        ("nproc", resource.RLIMIT_NPROC, 1 << 15),  # What Debian 12's builder allows.
    ):
        hard = resource.getrlimit(kind)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(hard, most)
        options += ["--ulimit", f"{name}={limit}:{limit}"]
    return options


@contextmanager
def _storage(cache: Cache) -> Iterator[_Storage]:
    """The builds' common storage, which keeps layers; one build at a time."""
    with cache.lock("buildah"):
        yield _Storage(cache.directory("buildah"))
