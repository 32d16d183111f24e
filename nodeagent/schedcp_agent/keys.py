"""The public keys of the signers that this node trusts, and what of theirs is revoked."""

import logging
import re
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import ValidationError

from schedcp_api.tokens import NOTHING_REVOKED, Revocations

REVOKED_NAME = "revoked.json"
"""Beside the file of keys, whoever may change the one may change the other."""
_LOG = logging.getLogger(__name__)
_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----\n?", re.DOTALL)
_KEYS_MAX = 8
_REVOKED_BYTES_MAX = 1_048_576


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


def parse_revocations(text: bytes) -> Revocations | None:
    """Return what a file revokes; None when it cannot be told, which is logged."""
    if len(text) > _REVOKED_BYTES_MAX:
        _LOG.error("the revocations are larger than %d bytes", _REVOKED_BYTES_MAX)
        return None
    try:
        return Revocations.model_validate_json(text)
    except ValidationError as err:
        _LOG.error("the revocations cannot be read: %s", err)
        return None


class TrustedKeys:
    """The file's keys, read again when it changes: a key that is taken out is trusted no more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._revoked_stamp: tuple[int, int] | None = None
        self._revoked: Revocations | None = NOTHING_REVOKED
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

    def revoked(self) -> Revocations | None:
        """Return what is revoked now; None when the file is there and cannot be read."""
        path = self._path.with_name(REVOKED_NAME)
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._revoked_stamp:
                with path.open("rb") as file:
                    self._revoked = parse_revocations(file.read(_REVOKED_BYTES_MAX + 1))
                self._revoked_stamp = stamp
        except FileNotFoundError:
            self._revoked, self._revoked_stamp = NOTHING_REVOKED, None
        except OSError as err:
            _LOG.error("the revocations cannot be read: %s", err)
            self._revoked, self._revoked_stamp = None, None
        return self._revoked
