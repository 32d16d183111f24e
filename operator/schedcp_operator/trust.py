"""The keys that tokens must be signed with: from a file, or as the verifier names them."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import SettingsError
from .verifier_client import Verifier, public_keys

__all__ = ["TrustedKeys"]

_END = "-----END PUBLIC KEY-----"


class TrustedKeys:
    """The trusted keys as last read; none before the first reading, and of an empty file."""

    def __init__(self, path: Path | None, verifier: Verifier) -> None:
        """Read `path` now, when there is one; raise SettingsError when it cannot be used."""
        self._path = path
        self._verifier = verifier
        self._keys: tuple[Ed25519PublicKey, ...] = ()
        if path is not None:
            self._keys = _read(path)

    @property
    def keys(self) -> tuple[Ed25519PublicKey, ...]:
        """Return the trusted keys."""
        return self._keys

    async def refresh(self) -> None:
        """Read the keys again.

        Raise SettingsError when they cannot be used, VerifierUnavailable when the verifier does
        not answer; what was read before is kept then.
        """
        if self._path is not None:
            self._keys = _read(self._path)
        else:
            self._keys = public_keys(await self._verifier.keys())


def _read(path: Path) -> tuple[Ed25519PublicKey, ...]:
    """Return the file's keys. An empty file trusts nobody; one with anything else must be keys."""
    try:
        text = path.read_text()
    except OSError as err:
        raise SettingsError(f"trusted keys: {err}") from err
    except UnicodeDecodeError as err:
        raise SettingsError(f"trusted keys: {path} is not text: {err}") from err
    if not text.strip():
        return ()
    keys = public_keys(tuple(part + _END for part in text.split(_END) if part.strip()))
    if not keys:
        raise SettingsError(f"{path} has no PEM public key")
    return keys
