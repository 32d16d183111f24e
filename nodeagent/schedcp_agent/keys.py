"""The public keys of the signers that this node trusts."""

import logging
import re
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

_LOG = logging.getLogger(__name__)
_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----\n?", re.DOTALL)
_KEYS_MAX = 8


def parse_keys(text: bytes) -> tuple[Ed25519PublicKey, ...]:
    """Return the Ed25519 keys of a PEM file; what is not such a key is logged and left out."""
    keys: list[Ed25519PublicKey] = []
    for block in _BLOCK.findall(text)[:_KEYS_MAX]:
        try:
            key = load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm) as err:
            _LOG.error("a trusted key cannot be read: %s", err)
            continue
        if isinstance(key, Ed25519PublicKey):
            keys.append(key)
        else:
            _LOG.error("a trusted key is %s, not Ed25519", type(key).__name__)
    return tuple(keys)


class TrustedKeys:
    """The file's keys, read again when it changes: a key that is taken out is trusted no more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._keys: tuple[Ed25519PublicKey, ...] = ()

    def current(self) -> tuple[Ed25519PublicKey, ...]:
        """Return the keys that count now; none when the file is not there."""
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._stamp:
                self._keys = parse_keys(self._path.read_bytes())
                self._stamp = stamp
        except OSError:
            self._keys, self._stamp = (), None
        return self._keys
