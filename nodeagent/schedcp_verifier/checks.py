"""Building checks: one constructor for each phase, so that a judge reads like its rules."""

from __future__ import annotations

from typing import Any

from schedcp_api.verdicts import Check, Phase, Stage

__all__ = ["bounded", "error", "failed", "passed", "skipped", "warning"]

_MESSAGE_CHARS = 2000
_TEXT_CHARS = 4000
_ITEMS = 64
_ITEM_CHARS = 500


def passed(id_: str, stage: Stage, message: str, **evidence: Any) -> Check:
    """Return a check that was made and holds."""
    return _check(id_, stage, Phase.PASSED, message, evidence)


def failed(id_: str, stage: Stage, message: str, **evidence: Any) -> Check:
    """Return a check that was made and does not hold; the message says what to change."""
    return _check(id_, stage, Phase.FAILED, message, evidence)


def warning(id_: str, stage: Stage, message: str, **evidence: Any) -> Check:
    """Return something that a person should know and that does not decide."""
    return _check(id_, stage, Phase.WARNING, message, evidence)


def skipped(id_: str, stage: Stage, message: str, **evidence: Any) -> Check:
    """Return a check that was not made, with the reason."""
    return _check(id_, stage, Phase.SKIPPED, message, evidence)


def error(id_: str, stage: Stage, message: str, **evidence: Any) -> Check:
    """Return a check that could not be made: neither a pass nor a rejection."""
    return _check(id_, stage, Phase.ERROR, message, evidence)


def bounded(text: str, limit: int = _TEXT_CHARS) -> str:
    """Return the end of a long text, with a mark where it was cut."""
    return text if len(text) <= limit else f"[...]{text[-limit:]}"


def _bounded_value(value: Any) -> Any:
    """Return a value of evidence within bounds; lists keep their beginning."""
    if isinstance(value, str):
        return bounded(value)
    if isinstance(value, (list, tuple)):
        kept = [bounded(v, _ITEM_CHARS) if isinstance(v, str) else v for v in value[:_ITEMS]]
        left_out = [f"[{len(value) - _ITEMS} more]"] if len(value) > _ITEMS else []
        return kept + left_out
    return value


def _check(id_: str, stage: Stage, phase: Phase, message: str, evidence: dict[str, Any]) -> Check:
    kept = {
        name: _bounded_value(value) for name, value in evidence.items() if value not in ("", None)
    }
    return Check(id=id_, stage=stage, phase=phase, message=message[:_MESSAGE_CHARS], evidence=kept)
