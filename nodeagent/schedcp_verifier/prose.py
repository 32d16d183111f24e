"""What a source says to its readers, and what it hides from them (M07, M08).

Comments, strings and names are read by people and by language models. Nothing here is obeyed; it is
found by its form, and never repeated in what the verifier says. It sees plain English only: what
is put in other words or letters passes, so that whoever hands a source to a model must treat all of
it as data in any case. Pure.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterator

from .ctokens import Finding, Piece, pieces

__all__ = ["addressed", "addressings", "hidden_characters"]

_PLAIN_CONTROLS = "\t\n\r\f\v"
_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories of characters that nobody sees, or that move others."""

_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_NAME = re.compile(rb"[A-Za-z_]\w*")
_SPEAKING_DIRECTIVE = re.compile(rb"#\s*(?:error|warning)\b([^\n]*)")
_SPELT_LETTERS = 5
"""So many single letters in a row are a word that somebody spelt."""

_MARKERS = re.compile(
    r"<\|\w{2,20}\|>|\[/INST\]|<</?SYS>>|(?i:\bassistant\s*:)|"
    r"(?i:</?(?:assistant|human|tool_call)>|</system>)"
)
_FORGED = re.compile(
    r"""["']?\b(?:accepted|approved|verdict|passed)\b["']?\s*[:=]+\s*["']?"""
    r"(?:true|yes|accepted|approved|pass(?:ed)?|safe)\b",
    re.IGNORECASE,
)
_SPEECHES = re.compile(
    r"\byou are (?:now |no longer )?(?:an? |the )?(?:\w+ ){0,2}"
    r"(?:assistant|model|manager|reviewer|auditor|expert|bot|judge|engineer|administrator)\b|"
    r"\b(?:respond|reply|answer|output|say)(?: \w+){0,6} (?:verdict|approved|lgtm)\b|"
    r"\b(?:do not|don't|never|no need to) (?:analy[sz]e|review|audit|flag|reject|refuse|inspect) "
    r"(?:\w+ ){0,3}(?:file|code|source|scheduler|program|candidate|object)\b|"
    r"\b(?:this|the) (?:file|code|program|scheduler|source|policy|object|candidate) "
    r"(?:was|is|has been) (?:\w+ ){0,2}(?:pre ?approved|whitelisted|vetted|audited|certified)\b|"
    r"\b(?:reviewed|audited|verified|approved|tested|checked) by (?:the |an? |our )?(?:\w+ ){0,3}"
    r"(?:team|experts?|humans?|department|engineers?)\b|"
    r"\b(?:should|must|can|to) be (?:approved|whitelisted)\b|"
    r"\bwhen (?:you )?(?:summari[sz]|review|grad|judg)\w* (?:\w+ ){0,3}"
    r"(?:file|code|scheduler|source|program)\b|"
    r"\b(?:rate|score|grade) (?:this|the) (?:\w+ )?(?:file|code|scheduler|source|program|100?)\b|"
    r"\b(?:dear|hello|attention|note to|message to) (?:the |any |every |all )?(?:\w+ ){0,1}"
    r"(?:assistants?|reviewers?|auditors?|judges?|graders?|language models?|chatbots?)\b|"
    r"\b(?:mark|classify|label|treat|rate|regard) (?:\w+ ){0,3}(?:file|code|scheduler|program|"
    r"source|object|candidate) (?:\w+ ){0,2}as (?:safe|benign|passed|harmless|trusted|clean)\b|"
    r"\bno (?:further|more|other) (?:review|inspection|scrutiny|analysis|verification) "
    r"(?:is |are )?(?:required|needed|necessary)\b|"
    r"\b(?:correct|right|expected|proper) (?:classification|verdict|assessment|rating|grade|label) "
    r"(?:for|of) (?:this|the) (?:file|code|scheduler|program|source|object|candidate)\b|"
    r"\bas an? (?:large )?(?:language model|ai)\b|\b(?:system prompt|developer mode|jailbreak)\b"
)
_OVERRIDES = frozenset({"ignore", "disregard", "forget", "override", "overrule"})
_ORDERS = frozenset(
    {
        *("instruction", "instructions", "prompt", "prompts", "guideline", "guidelines"),
        *("findings", "verdict", "verdicts"),
    }
)
_WHOSE = frozenset(
    {"all", "any", "every", "previous", "prior", "earlier", "above", "preceding", "your", "system"}
)
_MODALS = frozenset(
    {"may", "can", "could", "might", "will", "would", "to", "not", "should", "must"}
)
_READERS = frozenset(
    {
        *("reviewer", "reviewers", "reviewing", "auditor", "auditors", "grader", "evaluator"),
        *("assistant", "chatbot", "llm", "llms", "gpt", "chatgpt", "claude", "gemini", "copilot"),
    }
)
_CONCLUSIONS = frozenset(
    {
        *("approve", "approved", "approval", "accept", "accepted", "verdict", "promote"),
        *("recommend", "certify", "certified", "whitelist", "trustworthy", "lgtm"),
        *("answer", "respond", "reply", "conclude", "disregard", "ignore", "reject"),
    }
)
_NAME_SPEAKS = 12
"""A shorter name says nothing that these rules look for."""
_OVERRIDE_WINDOW = 8
_SPEECH_WINDOW = 30


def hidden_characters(source: bytes) -> Iterator[Finding]:
    """M08: yield characters by which people read something else than the compiler does."""
    for piece in pieces(source.removeprefix(codecs.BOM_UTF8)):
        text = piece.text.decode(errors="replace")
        for offset, row in enumerate(text.split("\n")):
            words = _hidden_in(row, piece.kind)
            if words:
                yield Finding(piece.line + offset, words)


def _hidden_in(row: str, kind: str) -> str:
    for letter in row:
        if letter.isascii() and letter.isprintable():
            continue
        if letter == "\N{REPLACEMENT CHARACTER}":
            return "bytes that are no UTF-8"
        if unicodedata.category(letter) in _HIDDEN and letter not in _PLAIN_CONTROLS:
            return f"the invisible character U+{ord(letter):04X}: write what can be seen"
        if kind == "code" and not letter.isascii():
            return f"U+{ord(letter):04X} in code: names are in ASCII, so that no two look alike"
    return ""


def addressings(source: bytes) -> Iterator[Finding]:
    """M07: yield the lines of comments, strings and names that speak to whoever judges them."""
    parts = tuple(pieces(source))
    for line, text in (*_comments(parts), *_strings(parts), *_names(parts)):
        words = addressed(text)
        if words:
            yield Finding(line, f"{words}: say what the scheduler does, to nobody in particular")


def _comments(parts: tuple[Piece, ...]) -> Iterator[tuple[int, str]]:
    """Yield each comment; those with nothing but space between them are one."""
    yield from _joined(parts, "comment", lambda text: text.strip("/* \t\n"), " ")


def _strings(parts: tuple[Piece, ...]) -> Iterator[tuple[int, str]]:
    """Yield each string as the compiler joins it, and what directives make it say."""
    yield from _joined(parts, "quoted", lambda text: _unescaped(text[1:-1]), "")
    for piece in parts:
        for said in _SPEAKING_DIRECTIVE.finditer(piece.text if piece.kind == "code" else b""):
            yield (
                piece.line + piece.text.count(b"\n", 0, said.start()),
                said[1].decode(errors="replace"),
            )


def _joined(
    parts: tuple[Piece, ...], kind: str, clean: Callable[[str], str], between: str
) -> Iterator[tuple[int, str]]:
    begun, line = "", 0
    for piece in parts:
        if piece.kind == kind:
            line = line or piece.line
            begun += between + clean(piece.text.decode(errors="replace"))
        elif piece.kind != "code" or piece.text.strip():
            if line:
                yield line, begun
            begun, line = "", 0
    if line:
        yield line, begun


def _names(parts: tuple[Piece, ...]) -> Iterator[tuple[int, str]]:
    for piece in parts:
        if piece.kind != "code":
            continue
        for name in _NAME.finditer(piece.text):
            if len(name[0]) >= _NAME_SPEAKS:
                yield (
                    piece.line + piece.text.count(b"\n", 0, name.start()),
                    name[0].decode(errors="replace"),
                )


def addressed(text: str) -> str:
    """Return how a text speaks to whoever judges it, empty when it does not."""
    if _MARKERS.search(text):
        return "marks of a conversation with a language model"
    if _FORGED.search(text):
        return "a verdict of its own"
    words = _plain_words(text)
    if _SPEECHES.search(" ".join(words)) or _overrides(words) or _speaks(words):
        return "it speaks to whoever judges it"
    return ""


def _unescaped(text: str) -> str:
    def letter(found: re.Match[str]) -> str:
        code = int(found[1], 16) if found[1] else int(found[2], 8) if found[2] else 0
        return chr(code) if code else " "

    return _ESCAPE.sub(letter, text)


def _plain_words(text: str) -> list[str]:
    """Return the words of a text or of a name, without the tricks of writing them."""
    flat = unicodedata.normalize("NFKC", text).replace("_", " ")
    words: list[str] = []
    letters: list[str] = []
    for word in [*_WORD.findall(_HUMP.sub(" ", flat).casefold()), ""]:
        if len(word) == 1 and word.isalpha():
            letters.append(word)
            continue
        words += ["".join(letters)] if len(letters) >= _SPELT_LETTERS else letters
        letters = []
        words += [word] if word else []
    return words


def _overrides(words: list[str]) -> bool:
    """Whether somebody is told to set aside what they were told."""
    for at, word in enumerate(words):
        if word not in _OVERRIDES:
            continue
        if at and words[at - 1] in _MODALS and "you" not in words[max(0, at - 3) : at]:
            continue
        window = words[at + 1 : at + 1 + _OVERRIDE_WINDOW]
        if _ORDERS.intersection(window) and _WHOSE.intersection(window):
            return True
    return False


def _speaks(words: list[str]) -> bool:
    """Whether a reader is named close to what they are to conclude."""
    for at, word in enumerate(words):
        pair = f"{word} {words[at + 1]}" if at + 1 < len(words) else ""
        if word in _READERS or pair == "language model":
            window = words[max(0, at - _SPEECH_WINDOW) : at + _SPEECH_WINDOW]
            if _CONCLUSIONS.intersection(window):
                return True
    return False
