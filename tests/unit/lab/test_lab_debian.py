from pathlib import Path

import pytest

from schedcp_lab.cache import Cache
from schedcp_lab.debian import (
    KEYRING,
    Debian,
    Mirror,
    configuration,
    expected_files,
    find_mirror,
    host_sources,
    target_sources,
    version_key,
)
from schedcp_lab.errors import PackageUnavailable

TARGETS = """\
Debian|bookworm-security|http://mirror.test/debian-security/
Debian|bookworm-updates|http://mirror.test/debian/
Vendor|bookworm|http://vendor.test/
Debian|bookworm|http://mirror.test/debian/
Debian|bookworm|http://second.test/debian/
"""
MIRROR = Mirror("bookworm", "http://mirror.test/debian/", "http://mirror.test/debian-security/")


def test_the_mirror_is_the_first_of_the_distribution_itself() -> None:
    assert find_mirror(TARGETS, codename="bookworm") == MIRROR


def test_a_host_without_security_suite_is_served() -> None:
    mirror = find_mirror("Debian|trixie|file:/srv/debian/\n", codename="trixie")
    assert mirror.security_uri is None
    assert [source.uri for source in host_sources(mirror)] == ["file:/srv/debian/"]


def test_no_archive_says_what_to_do() -> None:
    with pytest.raises(PackageUnavailable, match="apt-get update"):
        find_mirror("Vendor|trixie|http://vendor.test/\n", codename="trixie")


def test_another_distribution_is_refused_with_a_way_out(tmp_path: Path) -> None:
    os_release = tmp_path / "os-release"
    os_release.write_text("ID=fedora\nVERSION_CODENAME=\n")
    with pytest.raises(PackageUnavailable, match="on Debian 12 and 13 only"):
        Debian.open(Cache(tmp_path), os_release=os_release)


def test_the_host_gets_its_own_suites_only() -> None:
    entries = "".join(source.deb822() for source in host_sources(MIRROR))
    assert "Suites: bookworm bookworm-updates bookworm-backports\n" in entries
    assert "Suites: bookworm-security\n" in entries
    assert "trixie" not in entries
    assert entries.count(f"Signed-By: {KEYRING}\n") == 2


def test_the_target_is_signed_in_both_styles() -> None:
    (source,) = target_sources(MIRROR)
    assert "Suites: trixie trixie-backports\n" in source.deb822()
    assert source.one_line() == [
        f"deb [signed-by={KEYRING}] http://mirror.test/debian/ {suite} main"
        for suite in ("trixie", "trixie-backports")
    ]


def test_the_configuration_stays_below_its_folder_even_with_a_space_in_it() -> None:
    text = configuration(Path("/a place/apt"), status=Path("/a place/status"))
    assert 'Dir::State::Lists "/a place/apt/lists/";' in text
    assert 'Dir::State::status "/a place/status";' in text
    assert 'Dir::Etc::SourceList "/dev/null";' in text
    assert 'Dir::Etc::PreferencesParts "/dev/null";' in text


@pytest.mark.parametrize(
    ("older", "newer"),
    [("linux-image-6.18.15+deb13", "linux-image-7.3.4+deb13"), ("x-7.2.9", "x-7.2.11")],
)
def test_versions_compare_as_numbers(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)


DIGEST = "0" * 64
GOOD = f"'http://mirror.test/p/a-b_1%3a2_amd64.deb' a-b_1%3a2_amd64.deb 12 SHA256:{DIGEST}\n"
WEAK = "'http://mirror.test/p/weak.deb' weak_1_amd64.deb 12 MD5Sum:00\n"


@pytest.mark.parametrize("package", ["a-b", "a-b=1:2"])
def test_a_package_is_known_by_file_and_digest(package: str) -> None:
    assert expected_files(WEAK + GOOD, [package]) == {package: ("a-b_1%3a2_amd64.deb", DIGEST)}


@pytest.mark.parametrize("package", ["weak", "a"])
def test_an_address_without_a_digest_is_not_believed(package: str) -> None:
    with pytest.raises(PackageUnavailable, match=f"no address with a SHA-256 for {package}:"):
        expected_files(WEAK + GOOD, [package])
