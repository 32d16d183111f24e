"""What must never be forgotten, on this node's disk: the quarantine and the highest epoch.

The status holds them, too, but an ejection while the API server is down must outlive the agent.
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from schedcp_api.base import Noun
from schedcp_api.nodestates import Quarantined

_LOG = logging.getLogger(__name__)
QUARANTINE_MAX = 64


class Record(Noun):
    """The file's content."""

    epoch: int = Field(default=0, ge=0)
    quarantine: Annotated[tuple[Quarantined, ...], Field(max_length=QUARANTINE_MAX)] = ()


class RecordFile:
    """One small JSON file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.record = self._read()
        """What the file holds."""
        self.problem = ""
        """Why the latest record could not be kept; empty when it was."""

    def keep(self, record: Record) -> None:
        """Write `record` unless the file holds it already; a failure is tried again next time."""
        if record == self.record and not self.problem:
            return
        temporary = self._path.with_suffix(".new")
        try:
            with temporary.open("w") as file:
                file.write(record.model_dump_json(by_alias=True, exclude_none=True))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as err:
            self.problem = f"the quarantine cannot be kept in {self._path}: {err}"
            return
        self.record, self.problem = record, ""

    def _read(self) -> Record:
        try:
            return Record.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Record()
        except (OSError, ValidationError) as err:
            # The status is the other copy; without either, admission still wants a valid token.
            _LOG.error("the record of a former agent is lost: %s", err)
            return Record()


def merged(*lists: Iterable[Quarantined]) -> tuple[Quarantined, ...]:
    """Return all entries, the oldest first, each object and kernel once; the newest are kept."""
    found = {
        (entry.object_digest, entry.kernel_digest): entry
        for entry in sorted((e for entries in lists for e in entries), key=lambda e: e.at)
    }
    return tuple(found.values())[-QUARANTINE_MAX:]
