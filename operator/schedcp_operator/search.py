"""Whether what a policy wants tried is there, and can be set as it says. Pure."""

from schedcp_api.candidates import PlanKind
from schedcp_api.policies import PinnedCandidate, Search

from .events import PlanningFailed
from .library import Library, LibraryEntry

__all__ = ["pinned_problem", "search_problem"]


def search_problem(search: Search, library: Library) -> PlanningFailed | None:
    """Return why no run with such a search can come to a candidate, or None."""
    if search.pinned:
        return pinned_problem(search.pinned, library)
    if PlanKind.CONFIGURE not in search.allow:
        message = (
            f"search.allow is {', '.join(search.allow)}, and so far only Configure makes"
            " candidates: allow it, or pin a scheduler"
        )
        return PlanningFailed("NothingAllowed", message)
    return None


def pinned_problem(pinned: tuple[PinnedCandidate, ...], library: Library) -> PlanningFailed | None:
    """Return the first thing that is wrong with what is pinned, or None.

    Whether the nodes have a pinned program is not asked here: that is known in a run.
    """
    for wanted in pinned:
        known = library.get(wanted.scheduler)
        if known is None:
            names = ", ".join(sorted(library.entries))
            message = f"there is no scheduler {wanted.scheduler!r}; there are: {names}"
            return PlanningFailed("UnknownScheduler", message)
        misfits = _misfits(known, wanted)
        if misfits:
            message = f"pinned {wanted.scheduler}: {'; '.join(misfits)}"
            return PlanningFailed("InvalidArguments", message)
    return None


def _misfits(entry: LibraryEntry, wanted: PinnedCandidate) -> tuple[str, ...]:
    """Return why a scheduler cannot be set as the policy wants it; empty when it can.

    The knobs of an imported source are not known: the verifier judges them.
    """
    arguments = wanted.arguments if entry.source_digest is None else ()
    problems = entry.manifest.problems(arguments, wanted.command_line)
    if len({argument.name for argument in wanted.arguments}) != len(wanted.arguments):
        problems = (*problems, "an argument is given twice")
    return problems
