import pytest

from schedcp_lab.errors import PackageUnavailable
from schedcp_lab.kernel_packages import find_packages, newest_of_each_series


def split(version: str, *, headers: bool = True) -> set[str]:
    names = {f"linux-{part}-{version}-cloud-amd64" for part in ("base", "binary", "modules")}
    if headers:
        names |= {f"linux-headers-{version}-cloud-amd64", f"linux-headers-{version}-common"}
        names |= {f"linux-kbuild-{version}"}
    return names


OLD_IMAGE = "linux-image-6.18.15+deb13-cloud-amd64"
INDEX = frozenset(
    {
        *split("7.2.9+deb13"),
        *split("7.2.11+deb13"),
        *split("7.3.4+deb13", headers=False),
        OLD_IMAGE,
        "linux-image-7.3.4+deb13-amd64",
        "linux-image-7.3.4+deb13-cloud-amd64-dbg",
    }
)


def test_the_newest_with_headers_is_taken() -> None:
    chosen = find_packages(INDEX, None)
    assert chosen.release == "7.2.11+deb13-cloud-amd64"
    assert set(chosen.image) | set(chosen.headers) == split("7.2.11+deb13")


def test_a_named_release_may_lack_headers_and_be_of_the_old_layout() -> None:
    chosen = find_packages(INDEX, "6.18.15")
    assert chosen.image == (OLD_IMAGE,)
    assert (chosen.headers, chosen.pool_image) == ((), ())
    assert {file.name.partition("_")[0] for file in chosen.pool_headers} == {
        "linux-headers-6.18.15+deb13-cloud-amd64",
        "linux-headers-6.18.15+deb13-common",
        "linux-kbuild-6.18.15+deb13",
    }


def test_headers_of_the_index_come_before_those_that_only_the_pool_has() -> None:
    chosen = find_packages(frozenset({OLD_IMAGE, *split("6.18.15+deb13")}), "6.18.15")
    assert len(chosen.headers) == 3
    assert chosen.pool_headers == ()


def test_a_kernel_that_the_index_names_no_more_is_the_archives_and_never_the_default() -> None:
    index = INDEX - {OLD_IMAGE}
    chosen = find_packages(index, "6.18")
    assert (chosen.image, chosen.headers) == ((), ())
    (image,) = chosen.pool_image
    assert image.name.partition("_")[0] == OLD_IMAGE
    assert len(chosen.pool_headers) == 3
    assert find_packages(index, None).release.startswith("7.2.11+")


def test_a_release_is_named_in_full_or_by_its_version_but_never_by_a_prefix_of_it() -> None:
    assert find_packages(INDEX, "7.2.9+deb13-cloud-amd64").release == "7.2.9+deb13-cloud-amd64"
    with pytest.raises(PackageUnavailable, match=r"7\.2\.1;"):
        find_packages(INDEX, "7.2.1")


BARE = {"linux-binary-7.1.13+deb13-cloud-amd64", "linux-image-7.1.13+deb13-cloud-amd64"}


def test_a_bare_image_serves_to_verify_against_and_is_never_the_default() -> None:
    index = INDEX | BARE | {"linux-headers-7.1.13+deb13-cloud-amd64"}
    assert find_packages(index, "7.1").image == ("linux-binary-7.1.13+deb13-cloud-amd64",)
    assert find_packages(index, "7.1").headers == ()
    with pytest.raises(PackageUnavailable):
        find_packages(frozenset(BARE), None)


def test_of_each_series_the_newest_is_taken_and_the_oldest_series_comes_first() -> None:
    releases = [found.release for found in newest_of_each_series(INDEX | BARE)]
    assert [release.partition("+")[0] for release in releases] == [
        "6.18.15",
        "7.1.13",
        "7.2.11",
        "7.3.4",
    ]


def test_an_index_without_a_kernel_says_what_to_do() -> None:
    with pytest.raises(PackageUnavailable, match="SCHEDCP_KERNEL"):
        find_packages(frozenset({"linux-image-7.3.4+deb13-amd64"}), None)


def test_a_series_is_named_by_two_numbers() -> None:
    assert find_packages(INDEX, "6.18").image == (OLD_IMAGE,)
    assert find_packages(INDEX, "7.2").release == "7.2.11+deb13-cloud-amd64"
    with pytest.raises(PackageUnavailable):
        find_packages(INDEX, "6.1")
