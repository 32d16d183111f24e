"""Names in messages: a few of them, and how many more there are."""

from collections.abc import Sequence

__all__ = ["listed"]

_NAMED = 8


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest
