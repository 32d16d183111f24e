"""What all nouns share: the frozen base model, bounded scalar types, canonical JSON and digests."""

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

GROUP = "schedcp.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
ROOT_UNIT = "root"
"""The unit of change that means the whole node. Any other unit is a cgroup path."""


def cel(rule: str, message: str) -> dict[str, str]:
    """Return one `x-kubernetes-validations` entry."""
    return {"rule": rule, "message": message}


def validated(*rules: dict[str, str]) -> ConfigDict:
    """Return a model config that puts CEL rules into the model's schema."""
    extra: dict[str, Any] = {"x-kubernetes-validations": list(rules)}
    return ConfigDict(json_schema_extra=extra)


_SHARE = r"^[0-9]{1,4}([.][0-9]{1,4})?%$"
_SHARE_CHARS = 12

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
Percent = Annotated[
    str, StringConstraints(pattern=r"^-?[0-9]{1,4}(\.[0-9]{1,4})?%$", max_length=12)
]
Share = Annotated[
    str,
    StringConstraints(pattern=_SHARE, max_length=_SHARE_CHARS),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": _SHARE_CHARS,
            # A pattern would be refused with the bare expression.
            "x-kubernetes-validations": [
                cel(f"self.matches('{_SHARE}')", "write a percentage of 0% or more, such as 5%")
            ],
        }
    ),
]
"""A percentage that is never negative; users write it."""
ObjectName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253),
]
SchedulerName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$", min_length=1, max_length=63)
]
KnobName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$", min_length=1, max_length=63)
]
KnobValue = Annotated[
    str, StringConstraints(pattern=r"^([0-9]{1,20}|true|false)$", min_length=1, max_length=20)
]
ShortText = Annotated[str, StringConstraints(max_length=256)]
Text = Annotated[str, StringConstraints(max_length=2048)]
Timestamp = AwareDatetime


class Noun(BaseModel):
    """A frozen model whose JSON form is lower camel case and refuses unknown fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
        ser_json_bytes="base64",
    )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, camel case, without unset optional values."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def content_digest(self) -> str:
        """Return the SHA-256 of the canonical JSON form, as ``sha256:HEX``."""
        return digest_of(canonical_json(self.to_json()))

    def replace(self, **changes: Any) -> Self:
        """Return a validated copy with `changes` (field names, not aliases) applied."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**fields, **changes})


def canonical_json(value: Any) -> bytes:
    """Encode `value` with sorted keys and no white space; floats are refused."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise ValueError(f"{value!r} is a float; digests are made of integers and strings only")
    children: Iterable[Any] = ()
    if isinstance(value, dict):
        children = value.values()
    elif isinstance(value, list | tuple):
        children = value
    for child in children:
        _refuse_floats(child)


def digest_of(data: bytes) -> str:
    """Return ``sha256:HEX`` of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def percent_value(text: str) -> float:
    """Return ``5%`` as 5.0."""
    if not re.fullmatch(r"-?\d{1,4}(\.\d{1,4})?%", text):
        raise ValueError(f"{text!r} is not a percentage such as '5%' or '-2.5%'")
    return float(text[:-1])


def percent_text(value: float) -> str:
    """Return 5.0 as ``5.00%``; values beyond four digits are clamped to what the field holds."""
    return f"{max(-9999.0, min(9999.0, value)):.2f}%"


class ConditionStatus(StrEnum):
    """The three values of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Noun):
    """A Kubernetes condition."""

    type: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z]{0,62}$", max_length=63)]
    status: ConditionStatus
    reason: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]{0,126}$", max_length=127)]
    message: Text
    last_transition_time: Timestamp
    observed_generation: int = 0


def with_condition(
    conditions: tuple[Condition, ...],
    type_: str,
    status: ConditionStatus,
    *,
    reason: str,
    message: str,
    now: datetime,
    generation: int = 0,
) -> tuple[Condition, ...]:
    """Return `conditions` with one set; the transition time moves only with the status."""
    previous = next((c for c in conditions if c.type == type_), None)
    unchanged = previous is not None and previous.status == status
    new = Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message[:2048],
        last_transition_time=previous.last_transition_time if previous and unchanged else now,
        observed_generation=generation,
    )
    if previous is None:
        return (*conditions, new)
    return tuple(new if c.type == type_ else c for c in conditions)
