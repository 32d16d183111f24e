"""Ed25519 signatures over canonical JSON, and the signed form of a verdict.

Every kind of thing that is signed has a prefix of its own, so that a signature of one kind never
holds for another. A verdict carries its signature and the signer's key id in itself; they cover all
of it but how long the proof took. Anybody who has the public keys can check both.
"""

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .base import canonical_json, digest_of
from .verdicts import Verdict

_VERDICT_PREFIX = b"schedcp.io/verdict/v1\n"


class SignatureError(ValueError):
    """Something whose signature does not hold; `reason` is one word for programs."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def key_id_of(key: Ed25519PublicKey) -> str:
    """Return the short name of a public key: 16 hex digits of its digest."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return digest_of(raw)[7:23]


def signed_by(key: Ed25519PublicKey, message: bytes, signature: bytes) -> bool:
    """Return whether `key` made `signature` over `message`, its prefix included."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def encode(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return what `encode` was given; raise ValueError for any other spelling of it."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as err:
        raise ValueError(f"not base64url: {err}") from err
    if encode(data) != text:
        raise ValueError("not canonical base64url")
    return data


def sign_verdict(verdict: Verdict, key: Ed25519PrivateKey) -> Verdict:
    """Return the verdict with its signature; one that it had before is replaced."""
    named = verdict.replace(signature=None, key_id=key_id_of(key.public_key()))
    return named.replace(signature=encode(key.sign(_message(named))))


def check_verdict(verdict: Verdict, keys: tuple[Ed25519PublicKey, ...]) -> None:
    """Raise SignatureError unless one of `keys`, the one that it names, signed the verdict."""
    if verdict.signature is None:
        raise SignatureError("Unsigned", "the verdict carries no signature")
    known = {key_id_of(key): key for key in keys}
    key = known.get(verdict.key_id or "")
    if key is None:
        trusted = ", ".join(known) or "none"
        raise SignatureError(
            "UntrustedKey",
            f"the verdict names the key {verdict.key_id or 'none'}; trusted: {trusted}",
        )
    try:
        signature = decode(verdict.signature)
    except ValueError as err:
        raise SignatureError("Malformed", f"the verdict's signature is {err}") from err
    if not signed_by(key, _message(verdict), signature):
        raise SignatureError(
            "BadSignature", "the verdict is not what was signed: something in it was changed"
        )


def _message(verdict: Verdict) -> bytes:
    claims = verdict.replace(signature=None, duration_seconds=0)
    try:
        return _VERDICT_PREFIX + canonical_json(claims.to_json())
    except ValueError as err:
        raise SignatureError("Malformed", f"the verdict has no canonical form: {err}") from err
