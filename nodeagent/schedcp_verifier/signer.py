"""The signer: the one place that holds the private key; it signs verdicts and tokens.

Every token is written to a record before it leaves, so that what was signed can be told later.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from schedcp_api.signatures import key_id_of, sign_verdict
from schedcp_api.tokens import DeploymentToken, TokenClaims, sign
from schedcp_api.verdicts import EvaluationContract, Verdict

from .errors import SigningRefused, VerifierError

__all__ = ["Signer"]

_KEY_FILE = "signing-key.pem"
_RECORD_FILE = "tokens.jsonl"


@dataclass(frozen=True)
class Signer:
    """An Ed25519 key with the record of what it signed."""

    key: Ed25519PrivateKey
    record: Path | None
    """None: whoever asks keeps what was signed, because nothing here outlives the answer."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Return the signer of a folder, with a new key when it has none."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / _KEY_FILE
        if not path.exists():
            _write_key(path)
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise VerifierError(f"{path} can be read by others (mode {mode:o}): chmod 600 it")
        return cls(_read_key(path), folder / _RECORD_FILE)

    @classmethod
    def of_key(cls, path: Path) -> Self:
        """Return the signer of a key that is mounted, without a folder of its own."""
        return cls(_read_key(path), None)

    def public_pem(self) -> str:
        """Return the public key as PEM."""
        public = self.key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def verdict(self, verdict: Verdict) -> Verdict:
        """Return a verdict, a rejection as well, with this key's signature."""
        return sign_verdict(verdict, self.key)

    def token(
        self,
        verdict: Verdict,
        contract: EvaluationContract,
        claims: TokenClaims,
        *,
        now: datetime,
        backdate_seconds: int,
    ) -> str:
        """Return the signed token of an accepted verdict, or raise SigningRefused."""
        if not verdict.accepted or verdict.digest is None:
            raise SigningRefused(
                "NotAccepted",
                f"the verdict on {verdict.scheduler} is not an acceptance: "
                f"{'; '.join(verdict.reasons())[:1500] or 'no check says why'}",
            )
        if verdict.contract_digest != contract.content_digest():
            raise SigningRefused("WrongContract", "the verdict was given under another contract")
        token = DeploymentToken(
            object_digest=verdict.digest,
            source_digest=verdict.source_digest,
            candidate_digest=verdict.candidate_digest,
            scheduler=verdict.scheduler,
            ops_name=verdict.ops_name,
            arguments=verdict.arguments,
            timeout_ms=contract.watchdog_ms,
            kernel_digest=verdict.kernel.content_digest(),
            contract_digest=verdict.contract_digest,
            evidence_digest=verdict.evidence_digest(),
            contract_losses=verdict.contract_losses,
            unit=claims.unit,
            run=claims.run,
            nodes=claims.nodes,
            not_before=now - timedelta(seconds=backdate_seconds),
            expires_at=now + timedelta(seconds=claims.validity_seconds),
            nonce=secrets.token_hex(16),
            key_id=key_id_of(self.key.public_key()),
        )
        self._remember(token)
        return sign(token, self.key)

    def _remember(self, token: DeploymentToken) -> None:
        if self.record is None:
            return
        line = json.dumps(token.to_json(), sort_keys=True) + "\n"
        descriptor = os.open(self.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a") as record:
            record.write(line)
            record.flush()
            os.fsync(record.fileno())


def _read_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise VerifierError(f"{path} cannot be used as the signing key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise VerifierError(f"{path} is no Ed25519 key; `schedcp-verifier keygen` makes one")
    return key


def _write_key(path: Path) -> None:
    """Write a new key; when another process is first, its key stays."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    try:
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        fresh.unlink()
