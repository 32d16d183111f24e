"""From YAML to a mapping: bounded, without aliases; and what a model finds wrong, with its place.

Pure: bytes in. Compositions and patches are read in this way.
"""

from __future__ import annotations

import yaml
from pydantic import ValidationError

from .errors import UsageError

__all__ = ["mapping_of", "problems_of"]

_DEPTH_MAX = 8
_ERRORS_SHOWN = 8
_SHOWN_MAX = 80
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
_REFERENCES = (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)


def mapping_of(data: bytes, what: str, bytes_max: int) -> dict[str, object]:
    """Return the mapping that YAML (or JSON) says; raise UsageError, which says what it is of."""
    if len(data) > bytes_max:
        raise UsageError(f"the {what} has {len(data)} bytes, more than {bytes_max}: shorten it")
    try:
        text = data.decode()
        _refuse_depth(text)
        found = yaml.safe_load(text)
    except (UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"the {what} is not plain YAML: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"the {what} is not a mapping: begin with apiVersion, kind and name")
    return found


def _refuse_depth(text: str) -> None:
    """Refuse what is nested deeper than any document, or refers to itself."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > _DEPTH_MAX:
            raise ValueError(f"nested more than {_DEPTH_MAX} deep")
        if isinstance(token, _REFERENCES):
            raise ValueError("anchors, aliases and tags are not used: write values out")


def problems_of(error: ValidationError) -> str:
    """Return a model's problems, one a line with its place, the first few of them."""
    problems = error.errors(include_url=False, include_context=False)
    lines = [
        f"  {_path(problem['loc'])}{problem['msg'].removeprefix('Value error, ')}"
        f"{_given(problem['type'], problem['input'])}"
        for problem in problems[:_ERRORS_SHOWN]
    ]
    if len(problems) > _ERRORS_SHOWN:
        lines.append(f"  and {len(problems) - _ERRORS_SHOWN} more")
    return "\n".join(lines)


def _path(location: tuple[int | str, ...]) -> str:
    path = ".".join(str(part)[:_SHOWN_MAX] for part in location)
    return f"{path}: " if path else ""


def _given(kind: str, value: object) -> str:
    """Return what was given, where that helps, without letting it fill the screen."""
    if kind == "missing" or isinstance(value, dict | list):
        return ""
    return f" (it is {ascii(value)[:_SHOWN_MAX]})"
