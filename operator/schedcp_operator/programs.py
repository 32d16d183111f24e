"""Which programs the nodes of a run have, by the word of their agents. Pure.

No program travels: a node has what came with its agent, and what was built on another machine is
another program. A candidate is for all nodes of a run, so only what every one of them has can be
one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from schedcp_api.manifests import BuiltProgram, SchedulerManifest

from .views import World
from .wording import listed

__all__ = ["NOWHERE", "Missing", "NodePrograms", "build_on_all", "programs_on"]

NodePrograms = Mapping[str, tuple[BuiltProgram, ...]]
"""What each node has, by the node's name."""
NOWHERE: NodePrograms = MappingProxyType({})


@dataclass(frozen=True)
class Missing:
    """Why a program cannot be had."""

    message: str


def programs_on(nodes: tuple[str, ...], world: World) -> NodePrograms:
    """Return what the agents of `nodes` say they have; of a node that is gone nothing is known."""
    views = {name: world.node(name) for name in nodes}
    return {name: view.status.programs if view else () for name, view in views.items()}


def build_on_all(manifest: SchedulerManifest, there: NodePrograms) -> BuiltProgram | Missing:
    """Return the one build of a manifest's program that is on all nodes, or why there is none."""
    program = manifest.program
    if program is None:
        raise ValueError(f"{manifest.name} is no program")
    name = f"{program.crate} {program.version}"
    found = {
        node: next((built for built in all_built if built.is_of(program)), None)
        for node, all_built in sorted(there.items())
    }
    without = [node for node, built in found.items() if built is None]
    if without or not found:
        return Missing(
            f"{name} did not come with the agents on {listed(without) or 'any node'}: build the "
            "images after `make stock`, and set the chart's value agent.programs.enabled"
        )
    builds = {built.digest: built for built in found.values() if built is not None}
    if len(builds) > 1:
        return Missing(
            f"the agents on {listed(list(found))} have {len(builds)} builds of {name}; a verdict "
            "is about one: run one image of the agent on all of them"
        )
    return next(iter(builds.values()))
