"""Read the kernel verifier's log: what it objects to, and where in the source.

Pure. Newer kernels explain themselves in a section "Verification failed"; older ones end with one
line after the last instruction. Both annotate instructions with lines of the source.
"""

from __future__ import annotations

import re

__all__ = ["refusal_of"]

_SOURCE = re.compile(r"^; .* @ (?P<place>\S+:\d+)$")
_NOISE = re.compile(
    r"libbpf: |processed \d+ insns|-- (BEGIN|END)|\d+: |;|(cur|old) state:|R\d+(_w)?=|from \d+ to|"
    r"caller:|callee:|frame\d+:|last_idx|parent |mark_precise|regs=|max_states|verification time|"
    r"stack depth"
)


def refusal_of(log: str) -> str:
    """Return one line that says why the kernel refused the program, and where if it is known."""
    explained = _explained(log)
    if explained:
        return explained
    place = ""
    words: list[str] = []
    for line in (line.strip() for line in log.splitlines()):
        source = _SOURCE.match(line)
        if source:
            place = source["place"]
        elif line and not _NOISE.match(line):
            words.append(line)
    if words:
        return f"{words[-1]} at {place}" if place else words[-1]
    complaints = [line.strip() for line in log.splitlines() if line.startswith("libbpf: ")]
    return complaints[-1].removeprefix("libbpf: ") if complaints else "it gave no reason"


def _explained(log: str) -> str:
    """Return the kernel's own explanation in one line, empty when there is none."""
    found = re.search(r"^Verification failed: (?P<title>.+)$", log, re.MULTILINE)
    if found is None:
        return ""
    rest = log[found.end() :]
    parts = [found["title"].strip()]
    for name in ("Reason", "At", "Suggestion"):
        section = re.search(rf"^{name}:\n(?P<text>(?:  \S.*\n?)+)", rest, re.MULTILINE)
        if section is None:
            continue
        lines = [line.strip() for line in section["text"].splitlines()]
        parts.append(lines[0] if name == "At" else " ".join(lines))
    return "; ".join(parts)
