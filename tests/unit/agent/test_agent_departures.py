"""What pods had used when they went."""

from datetime import timedelta

from schedcp_agent.cgroups import Usage
from schedcp_agent.departures import Departures
from schedcp_api.nodestates import MOST_DEPARTED
from support.agent import NOW, OTHER_UID, POD_UID


def after(*readings: dict[str, int]) -> Departures:
    """After readings of the pods' CPU time in microseconds, one each second."""
    found = Departures()
    for second, reading in enumerate(readings):
        usages = {uid: Usage(cpu_usec=used) for uid, used in reading.items()}
        found = found.after(usages, now=NOW + timedelta(seconds=second))
    return found


def test_a_pod_that_goes_is_told_with_all_that_it_used() -> None:
    found = after({POD_UID: 1_000_000, OTHER_UID: 5}, {POD_UID: 2_500_999, OTHER_UID: 9}, {})
    assert {gone.uid: gone.cpu_milliseconds for gone in found.gone} == {POD_UID: 2500, OTHER_UID: 0}
    assert {gone.at for gone in found.gone} == {NOW + timedelta(seconds=2)}
    assert not found.used_usec


def test_who_stays_is_not_told_and_who_went_is_told_once() -> None:
    found = after({POD_UID: 1000, OTHER_UID: 1000}, {OTHER_UID: 2000}, {OTHER_UID: 3000})
    assert [gone.uid for gone in found.gone] == [POD_UID]


def test_a_cgroup_that_goes_while_it_is_read_takes_nothing_back() -> None:
    (gone,) = after({POD_UID: 7_000_000}, {POD_UID: 0}, {}).gone
    assert gone.cpu_milliseconds == 7000


def test_the_latest_are_kept() -> None:
    uids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(MOST_DEPARTED + 3)]
    found = after(*({uid: 1} for uid in uids), {})
    assert [gone.uid for gone in found.gone] == uids[3:]
