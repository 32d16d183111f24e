"""Boot a proof's guests and tell whose fault it is when one is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from schedcp_api.verdicts import Check, EvaluationContract, Stage

from .checks import error, failed
from .errors import VmError, VmLostError
from .guests import GuestFactory, GuestPlan, GuestRun, course_plan, proof_plan
from .kernels import KernelBundle
from .payloads import Payload
from .proving import Proof, all_well, judge_course, judge_proof
from .troubles import OTHER_COURSES, Course

__all__ = ["Tried", "boot", "prove"]

_HUNG = 5
"""A proof with its candidate takes up to three times the CPU time of its control."""


@dataclass(frozen=True)
class Tried:
    """A candidate on a kernel under a contract."""

    payload: Payload
    ops_name: str
    """What the object calls itself; empty for a program, which tells by attaching."""
    kernel: KernelBundle
    contract: EvaluationContract


def prove(guests: GuestFactory, tried: Tried) -> Proof:
    """Boot the main guest and those of other topologies side by side, and judge their reports.

    What the others found counts only when all was well in the main guest, so that a verdict does
    not depend on which of them was done first.
    """
    with ThreadPoolExecutor(guests.cpus.size, thread_name_prefix="guest") as pool:
        main = pool.submit(_main, guests, tried)
        others = [pool.submit(_elsewhere, guests, tried, course) for course in OTHER_COURSES]
        proof = main.result()
        if not all_well(proof.checks):
            for other in others:
                other.cancel()
            return proof
        found = tuple(check for other in others for check in other.result())
    return replace(proof, checks=(*proof.checks, *found))


def _main(guests: GuestFactory, tried: Tried) -> Proof:
    found = boot(guests, proof_plan(tried.contract), tried)
    if isinstance(found, Check):
        return Proof((found,))
    return judge_proof(found.report, tried.ops_name, tried.contract)


def _elsewhere(guests: GuestFactory, tried: Tried, course: Course) -> tuple[Check, ...]:
    found = boot(guests, course_plan(tried.contract, course), tried)
    if isinstance(found, Check):
        return (found.replace(id=f"guest-of-{course.topology}"),)
    return judge_course(found.report, tried.ops_name, course)


def boot(guests: GuestFactory, plan: GuestPlan, tried: Tried) -> GuestRun | Check:
    """Return what came of a guest, or the check that says why it was lost.

    When it died with the candidate in charge, a guest without it tells whose fault that was. One
    that met its deadline must have had many times the CPU time that a proof takes without the
    candidate: otherwise the host was busy or slow. Of a replay that was late nothing is said: how
    long one takes depends on how much there is to replay.
    """
    try:
        return guests.run(plan, tried.kernel, tried.payload)
    except VmError as lost:
        words = f"the {plan.steps} was lost: {lost}"
        if not isinstance(lost, VmLostError) or not lost.under_candidate:
            return error("guest", Stage.DYNAMIC, words)
        late_after = lost.late_after
    has_control = "CONTROL" in plan.settings
    if late_after is not None and not has_control:
        return error("guest", Stage.DYNAMIC, f"{words}\nfewer seeds, or a quieter machine, may do")
    try:
        control = plan if has_control else proof_plan(tried.contract)
        usual = guests.run(control.without_candidate(), tried.kernel, tried.payload).cpu_seconds
    except VmError as lost:
        return error("guest", Stage.DYNAMIC, f"{words}\nso was one without it: {lost}")
    if late_after is not None and late_after < _HUNG * usual:
        few = f"one without it needs {usual:.0f}: the machine is too busy or too slow to tell"
        return error("guest", Stage.DYNAMIC, f"{words}\n{few}")
    return failed(
        "guest",
        Stage.DYNAMIC,
        "the machine did not survive the candidate, and one without it did",
        log=words,
    )
