"""What is begun again when the emulator breaks a node's kernel, and what is not."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from schedcp_lab.accelerators import Accelerator
from schedcp_lab.errors import KernelBroken
from schedcp_lab.faults import Faults

OOPS = "[  812.345678] Oops: int3: 0000 [#1] SMP NOPTI\n"


@dataclass(frozen=True)
class Node:
    console: Path

    def say(self, line: str) -> None:
        with self.console.open("a") as log:
            log.write(line)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "console.log")


class Course:
    """Breaks the kernel in its first so many rounds."""

    def __init__(self, node: Node, faults: Faults, broken: int) -> None:
        self.node, self.faults, self.broken = node, faults, broken
        self.rounds = 0

    def run(self) -> int:
        self.rounds += 1
        self.node.say("[    0.000000] Linux version 7.3.4\n")
        if self.rounds <= self.broken:
            self.node.say(OOPS)
        self.faults.check()
        return self.rounds

    def again(self, broken: KernelBroken) -> int:
        assert str(self.node.console) in str(broken)
        return self.run()


def course(node: Node, broken: int, accelerator: Accelerator = Accelerator.TCG) -> Course:
    return Course(node, Faults({"node-1": node}, accelerator), broken)


@pytest.mark.parametrize("broken", [0, 1])
def test_a_course_is_begun_again_when_a_kernel_was_broken(node: Node, broken: int) -> None:
    played = course(node, broken)
    assert played.faults.course(played.run, played.again) == broken + 1


def test_it_is_begun_again_only_once(node: Node) -> None:
    played = course(node, 2)
    with pytest.raises(KernelBroken, match="node-1"):
        played.faults.course(played.run, played.again)
    assert played.rounds == 2


def test_what_broke_before_is_no_concern(node: Node) -> None:
    node.say(OOPS)
    played = course(node, 0)
    assert played.faults.course(played.run, played.again) == 1


def test_a_machine_that_is_not_emulated_has_no_such_excuse(node: Node) -> None:
    played = course(node, 1, Accelerator.KVM)
    assert played.faults.course(played.run, played.again) == 1


def test_what_raises_otherwise_is_not_begun_again(node: Node) -> None:
    played = course(node, 0)

    def fails() -> int:
        raise AssertionError("the product's fault")

    with pytest.raises(AssertionError, match="the product's fault"):
        played.faults.course(fails, played.again)
