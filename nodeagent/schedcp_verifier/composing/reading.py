"""From YAML to a composition: bounded, without aliases, and with errors that name the place."""

from __future__ import annotations

import yaml
from pydantic import ValidationError

from schedcp_api.compositions import Composition

from ..errors import UsageError

__all__ = ["COMPOSITION_BYTES_MAX", "composition_of"]

COMPOSITION_BYTES_MAX = 16_384
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


def composition_of(data: bytes) -> Composition:
    """Return the composition that YAML (or JSON) says, or raise UsageError with every problem."""
    if len(data) > COMPOSITION_BYTES_MAX:
        raise UsageError(
            f"the composition has {len(data)} bytes, more than {COMPOSITION_BYTES_MAX}: shorten it"
        )
    try:
        text = data.decode()
        _refuse_depth(text)
        found = yaml.safe_load(text)
    except (UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"the composition is not plain YAML: {error}") from error
    if not isinstance(found, dict):
        raise UsageError("the composition is not a mapping: begin with apiVersion, kind and name")
    try:
        return Composition.model_validate(found)
    except ValidationError as error:
        raise UsageError(f"the composition cannot be used:\n{_problems(error)}") from error


def _refuse_depth(text: str) -> None:
    """Refuse what is nested deeper than any composition, or refers to itself."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > _DEPTH_MAX:
            raise ValueError(f"nested more than {_DEPTH_MAX} deep")
        if isinstance(token, _REFERENCES):
            raise ValueError("anchors, aliases and tags are not used: write values out")


def _problems(error: ValidationError) -> str:
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
