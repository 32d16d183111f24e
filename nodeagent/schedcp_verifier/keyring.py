"""The folder of the signing key: the key, its predecessors' public halves, what is revoked.

One private key at a time. Rotating makes a new one and forgets the old one, whose public half stays
so that what it signed can still be checked. What is revoked stays so, and is not signed again. A
server that runs keeps the key that it started with.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import ValidationError

from schedcp_api.signatures import key_id_of
from schedcp_api.tokens import NOTHING_REVOKED, DeploymentToken, Revocations

from .errors import VerifierError

__all__ = ["MOST_KEYS", "KeyFolder", "pem_of", "read_key", "read_revocations"]

_KEY_FILE = "signing-key.pem"
_RETIRED = "retired-keys"
_REVOKED_FILE = "revoked.json"
_RECORD_FILE = "tokens.jsonl"
MOST_KEYS = 8
"""Agents read no more."""


@dataclass(frozen=True)
class KeyFolder:
    """A folder that nobody but its owner may read."""

    folder: Path

    @property
    def record(self) -> Path:
        """The file with the claims of every token that was signed, a line each."""
        return self.folder / _RECORD_FILE

    def key(self) -> Ed25519PrivateKey:
        """Return the signing key, a new one when there is none."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / _KEY_FILE
        if not path.exists():
            self._make(first=True)
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise VerifierError(f"{path} can be read by others (mode {mode:o}): chmod 600 it")
        return read_key(path)

    def rotate(self) -> None:
        """Make a new key; of the old one the public half stays."""
        old = self.key().public_key()
        retired = self.folder / _RETIRED / f"{key_id_of(old)}.pem"
        retired.parent.mkdir(exist_ok=True, mode=0o700)
        _write(retired, pem_of(old).encode())
        self._make(first=False)

    def public_keys(self) -> tuple[Ed25519PublicKey, ...]:
        """Return the keys that agents may trust: the present one, and old ones, newest first."""
        files = sorted(
            (self.folder / _RETIRED).glob("*.pem"),
            key=lambda path: path.stat().st_mtime_ns,
            reverse=True,
        )
        keys = [self.key().public_key(), *(_read_public(path) for path in files)]
        revoked = self.revocations().key_ids
        return tuple(key for key in keys if key_id_of(key) not in revoked)[:MOST_KEYS]

    def revocations(self) -> Revocations:
        """Return what is revoked; raise VerifierError when it cannot be told."""
        path = self.folder / _REVOKED_FILE
        return read_revocations(path) if path.exists() else NOTHING_REVOKED

    def revoke(self, more: Revocations) -> Revocations:
        """Add to what is revoked, and return all of it."""
        merged = self.revocations().merged(more)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(self.folder / _REVOKED_FILE, merged.model_dump_json(by_alias=True).encode())
        return merged

    def remember(self, token: DeploymentToken) -> None:
        """Put a token's claims on the disk before the token leaves."""
        line = token.model_dump_json(by_alias=True, exclude_none=True) + "\n"
        descriptor = os.open(self.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a") as record:
            record.write(line)
            record.flush()
            os.fsync(record.fileno())

    def signed(self) -> tuple[DeploymentToken, ...]:
        """Return the claims of every token, in order; raise VerifierError for a damaged line."""
        if not self.record.is_file():
            return ()
        found: list[DeploymentToken] = []
        with self.record.open() as lines:
            for number, line in enumerate(lines, 1):
                try:
                    found.append(DeploymentToken.model_validate_json(line))
                except ValidationError as error:
                    raise VerifierError(f"{self.record}:{number} is damaged: {error}") from error
        return tuple(found)

    def _make(self, *, first: bool) -> None:
        """Write a new key; when another process has just made the first one, that stays."""
        path = self.folder / _KEY_FILE
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        pem = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        if not first:
            fresh.replace(path)
            return
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
        finally:
            fresh.unlink()


def pem_of(key: Ed25519PublicKey) -> str:
    """Return a public key as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def read_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a file, or raise VerifierError."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise VerifierError(f"{path} cannot be used as the signing key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise VerifierError(f"{path} is no Ed25519 key; `schedcp-verifier keygen` makes one")
    return key


def read_revocations(path: Path) -> Revocations:
    """Return what a file revokes; raise VerifierError when it cannot be told, or is not there."""
    try:
        return Revocations.model_validate_json(path.read_bytes())
    except OSError as error:
        raise VerifierError(
            f"what is revoked cannot be read, so nothing is signed: {error}"
        ) from error
    except ValidationError as error:
        raise VerifierError(f"{path} is damaged, so nothing is signed: {error}") from error


def _read_public(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except ValueError as error:
        raise VerifierError(f"{path} is no public key: {error}; remove it") from error
    if not isinstance(key, Ed25519PublicKey):
        raise VerifierError(f"{path} is no Ed25519 key; remove it")
    return key


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
