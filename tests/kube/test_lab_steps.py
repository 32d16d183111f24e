"""What setup does beside something else: its result, its failure, and how it is given up."""

import time
from pathlib import Path

import pytest

from schedcp_lab.errors import CommandFailed, LabError
from schedcp_lab.processes import Completed, run, wait_until
from schedcp_lab.steps import StepClock, beside


@pytest.mark.parametrize("error", [LabError("no kernel"), KeyboardInterrupt()])
def test_what_fails_or_is_interrupted_ends_what_is_done_beside(
    tmp_path: Path, error: BaseException
) -> None:
    said: list[str] = []
    clock, begun = StepClock(said.append), tmp_path / "begun"

    def build() -> Completed:
        with clock.step("programs"):
            return run(["sh", "-c", f"touch '{begun}'; exec sleep 600"], timeout_seconds=600)

    def fail() -> None:
        with beside(build):
            wait_until(begun.exists, timeout_seconds=60, what="the beginning of the build")
            raise error

    start = time.monotonic()
    with pytest.raises(type(error)):
        fail()
    assert time.monotonic() - start < 300
    assert said[0] == "setup: programs ..."
    assert said[1].startswith("setup: programs: failed after ")


def test_what_is_done_beside_is_handed_over_and_so_is_its_failure() -> None:
    with beside(lambda: run(["echo", "programs"], timeout_seconds=60)) as done:
        assert done.result().stdout == "programs\n"
    with beside(lambda: run(["false"], timeout_seconds=60)) as failed, pytest.raises(CommandFailed):
        failed.result()
