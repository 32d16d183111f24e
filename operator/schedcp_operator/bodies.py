"""Bodies of answers, read up to a limit: nobody's answer may be as long as it likes."""

from collections.abc import AsyncIterable, Mapping

__all__ = ["PLAIN", "is_plain", "read_body"]

PLAIN = {"Accept-Encoding": "identity"}
"""What is not compressed cannot grow without bounds here."""


def is_plain(headers: Mapping[str, str]) -> bool:
    """Say whether an answer is not compressed, as was asked."""
    return headers.get("content-encoding", "identity") == "identity"


async def read_body(chunks: AsyncIterable[bytes], *, limit: int) -> bytes:
    """Return a body, and of one that is longer than `limit` only one byte more than that."""
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > limit:
            break
    return bytes(data[: limit + 1])
