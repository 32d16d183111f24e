"""An act of the demo is begun again when the emulator broke a node's kernel in its course."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from schedcp_lab.accelerators import Accelerator
from schedcp_lab.cluster import Cluster
from schedcp_lab.demo import Demo
from schedcp_lab.errors import CommandFailed, KernelBroken
from schedcp_lab.faults import Faults
from schedcp_lab.product import Product
from schedcp_lab.report import Act, Finding
from schedcp_lab.views import Api, NodeView, RunView
from schedcp_lab.witness import Witness


@dataclass
class Lab:
    """A cluster of one node, with nothing on it, that writes down what is done to it."""

    folder: Path
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        node = SimpleNamespace(console=self.folder / "console.log")
        self.nodes = {"node-1": node}
        self.faults = Faults(self.nodes, Accelerator.TCG)
        self.plane = self
        self.workshop = SimpleNamespace(root=self.folder)

    def oops(self) -> None:
        with (self.folder / "console.log").open("a") as console:
            console.write("[  812.345678] Oops: int3: 0000 [#1] SMP NOPTI\n")

    def kubectl(self, *words: str) -> SimpleNamespace:
        self.done.append(words[0])
        return SimpleNamespace(stdout="kind: List\n")

    def recover(self, broken: KernelBroken) -> None:
        self.done.append(f"recover {broken.node}")

    def revive(self) -> list[str]:
        return []

    def runs(self) -> list[RunView]:
        return []

    policies = runs

    def nodes_seen(self) -> list[NodeView]:
        return []

    def sched_ext(self, _node: str) -> str:
        return "disabled"

    def say(self, text: str) -> None:
        self.done.append(text.partition(" ")[0])

    def show(self, runs: list[RunView], nodes: list[NodeView]) -> None:
        pass


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def demo(lab: Lab) -> Demo:
    api: Any = SimpleNamespace(policies=lab.policies, runs=lab.runs, nodes=lab.nodes_seen)
    return Demo(
        cast("Cluster", lab),
        cast("Product", lab),
        cast("Api", api),
        witness=cast("Witness", lab),
        watcher=lab,
    )


def act(*, held: bool) -> Act:
    return Act("1. An act", "A story.", None, (Finding("it is so", held),))


def test_it_is_played_once_where_nothing_breaks(lab: Lab) -> None:
    assert demo(lab).course(lambda: act(held=False)) == act(held=False)
    assert lab.done == []


@pytest.mark.parametrize("raised", [None, CommandFailed("the witness cannot be asked")])
def test_what_broke_is_recovered_cleared_and_kept_first(
    lab: Lab, raised: CommandFailed | None
) -> None:
    courses = 0

    def broken_once() -> Act:
        nonlocal courses
        courses += 1
        if courses == 1:
            lab.oops()
            if raised is not None:
                raise raised
        return act(held=courses == 2)

    played = demo(lab).course(broken_once)
    assert lab.done == ["the", "recover node-1", "get", "delete"]
    assert "node-1" in played.broken
    assert [finding.held for finding in played.findings] == [True, True]
    assert [kept.read_text() for kept in lab.folder.glob("broken-*.yaml")] == ["kind: List\n"]


def test_an_act_that_passed_is_not_begun_again(lab: Lab) -> None:
    def passes() -> Act:
        lab.oops()
        return act(held=True)

    assert demo(lab).course(passes) == act(held=True)


def test_a_product_that_fails_is_not_excused(lab: Lab) -> None:
    def fails() -> Act:
        raise CommandFailed("the product's fault")

    with pytest.raises(CommandFailed, match="the product's fault"):
        demo(lab).course(fails)
