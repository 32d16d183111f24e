"""What is composed loads, holds, and lets everybody run: five compositions, one after the other.

They are drawn from all over the language, and are the same five in every run.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings

from schedcp_api.compositions import Composition
from schedcp_lab.succession import tried_in_turn
from schedcp_verifier.building import BuildRoom
from schedcp_verifier.composing import compose
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier
from support.compositions import compositions

COMPOSED = 5
STARVER = "starver"


def drawn() -> list[Composition]:
    """Return compositions from all over the language, the same ones each time."""
    found: list[Composition] = []

    @given(compositions())
    @settings(
        max_examples=COMPOSED,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def draw(composition: Composition) -> None:
        found.append(composition)

    draw()
    return found


def test_any_composition_holds_and_starves_nobody_unlike_one_that_does(
    verifier_settings: Settings, kernel: KernelBundle
) -> None:
    verifier = Verifier.from_settings(verifier_settings)
    composed = {f"composed-{number}": found for number, found in enumerate(drawn())}
    assert len(composed) == COMPOSED
    assert len({found.content_digest() for found in composed.values()}) == COMPOSED
    sources = {name: compose(composition).encode() for name, composition in composed.items()}
    sources[STARVER] = (verifier_settings.schedulers_dir / f"faults/{STARVER}.bpf.c").read_bytes()
    objects = {}
    for name, source in sources.items():
        with BuildRoom.prepared(f"{name}.bpf.c", kernel=kernel, tools=verifier.tools) as room:
            built = room.compile(source)
        assert built.object is not None, built.checks
        objects[name] = built.object
    fates = tried_in_turn(verifier.guests, kernel, objects)
    assert not fates.pop(STARVER).holds
    fallen = {
        name: (fate.words, composed[name].model_dump_json(by_alias=True, exclude_none=True))
        for name, fate in fates.items()
        if not fate.holds
    }
    assert fallen == {}
