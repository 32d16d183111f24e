"""Programs that load a scheduler by themselves, and their statistics.

They come with the agent's image and are never fetched: what runs here is code of the image, chosen
by a token. Their answers on the statistics socket are read as untrusted input, in a thread of its
own: bounded in size, in time and in number.
"""

import json
import logging
import math
import re
import socket
import time
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from schedcp_api.base import digest_of
from schedcp_api.manifests import CATALOGUE_NAME, BuiltProgram, Catalogue

_LOG = logging.getLogger(__name__)
_CATALOGUE_BYTES_MAX = 256 * 1024
_PROGRAM_BYTES_MAX = 64 * 1024 * 1024
_REQUEST = b'{"req":"stats","args":{}}\n'
_ANSWER_BYTES_MAX = 256 * 1024
_ANSWER_SECONDS = 2.0
_FIGURES_MAX = 64
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class InstalledProgram:
    """A program that came with the agent."""

    built: BuiltProgram
    path: Path


def programs_in(folder: Path) -> Mapping[str, InstalledProgram]:
    """Return the programs of a folder by digest; those that its catalogue does not know are none.

    A program that is not what the catalogue says is left out, with a word in the log.
    """
    data = _bytes(folder / CATALOGUE_NAME, _CATALOGUE_BYTES_MAX)
    if data is None:
        return {}
    try:
        catalogue = Catalogue.model_validate_json(data)
    except ValidationError as err:
        _LOG.error("%s cannot be used, so there are no programs: %s", folder / CATALOGUE_NAME, err)
        return {}
    found: dict[str, InstalledProgram] = {}
    for built in catalogue.programs:
        path = folder / Path(built.crate).name
        program = _bytes(path, _PROGRAM_BYTES_MAX)
        if program is not None and digest_of(program) == built.digest:
            found[built.digest] = InstalledProgram(built, path)
        else:
            _LOG.error("%s is not the %s that was built; it will not be run", path, built.digest)
    return found


def _bytes(path: Path, limit: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError:
        return None
    return data if len(data) <= limit else None


class Statistics:
    """What a program says of its scheduler, as figures by name. `tick` never waits."""

    def __init__(self, path: Path, executor: Executor) -> None:
        self._path = path
        self._executor = executor
        self._link: socket.socket | None = None
        self._asked: Future[Mapping[str, float]] | None = None
        self._latest: Mapping[str, float] = {}

    def tick(self, *, attached: bool) -> Mapping[str, float]:
        """Ask again when the last answer is there; return the latest answer.

        `attached`: whether a program's scheduler is in charge. Otherwise nobody is asked.
        """
        if self._asked is not None and self._asked.done():
            self._latest = self._asked.result() if attached else {}
            self._asked = None
        if not attached:
            self._latest = {}
        if self._asked is None and (attached or self._link is not None):
            self._asked = self._executor.submit(self._ask if attached else self.close)
        return self._latest

    @property
    def asking(self) -> bool:
        """Whether there is a connection, or something under way."""
        return self._asked is not None or self._link is not None

    def _ask(self) -> Mapping[str, float]:
        """Return the figures; none when there is no answer. The link stays: rates count from it."""
        try:
            if self._link is None:
                self._link = _connected(self._path)
            return figures_of(_answer(self._link))
        except (OSError, ValueError, RecursionError) as err:
            _LOG.debug("no statistics from %s: %s", self._path, err)
            return self.close()

    def close(self) -> Mapping[str, float]:
        """Close the connection; call it in the executor."""
        if self._link is not None:
            self._link.close()
            self._link = None
        return {}


def _connected(path: Path) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(_ANSWER_SECONDS)
    try:
        link.connect(str(path))
    except OSError:
        link.close()
        raise
    return link


def _answer(link: socket.socket) -> bytes:
    """Send a request and return the line that answers it; raise OSError or ValueError."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    link.settimeout(_ANSWER_SECONDS)
    link.sendall(_REQUEST)
    data = b""
    while not data.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole answer after {_ANSWER_SECONDS:g} s")
        link.settimeout(left)
        chunk = link.recv(65_536)
        if not chunk:
            raise ValueError("the program closed the connection")
        data += chunk
        if len(data) > _ANSWER_BYTES_MAX:
            raise ValueError(f"the answer has more than {_ANSWER_BYTES_MAX} bytes")
    return data


def figures_of(line: bytes) -> Mapping[str, float]:
    """Return the numbers of an answer's top level by name; raise ValueError when it is none."""
    answer = json.loads(line)
    if not isinstance(answer, dict) or answer.get("errno") != 0:
        raise ValueError("the program refused the request")
    arguments = answer.get("args")
    figures = arguments.get("resp") if isinstance(arguments, dict) else None
    if not isinstance(figures, dict):
        raise ValueError("the answer has no figures")
    numbers = {
        name: float(value)
        for name, value in figures.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 2.0**64
        and math.isfinite(value)
        and _NAME.fullmatch(name)
    }
    return dict(sorted(numbers.items())[:_FIGURES_MAX])
