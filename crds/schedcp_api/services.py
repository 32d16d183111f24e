"""What travels over HTTP between the programs: the verifier's and the operator's interfaces.

Verifier (unix socket, `schedcp-verifier serve`):

- `POST /v1/verifications`, a `VerificationRequest`: 202 and a `Verification`. Asking twice for the
  same thing gives the same id and runs it once.
- `GET /v1/verifications/{id}`: a `Verification`, or 404 when the verifier does not know it.
- `GET /v1/objects/{digest}`: the built object, or 404.
- `POST /v1/tokens`, a `TokenRequest`: a `TokenReply`, or 409 when the verdict is not accepted.
- `GET /v1/keys`: `PublicKeys`. `GET /v1/kernels`: `Kernels`.

Operator (TLS; bearer token of an agent's service account, audience `TOKEN_AUDIENCE`):

- `GET /v1/blobs/{digest}`: the blob's bytes. `PUT /v1/blobs/{digest}`: at most `MAX_BLOB_BYTES`,
  refused unless the bytes have that digest.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import Digest, Noun, ShortText, Text
from .kernels import KernelProfile
from .tokens import MAX_TOKEN_CHARS, TokenClaims
from .verdicts import Verdict

TOKEN_AUDIENCE = "schedcp.io"  # noqa: S105
MAX_BLOB_BYTES = 8 * 1024 * 1024
REPLY_MARK = "schedcp-job-reply "


class VerificationState(StrEnum):
    """How a verification stands. `Lost` is the verifier's trouble, never the candidate's."""

    RUNNING = "Running"
    DONE = "Done"
    LOST = "Lost"


class Verification(Noun):
    """A verification by its id, which is the digest of its request."""

    id: Digest
    state: VerificationState
    verdict: Verdict | None = None
    message: Text = ""


class TokenRequest(Noun):
    """Ask the signer for a token on the strength of a finished verification."""

    verification: Digest
    claims: TokenClaims


class TokenReply(Noun):
    """A signed token."""

    token: Annotated[str, Field(max_length=MAX_TOKEN_CHARS)]


class SignedReply(Noun):
    """What the signer of a verification's pod prints, on one line after `REPLY_MARK`."""

    verification: Verification
    object: str = ""
    """The built object of an acceptance, base64."""
    token: Annotated[str, Field(max_length=MAX_TOKEN_CHARS)] = ""


class PublicKeys(Noun):
    """The signer's public keys, PEM."""

    keys: Annotated[tuple[str, ...], Field(max_length=8)]


class Kernels(Noun):
    """The kernels that the verifier can prove candidates on."""

    kernels: Annotated[tuple[KernelProfile, ...], Field(max_length=32)]


class ErrorReply(Noun):
    """Why a request was refused, for people and programs."""

    reason: ShortText
    message: Text
