"""Label selectors, as Kubernetes has them."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from .base import Noun, cel, validated

LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=317)]
LabelValue = Annotated[str, StringConstraints(max_length=63)]


class SelectorOperator(StrEnum):
    """The operators of a label selector's expressions."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class SelectorRequirement(Noun):
    """One expression of a label selector."""

    key: LabelKey
    operator: SelectorOperator
    values: Annotated[tuple[LabelValue, ...], Field(max_length=32)] = ()

    model_config = validated(
        cel(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "operators In and NotIn need values, Exists and DoesNotExist take none",
        )
    )


class LabelSelector(Noun):
    """A label selector; an empty one selects everything."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=32)] = Field(
        default_factory=dict
    )
    match_expressions: Annotated[tuple[SelectorRequirement, ...], Field(max_length=16)] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        """Return whether `labels` fit every part of the selector."""
        if any(labels.get(key) != value for key, value in self.match_labels.items()):
            return False
        return all(_holds(requirement, labels) for requirement in self.match_expressions)


def _holds(requirement: SelectorRequirement, labels: dict[str, str]) -> bool:
    present = requirement.key in labels
    within = present and labels[requirement.key] in requirement.values
    return {
        SelectorOperator.IN: within,
        SelectorOperator.NOT_IN: not within,
        SelectorOperator.EXISTS: present,
        SelectorOperator.DOES_NOT_EXIST: not present,
    }[requirement.operator]
