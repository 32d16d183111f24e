"""The signer: the one place that uses the private key; it signs verdicts and tokens.

Every token is written to a record before it leaves, so that what was signed can be told later.
Nothing that is revoked is signed.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schedcp_api.signatures import SignatureError, check_verdict, key_id_of, sign_verdict
from schedcp_api.tokens import (
    NOTHING_REVOKED,
    DeploymentToken,
    Revocations,
    TokenClaims,
    sign,
)
from schedcp_api.verdicts import EvaluationContract, Verdict

from .errors import SigningRefused
from .keyring import MOST_KEYS, KeyFolder, pem_of, read_key, read_revocations

__all__ = ["Signer"]


@dataclass(frozen=True)
class Signer:
    """An Ed25519 key with what is known of its past."""

    key: Ed25519PrivateKey
    keyring: KeyFolder | None
    """None: a mounted key. Whoever asks keeps what was signed."""
    mounted_revocations: Revocations = NOTHING_REVOKED
    """What is revoked where there is no keyring that says so."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Return the signer of a folder, with a new key when it has none."""
        keyring = KeyFolder(folder)
        return cls(keyring.key(), keyring)

    @classmethod
    def of_key(cls, path: Path, revoked: Path) -> Self:
        """Return the signer of a key and of revocations that are mounted, without a folder."""
        return cls(read_key(path), None, read_revocations(revoked))

    def public_pem(self) -> str:
        """Return the public key as PEM."""
        return pem_of(self.key.public_key())

    def public_keys(self) -> tuple[Ed25519PublicKey, ...]:
        """Return the keys whose signatures count: this one, unless it is revoked, and old ones."""
        own = self.key.public_key()
        # The folder's key may be a newer one, for which the next start is waited.
        others = () if self.keyring is None else self.keyring.public_keys()
        if key_id_of(own) in self.revocations().key_ids:
            return others
        return (own, *(k for k in others if key_id_of(k) != key_id_of(own)))[:MOST_KEYS]

    def revocations(self) -> Revocations:
        """Return what is revoked; raise VerifierError when it cannot be told."""
        return self.mounted_revocations if self.keyring is None else self.keyring.revocations()

    def vouches(self, verdict: Verdict) -> bool:
        """Return whether a verdict is as this key, or an old one that still counts, signed it."""
        try:
            check_verdict(verdict, self.public_keys())
        except SignatureError:
            return False
        return True

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
            program_digest=verdict.program_digest,
            arguments=verdict.arguments,
            command_line=verdict.command_line,
            timeout_ms=contract.watchdog_ms,
            kernel_digest=verdict.kernel.content_digest(),
            contract_digest=verdict.contract_digest,
            evidence_digest=verdict.evidence_digest(),
            contract_losses=verdict.contract_losses,
            guarded_losses=tuple(
                loss for loss in verdict.contract_losses if loss not in contract.waived_losses
            ),
            unit=claims.unit,
            run=claims.run,
            nodes=claims.nodes,
            not_before=now - timedelta(seconds=backdate_seconds),
            expires_at=now + timedelta(seconds=claims.validity_seconds),
            nonce=secrets.token_hex(16),
            key_id=key_id_of(self.key.public_key()),
        )
        refusal = self.revocations().refusal(token)
        if refusal:
            raise SigningRefused("Revoked", refusal)
        if self.keyring is not None:
            self.keyring.remember(token)
        return sign(token, self.key)
