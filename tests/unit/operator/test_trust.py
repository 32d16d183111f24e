"""Whose signatures count: what a file of keys says, and what it says when it says nothing."""

from pathlib import Path

import pytest

from schedcp_operator.errors import SettingsError
from schedcp_operator.trust import TrustedKeys
from support.operator_doubles import MemoryVerifier, pem

END = "-----END PUBLIC KEY-----"


def trusted(path: Path) -> TrustedKeys:
    """The keys of a file."""
    return TrustedKeys(path, MemoryVerifier())


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("\n", 0), (" \n\t\n", 0), (pem(), 1), (2 * pem(), 2), (f"\n{pem()}\n\n", 1)],
)
def test_a_file_has_as_many_keys_as_are_in_it(tmp_path: Path, text: str, count: int) -> None:
    path = tmp_path / "keys.pem"
    path.write_text(text)
    assert len(trusted(path).keys) == count


MALFORMED = [
    (b"garbage", "not a PEM public key"),
    (b"# nobody yet\n", "not a PEM public key"),
    (pem().encode() + b"garbage", "not a PEM public key"),
    (pem().replace(END, "").encode(), "not a PEM public key"),
    (END.encode(), "no PEM public key"),
    (b"\xff\xfe", "is not text"),
]


@pytest.mark.parametrize(("data", "words"), MALFORMED)
def test_a_file_of_anything_else_is_an_error(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "keys.pem"
    path.write_bytes(data)
    with pytest.raises(SettingsError, match=words):
        trusted(path)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        trusted(tmp_path / "missing")


async def test_a_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.pem"
    path.write_text("")
    keys = trusted(path)
    for text, count in ((pem(), 1), ("", 0), (2 * pem(), 2)):
        path.write_text(text)
        await keys.refresh()
        assert len(keys.keys) == count


@pytest.mark.parametrize(("data", "words"), MALFORMED)
async def test_a_file_that_turns_bad_is_an_error(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "keys.pem"
    path.write_text(pem())
    keys = trusted(path)
    path.write_bytes(data)
    with pytest.raises(SettingsError, match=words):
        await keys.refresh()
