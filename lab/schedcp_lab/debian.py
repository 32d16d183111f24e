"""Packages from the machine's own Debian mirror, through private apt configurations.

Two configurations live under the cache and never touch the host's own: *host* (the host's release,
its updates and its backports), from which host tools are installed; and *target* (the release that
the lab's nodes run, and its backports), from which kernels and root file systems are made. The
mirror's address is read from the machine's own apt, so any mirror, proxy or style of sources works.
Lists are verified against Debian's archive keyring.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schedcp_lab.cache import Cache, digest_file
from schedcp_lab.errors import CommandFailed, PackageUnavailable
from schedcp_lab.patience import LOCK_OPTIONS, Patience
from schedcp_lab.processes import environment, run, run_as_root

__all__ = ["KEYRING", "TARGET_SUITE", "Apt", "Debian", "Mirror", "PoolFile", "find_mirror"]

DPKG_STATUS = Path("/var/lib/dpkg/status")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TARGET_SUITE = "trixie"
FRESH_SECONDS = 24 * 3600.0
UPDATE_TIMEOUT_SECONDS = 600.0
DOWNLOAD_TIMEOUT_SECONDS = 900.0
INSTALL_TIMEOUT_SECONDS = 1800.0
QUERY_TIMEOUT_SECONDS = 120.0
APT_HELPER = Path("/usr/lib/apt/apt-helper")

PRINT_URI = re.compile(r"^'(?P<uri>[^']+)' (?P<name>\S+) (?P<size>\d+) SHA256:(?P<sha256>\w{64})$")


@dataclass(frozen=True)
class Mirror:
    """Where the machine gets Debian from."""

    codename: str
    archive_uri: str
    security_uri: str | None


@dataclass(frozen=True)
class PoolFile:
    """A package that lies in the archive's pool still and in no index any more.

    No signed index vouches for such a file, so its digest is pinned here.
    """

    path: str
    """Below the archive's address."""
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name


@dataclass(frozen=True)
class Source:
    """One repository: an address and its suites."""

    uri: str
    suites: tuple[str, ...]

    def deb822(self) -> str:
        """Return the entry as apt's sources file wants it."""
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {' '.join(self.suites)}\n"
            f"Components: main\nSigned-By: {KEYRING}\n"
        )

    def one_line(self) -> list[str]:
        """Return the entries in the one-line style, one for each suite."""
        return [f"deb [signed-by={KEYRING}] {self.uri} {suite} main" for suite in self.suites]


def find_mirror(index_targets: str, *, codename: str) -> Mirror:
    """Find the mirror in the output of `apt-get indextargets` (see `INDEX_FORMAT`)."""
    rows = [row.split("|") for row in index_targets.splitlines() if row.count("|") == 2]
    addresses = {name: uri for origin, name, uri in reversed(rows) if origin == "Debian"}
    archive = addresses.get(codename)
    if archive is None:
        raise PackageUnavailable(
            f"apt knows no Debian archive for {codename}; run `apt-get update` as root and check "
            "the entries under /etc/apt/sources.list.d"
        )
    return Mirror(codename, archive, addresses.get(f"{codename}-security"))


INDEX_FORMAT = "$(ORIGIN)|$(CODENAME)|$(REPO_URI)"


def _host_codename(os_release: str) -> str:
    found = re.search(r"^VERSION_CODENAME=\"?([\w-]+)", os_release, re.MULTILINE)
    if "ID=debian" not in os_release or found is None:
        raise PackageUnavailable(
            "the lab runs on Debian 12 and 13 only, because it sets itself up with apt: use such a "
            "machine, or a container or virtual machine of one"
        )
    return found.group(1)


def configuration(folder: Path, *, status: Path) -> str:
    """Return apt's configuration for a private set of sources and lists below `folder`.

    `status` says what counts as installed: dpkg's own file, or an empty one for another system.
    """
    return "".join(
        f'{name} "{value}";\n'
        for name, value in {
            "Dir::Etc::SourceList": "/dev/null",
            "Dir::Etc::SourceParts": f"{folder}/sources/",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State::Lists": f"{folder}/lists/",
            "Dir::State::status": str(status),
            "Dir::Cache": f"{folder}/archive/",
            "Dir::Cache::pkgcache": "packages.bin",
            "Dir::Cache::srcpkgcache": "sources.bin",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "APT::Sandbox::User": "root",
            "APT::Install-Recommends": "false",
        }.items()
    )


def expected_files(print_uris: str, packages: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Read `apt-get --print-uris download`: file name and SHA-256 for each package."""
    rows = [found for row in print_uris.splitlines() if (found := PRINT_URI.match(row))]
    by_name = {row["name"].partition("_")[0]: (row["name"], row["sha256"]) for row in rows}
    expected = {package: by_name.get(package.partition("=")[0]) for package in packages}
    without = [package for package, found in expected.items() if found is None]
    if without:
        raise PackageUnavailable(
            f"apt gave no address with a SHA-256 for {', '.join(without)}:\n{print_uris}"
        )
    return {package: found for package, found in expected.items() if found is not None}


def _has_digest(path: Path, sha256: str) -> bool:
    return path.is_file() and digest_file(path) == sha256


@dataclass(frozen=True)
class Apt:
    """One private apt configuration."""

    folder: Path
    sources: tuple[Source, ...]
    status: Path = DPKG_STATUS
    patience: Patience = field(default_factory=Patience)

    def _options(self) -> list[str]:
        return ["-c", str(self.folder / "apt.conf")]

    def prepare(self) -> bool:
        """Write the configuration; say whether it differs from what was there."""
        for name in ("sources", "lists/partial", "archive/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        wanted = {
            self.folder / "apt.conf": configuration(self.folder, status=self.status),
            self.folder / "sources" / "lab.sources": "\n".join(s.deb822() for s in self.sources),
        }
        changed = False
        for path, text in wanted.items():
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
                changed = True
        return changed

    def update(self, *, now: float | None = None) -> None:
        """Fetch the package lists, unless those here are of the last day and the same sources."""
        changed = self.prepare()
        stamp = self.folder / "updated"
        if changed:  # What is there is of other sources, and stays so when fetching fails.
            stamp.unlink(missing_ok=True)
        updated = stamp.stat().st_mtime if stamp.exists() else 0.0
        age = (time.time() if now is None else now) - updated
        if not changed and age < FRESH_SECONDS:
            return
        update = ["-qq", "-o", "APT::Update::Error-Mode=any", "update"]
        self.patience.keep_trying(
            lambda: run(
                ["apt-get", *self._options(), *update], timeout_seconds=UPDATE_TIMEOUT_SECONDS
            )
        )
        stamp.touch()

    def names(self, prefix: str) -> frozenset[str]:
        """Return the names of all packages in the index that begin with `prefix`."""
        done = run(
            ["apt-cache", *self._options(), "pkgnames", prefix],
            timeout_seconds=QUERY_TIMEOUT_SECONDS,
        )
        return frozenset(done.stdout.split())

    def candidate(self, package: str, *, suite: str | None = None) -> str | None:
        """Return the version that would be installed (from `suite`, if given), or None."""
        release = ["-t", suite] if suite else []
        done = run(
            ["apt-cache", *self._options(), *release, "policy", package],
            timeout_seconds=QUERY_TIMEOUT_SECONDS,
        )
        found = re.search(r"^  Candidate: (\S+)$", done.stdout, re.MULTILINE)
        return None if found is None or found.group(1) == "(none)" else found.group(1)

    def download(self, packages: Sequence[str], into: Path) -> list[Path]:
        """Fetch packages (NAME or NAME=VERSION) into a directory; return the files in that order.

        A file that is there with the digest of the signed index is not fetched again.
        """
        if not packages:
            return []
        into.mkdir(parents=True, exist_ok=True)
        expected = self._expected(packages)
        absent = [
            package
            for package, (name, sha256) in expected.items()
            if not _has_digest(into / name, sha256)
        ]
        if absent:
            for package in absent:
                (into / expected[package][0]).unlink(missing_ok=True)
            run(
                ["apt-get", *self._options(), "-qq", "download", *absent],
                timeout_seconds=DOWNLOAD_TIMEOUT_SECONDS,
                cwd=into,
            )
        for package in absent:
            name, sha256 = expected[package]
            if not _has_digest(into / name, sha256):
                raise PackageUnavailable(
                    f"{package} was fetched but does not have the digest of the signed index; "
                    f"remove {self.folder} and try again"
                )
        return [into / expected[package][0] for package in packages]

    def download_pool(self, archive_uri: str, files: Sequence[PoolFile], into: Path) -> list[Path]:
        """Fetch files of an archive's pool into a directory; return them in the same order.

        Raise PackageUnavailable when the archive has one no more, or other bytes under its name.
        """
        into.mkdir(parents=True, exist_ok=True)
        for file in files:
            if _has_digest(into / file.name, file.sha256):
                continue
            uri = f"{archive_uri.rstrip('/')}/{file.path}"
            try:
                helper: list[str | Path] = [APT_HELPER, *self._options(), "-qq", "download-file"]
                run(
                    [*helper, uri, into / file.name, f"SHA256:{file.sha256}"],
                    timeout_seconds=DOWNLOAD_TIMEOUT_SECONDS,
                )
            except CommandFailed as error:
                for left in (file.name, f"{file.name}.FAILED"):  # Which, depends on apt's age.
                    (into / left).unlink(missing_ok=True)
                raise PackageUnavailable(
                    f"{file.name} is in no package index any more, and could not be had from the "
                    f"archive's pool with the digest pinned here: {error}"
                ) from error
        return [into / file.name for file in files]

    def _expected(self, packages: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return, for each package, the file that `apt-get download` makes and its SHA-256."""
        try:
            done = run(
                ["apt-get", *self._options(), "-qq", "--print-uris", "download", *packages],
                timeout_seconds=QUERY_TIMEOUT_SECONDS,
                cwd=self.folder / "archive",
            )
        except CommandFailed as error:
            suites = ", ".join(suite for source in self.sources for suite in source.suites)
            raise PackageUnavailable(
                f"the machine's mirror does not have all of {', '.join(packages)} in {suites}: "
                f"{error}"
            ) from error
        return expected_files(done.stdout, packages)

    def install(self, packages: Iterable[str], *, suite: str | None = None) -> None:
        """Install packages on the host as root; services are not started while this runs.

        While another apt is at work there, wait.
        """
        release = ["-t", suite] if suite else []
        env = environment({"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"})
        assignments = [f"{name}={env[name]}" for name in ("DEBIAN_FRONTEND", "RUNLEVEL")]
        options = [*self._options(), *LOCK_OPTIONS, *release]
        options += ["-o", "Dpkg::Options::=--force-confold", "-qq", "-y"]
        command = ["env", *assignments, "apt-get", *options, "install", *packages]
        self.patience.keep_trying(
            lambda: run_as_root(command, timeout_seconds=INSTALL_TIMEOUT_SECONDS, env=env)
        )


@dataclass(frozen=True)
class Debian:
    """The machine's Debian: its release, its mirror, and the two private configurations."""

    mirror: Mirror
    host: Apt
    target: Apt
    packages: Path

    @classmethod
    def open(
        cls,
        cache: Cache,
        *,
        os_release: Path = Path("/etc/os-release"),
        report: Callable[[str], None] = print,
    ) -> Debian:
        """Read the machine's settings; nothing is fetched yet."""
        codename = _host_codename(os_release.read_text())
        done = run(
            ["apt-get", "indextargets", "--format", INDEX_FORMAT, "Created-By: Packages"],
            timeout_seconds=QUERY_TIMEOUT_SECONDS,
        )
        mirror = find_mirror(done.stdout, codename=codename)
        nothing_installed = cache.directory("apt") / "nothing-installed"
        nothing_installed.touch()
        patience = Patience(report)
        return cls(
            mirror=mirror,
            host=Apt(cache.directory("apt/host"), host_sources(mirror), patience=patience),
            target=Apt(
                cache.directory("apt/target"),
                target_sources(mirror),
                status=nothing_installed,
                patience=patience,
            ),
            packages=cache.directory("apt/packages"),
        )

    def update(self) -> None:
        """Refresh the lists of the target release."""
        self.target.update()

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Fetch packages of the target release; return their files in the same order."""
        return self.target.download(packages, self.packages)

    def download_pool(self, files: Sequence[PoolFile]) -> list[Path]:
        """Fetch packages that only the archive's pool has; return their files in that order."""
        return self.target.download_pool(self.mirror.archive_uri, files, self.packages)

    def install_host(self, packages: Sequence[str], *, from_backports: Sequence[str] = ()) -> None:
        """Install host packages; those in `from_backports` from the host's backports."""
        self.host.update()
        if packages:
            self.host.install(packages)
        if from_backports:
            self.host.install(from_backports, suite=f"{self.mirror.codename}-backports")

    def mmdebstrap_sources(self) -> list[str]:
        """Return the one-line entries of the target release, for mmdebstrap."""
        return [line for source in self.target.sources for line in source.one_line()]


def host_sources(mirror: Mirror) -> tuple[Source, ...]:
    """Return the host's own release with its updates, backports and security fixes."""
    name = mirror.codename
    archive = Source(mirror.archive_uri, (name, f"{name}-updates", f"{name}-backports"))
    if mirror.security_uri is None:
        return (archive,)
    return (archive, Source(mirror.security_uri, (f"{name}-security",)))


def target_sources(mirror: Mirror) -> tuple[Source, ...]:
    """Return the release of the lab's nodes, and its backports."""
    return (Source(mirror.archive_uri, (TARGET_SUITE, f"{TARGET_SUITE}-backports")),)


def version_key(name: str) -> tuple[int, ...]:
    """Return the numbers in a name, for comparing versions of one package family."""
    return tuple(int(number) for number in re.findall(r"\d+", name))
