"""From YAML to a composition, with errors that name the place."""

from __future__ import annotations

from pydantic import ValidationError

from schedcp_api.compositions import Composition

from ..documents import mapping_of, problems_of
from ..errors import UsageError

__all__ = ["COMPOSITION_BYTES_MAX", "composition_of"]

COMPOSITION_BYTES_MAX = 16_384


def composition_of(data: bytes) -> Composition:
    """Return the composition that YAML (or JSON) says, or raise UsageError with every problem."""
    found = mapping_of(data, "composition", COMPOSITION_BYTES_MAX)
    try:
        return Composition.model_validate(found)
    except ValidationError as error:
        raise UsageError(f"the composition cannot be used:\n{problems_of(error)}") from error
