"""The steps of set-up that the Makefile asks for are the ones that there are."""

import re
from pathlib import Path

import pytest

from schedcp_lab.errors import LabError
from schedcp_lab.workshop import STEPS, prepare_only


def test_the_makefile_asks_for_steps_that_exist(repository: Path) -> None:
    text = (repository / "Makefile").read_text()
    asked = {step for found in re.findall(r"--only (\S+)", text) for step in found.split(",")}
    assert asked
    assert asked <= set(STEPS)


def test_another_step_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        LabError, match="there are tools, helm, schedulers, stock, images, kernels, node"
    ):
        prepare_only(["imagse"])
