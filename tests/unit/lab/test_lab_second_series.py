"""A tier that is required is tried on both series of kernels, or it fails."""

from __future__ import annotations

import pytest

from schedcp_lab.kernels import SECOND_SERIES
from support.laboratory import require_second_series

FIRST = "7.3.4+deb13-cloud-amd64"
REQUIRED = frozenset({"kernel"})


def test_both_series_are_there() -> None:
    require_second_series([FIRST, f"{SECOND_SERIES}.15+deb13-cloud-amd64"], REQUIRED)


@pytest.mark.parametrize("releases", [[], [FIRST], [FIRST, f"{SECOND_SERIES}0.1-cloud-amd64"]])
def test_the_second_series_is_missing(releases: list[str]) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"no kernel bundle of {SECOND_SERIES}: `make"):
        require_second_series(releases, REQUIRED)


def test_where_the_tier_is_not_required_one_kernel_will_do() -> None:
    require_second_series([FIRST], frozenset({"kube"}))
