"""The bytecode analysis: an object and a kernel in, one check for each rule out.

What is certain is a failure; what the code does not decide is a warning, which the micro-VM has to
settle; what is too large to be explored in full is refused, because it was not read.
docs/verifier-bytecode.md says of each rule what it sees and what it cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schedcp_api.candidates import Argument
from schedcp_api.verdicts import Check, Phase, Stage

from . import (
    beckoning,
    charges,
    contexts,
    fairness,
    helping,
    identities,
    leaks,
    leaving,
    manners,
    paths,
    placement,
    queues,
    readers,
    refusing,
    scaling,
    serving,
    slices,
    tables,
    wandering,
    weights,
    yielding,
)
from .checks import failed, passed, warning
from .exploring import explore
from .findings import Finding, Scene
from .kernelfacts import KernelFacts
from .programs import read_programs
from .saturating import while_nobody_sleeps
from .spells import while_it_lasts
from .timebombs import Rule, later, without_timers
from .upheavals import turns_stay, while_pods_come_and_go

__all__ = ["RULES", "Examination", "analyse_bytecode", "examined"]

_SHOWN = 3
_LINES_MAX = 16


@dataclass(frozen=True)
class Examination:
    """One check: the rules that it consists of, and what to say when none finds anything."""

    id: str
    rules: tuple[Rule, ...]
    good: str
    by_absence: bool = True
    """Whether something is concluded from what programs do not do."""
    lasting: bool = True
    """Whether to ask again about what is left in the end, when all switches are thrown."""
    waiting: bool = False
    """Whether to ask again about a machine on which nobody sleeps: not about idle CPUs."""


RULES = (
    Examination(
        "tasks-kept",
        (paths.tasks_kept,),
        "every path of enqueue puts the task into a queue, or a map whose store is checked",
        by_absence=False,
    ),
    Examination(
        "inserted-once",
        (paths.inserted_once,),
        "a task is inserted once, and only the operation's own",
        by_absence=False,
    ),
    Examination(
        "queues-made",
        (queues.queues_made, leaving.queues_left_empty),
        "every queue that is used is created, and stays",
    ),
    Examination(
        "queues-emptied",
        (
            queues.queues_emptied,
            readers.queues_of_cpus,
            readers.queues_of_all_cpus,
            readers.queues_served_by_all,
            serving.first_only,
            serving.nobody_put_back,
            scaling.scans_reach_all,
            scaling.words_of_cpus,
            beckoning.short_queues_served,
        ),
        "every queue that is filled is emptied by CPUs that may run its tasks",
        waiting=True,
    ),
    Examination(
        "queue-order",
        (queues.queue_order,),
        "each queue has one order, built-in ones none",
        by_absence=False,
    ),
    Examination(
        "starvation",
        (
            fairness.priorities_end,
            fairness.first_come,
            fairness.orders_move,
            fairness.heads_are_bounded,
            weights.weights_help,
            charges.charges_end,
            serving.served_when_busy,
            yielding.yields_count,
            yielding.yielders_last,
        ),
        "no queue, and no order within one, keeps tasks waiting for ever",
        waiting=True,
    ),
    Examination(
        "slices",
        (slices.slices_end, slices.slices_last, slices.ticks_leave, serving.nobody_kept),
        "slices end, and not at once",
    ),
    Examination(
        "work-conserving",
        (
            serving.somebody_served,
            readers.sleepers_kicked,
            beckoning.idle_cpus_called,
            beckoning.claims_are_used,
            helping.neighbours_help,
            helping.local_queues_left,
            helping.books_closed,
        ),
        "no CPU is left idle beside waiting tasks",
    ),
    Examination(
        "cpus",
        (
            placement.local_queues,
            placement.cpus_chosen,
            placement.cpus_named,
            manners.chance_places,
            wandering.own_queue_first,
            wandering.last_place_counts,
        ),
        "CPUs are ones that exist and that the task may use, none is written into the code",
        by_absence=False,
    ),
    Examination(
        "identities",
        (identities.decided_by_name, identities.decided_by_number),
        "nothing is decided by the name or number of a task, a group or a file",
        by_absence=False,
        lasting=False,
    ),
    Examination(
        "task-memory",
        (leaks.memory_stays,),
        "nothing of a task's memory is copied to where others can read it",
        by_absence=False,
        lasting=False,
    ),
    Examination(
        "growth",
        (leaks.maps_shrink, leaks.queues_shrink),
        "what is written down for a task or group is struck out again",
        lasting=False,
    ),
    Examination(
        "flags-and-table",
        (
            tables.enqueue_flags,
            tables.table_fits,
            tables.batches_fit,
            contexts.calls_exist,
            contexts.calls_in_place,
        ),
        "flags and calls are this kernel's, and fit the operations",
        by_absence=False,
        lasting=False,
    ),
    Examination(
        "manners",
        (
            manners.kicks,
            manners.stays,
            refusing.refusals,
            refusing.errors_are_errors,
            manners.storms,
            manners.timers_rest,
            manners.speeds,
            scaling.walks_end,
        ),
        "it stays, and neither kicks, wakes nor refuses without need",
        by_absence=False,
    ),
)


def analyse_bytecode(
    data: bytes, kernel: KernelFacts, arguments: Iterable[Argument] = ()
) -> tuple[Check, ...]:
    """Return the checks on an object whose knobs are set to `arguments`.

    An object that has no proper code gives one failed check.
    """
    try:
        behaviour = explore(read_programs(data, arguments), kernel.has)
    except ValueError as error:
        return (failed("programs-explored", Stage.BYTECODE, f"{error}"),)
    return examined(Scene(behaviour, kernel))


def examined(scene: Scene) -> tuple[Check, ...]:
    """Return the checks on what programs do."""
    checks = [_explored(scene)]
    for examination in RULES:
        found = [finding for rule in examination.rules for finding in rule(scene)]
        checks.append(_check(examination, found, complete=scene.complete))
    lasting = tuple(rule for e in RULES if e.lasting for rule in e.rules)
    waiting = tuple(rule for e in RULES if e.waiting for rule in e.rules)
    bombs = Examination("time-bombs", (), "it is at all times what it is at the beginning")
    checks.append(
        _check(
            bombs,
            [
                *later(scene, lasting),
                *without_timers(scene, lasting),
                *while_it_lasts(scene, lasting),
                *while_nobody_sleeps(scene, waiting),
                *while_pods_come_and_go(scene, lasting),
                *turns_stay(scene),
            ],
            complete=scene.complete,
        )
    )
    # Of what was not read in full, nothing holds; but what was found was found.
    return tuple(c for c in checks if scene.complete or c.phase is not Phase.PASSED)


def _explored(scene: Scene) -> Check:
    behaviour = scene.behaviour
    if behaviour.complete:
        return passed(
            "programs-explored",
            Stage.BYTECODE,
            f"every path of {len(behaviour.object.table.operations)} operations was explored",
        )
    return failed(
        "programs-explored",
        Stage.BYTECODE,
        f"too large to be explored in full: {', '.join(behaviour.unfinished)}; what was not read "
        "may do anything; make them smaller, with fewer nested conditions",
        operations=behaviour.unfinished,
    )


def _check(examination: Examination, found: list[Finding], *, complete: bool) -> Check:
    """Return the check that a rule's findings amount to; failures come before warnings."""
    certain = [f for f in found if f.certain and (complete or not examination.by_absence)]
    decisive = certain or found
    if not decisive:
        return passed(examination.id, Stage.BYTECODE, examination.good)
    distinct = list({finding.words: finding for finding in decisive}.values())
    shown = [_shown(finding) for finding in distinct[:_SHOWN]]
    if len(distinct) > _SHOWN:
        shown.append(f"and {len(distinct) - _SHOWN} more of the kind")
    make = failed if certain else warning
    return make(
        examination.id,
        Stage.BYTECODE,
        "; ".join(shown),
        failures=sorted({failure for finding in distinct for failure in finding.failures}),
        lines=sorted({line for finding in distinct for line in finding.lines})[:_LINES_MAX],
    )


def _shown(finding: Finding) -> str:
    return f"{finding.lines[0]}: {finding.words}" if finding.lines else finding.words
