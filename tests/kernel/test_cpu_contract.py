"""The library's schedulers for cgroups keep the whole CPU contract: nothing is waived for them.

In the main guest; on machines of other sizes `make bench-library` has them.
"""

from __future__ import annotations

import pytest

from schedcp_api.verdicts import ContractLoss, Phase, Stage
from support.laboratory import Laboratory

KEEPERS = ("cgroup_fair", "cgroup_layers", "mixed_service")
VERDICT_SECONDS = 900


@pytest.mark.parametrize("keeper_name", KEEPERS)
def test_the_contract_is_kept(keeper_name: str, laboratory: Laboratory) -> None:
    proof = laboratory.begin_keeper(keeper_name).result(VERDICT_SECONDS)
    assert [check for check in proof.checks if check.phase is not Phase.PASSED] == []
    assert proof.losses == ()
    kept = {check.id for check in proof.checks if check.stage is Stage.CONTRACT}
    assert kept == {f"keeps-{loss.value}" for loss in ContractLoss}
