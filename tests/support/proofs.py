"""What a guest says of a candidate, with one thing changed, and the judgement of that."""

from __future__ import annotations

from schedcp_api.verdicts import EvaluationContract, Phase
from schedcp_verifier.proving import Proof, judge_proof
from schedcp_verifier.records import parse_report

from .verifier import record, state_record, trial_record

END = b'{"from":"end"}'
EXIT = record(
    "loader", "proof", event="exit", kind=1026, code=0, reason="runnable task stall", message="t[9]"
)


def judged(lines: list[bytes], contract: EvaluationContract | None = None) -> Proof:
    """Return the judgement; what a test added to the lines is said before their end."""
    ordered = sorted(lines, key=END.__eq__)
    return judge_proof(parse_report(ordered), "tried", contract or EvaluationContract())


def phases(proof: Proof) -> dict[str, Phase]:
    """Return what became of each check."""
    return {check.id: check.phase for check in proof.checks}


def replaced(lines: list[bytes], step: str, new: bytes) -> list[bytes]:
    """Return the lines with the state of one step changed."""
    marker = f'"from": "state", "step": "{step}"'.encode()
    assert any(marker in line for line in lines)
    return [new if marker in line else line for line in lines]


def without(lines: list[bytes], *words: bytes) -> list[bytes]:
    """Return the lines but those that hold every one of the words."""
    kept = [line for line in lines if not all(word in line for word in words)]
    assert len(kept) < len(lines)
    return kept


def loader_ended(lines: list[bytes], code: int) -> list[bytes]:
    """Return the lines with another exit code of the loader."""
    lines = without(lines, b'"status"', b"schedcp-loader")
    return [*lines, record("status", "proof", program="schedcp-loader", code=code)]


def trial_changed(lines: list[bytes], name: str, **effects: int) -> list[bytes]:
    """Return the lines with other effects of a trial."""
    marker, step = f'"trial": "{name}"'.encode(), b'"step": "trials"'
    assert any(marker in line and step in line for line in lines)
    return [
        trial_record(name, **effects) if marker in line and step in line else line for line in lines
    ]


def heart_changed(lines: list[bytes], name: str, new: bytes | None) -> list[bytes]:
    """Return the lines with another heart, or without it."""
    marker = f'"class": "{name}"'.encode()
    kept = [line for line in lines if marker not in line]
    return kept if new is None else [*kept, new]


def ejected(lines: list[bytes], step: str) -> list[bytes]:
    """Return the lines of a scheduler that the kernel ejected by the end of a step."""
    return [*replaced(loader_ended(lines, 20), step, state_record(step, "disabled", "")), EXIT]
