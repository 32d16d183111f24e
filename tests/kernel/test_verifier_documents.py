"""What docs/verifier-bytecode.md says of its examples is what the analysis says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schedcp_api.verdicts import Phase
from schedcp_verifier.analysing import RULES, analyse_bytecode
from schedcp_verifier.building import BuildRoom
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier

DOCUMENT = Path(__file__).parents[2] / "docs" / "verifier-bytecode.md"
EXAMPLE = re.compile(r"```c\n/\* (Fails|Passes): ([a-z-]+) \*/\n(.*?)```", re.DOTALL)
PHASES = {"Fails": Phase.FAILED, "Passes": Phase.PASSED}
EXAMPLES = EXAMPLE.findall(DOCUMENT.read_text())
PRELUDE = """
#include "schedcp/common.bpf.h"
#define PF_KTHREAD 0x00200000
SCHEDCP_LICENSE;
enum { FIRST = 0x9, SECOND };
"""
USUAL = {
    "enqueue": """
void SCHEDCP_OPS(enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, FIRST, SCX_SLICE_DFL, enq_flags);
}
""",
    "dispatch": """
void SCHEDCP_OPS(dispatch, s32 cpu, struct task_struct *prev)
{
	if (!scx_bpf_dsq_move_to_local(FIRST))
		scx_bpf_dsq_move_to_local(SECOND);
}
""",
    "init": """
s32 SCHEDCP_OPS_SLEEPABLE(init)
{
	return scx_bpf_create_dsq(FIRST, -1) ?: scx_bpf_create_dsq(SECOND, -1);
}
""",
}


def whole(example: str) -> bytes:
    """Return an example as a scheduler, with what it does not show."""
    own = re.findall(r"SCHEDCP_OPS(?:_SLEEPABLE)?\((\w+)", example)
    usual = {name: text for name, text in USUAL.items() if name not in own}
    table = "".join(f".{name} = (void *){name}, " for name in (*own, *usual))
    end = f'SEC(".struct_ops.link") struct sched_ext_ops ops = {{ {table}.name = "example" }};\n'
    return "".join((PRELUDE, example, *usual.values(), end)).encode()


@pytest.mark.parametrize(
    ("says", "check_id", "example"),
    EXAMPLES,
    ids=[f"{number}-{check_id}-{says}" for number, (says, check_id, _) in enumerate(EXAMPLES)],
)
def test_an_example_is_judged_as_the_document_says(
    says: str, check_id: str, example: str, kernel: KernelBundle, verifier_settings: Settings
) -> None:
    tools = Verifier.from_settings(verifier_settings).tools
    with BuildRoom.prepared("example.bpf.c", kernel=kernel, tools=tools) as room:
        built = room.compile(whole(example))
    assert built.object is not None, built.checks
    found = {check.id: check for check in analyse_bytecode(built.object, kernel.facts)}
    assert found[check_id].phase is PHASES[says], found[check_id]
    others = {id_: check for id_, check in found.items() if id_ != check_id}
    refused = [check for check in others.values() if check.phase is Phase.FAILED]
    assert says == "Fails" or not refused, refused


def test_the_more_important_checks_have_examples_of_both_kinds() -> None:
    shown = {(says, check_id) for says, check_id, _ in EXAMPLES}
    both = {id_ for _, id_ in shown if {("Fails", id_), ("Passes", id_)} <= shown}
    assert both == {id_ for _, id_ in shown}
    lasting = {examination.id for examination in RULES if examination.lasting}
    assert lasting - both <= {"inserted-once", "queues-made"}
