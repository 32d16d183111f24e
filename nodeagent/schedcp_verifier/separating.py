"""Proving and signing apart: candidates run without the key, and the key signs without candidates.

A verification's pod runs two programs of this package, one after the other. They share nothing but
one folder, and the second starts when every process of the first is gone.

- The prover builds and runs the candidate. It has no key, no network and no account. Whoever breaks
  out of a guest owns this program: it can lie about this one verification, and not take the key.
- The signer has the key and reads what the prover left as hostile input: one file, bounded, that
  must be about the very request and hold together. It runs no candidate and no tool.
- Whoever makes the pod (the operator) chooses the request and the claims of the token. The chart's
  admission policy fixes programs, arguments, image and mounts, so that it chooses nothing else, and
  cannot hand the signer a result of its own.

A token from here holds for one run, its nodes and a time; that is the most that a lie is worth.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError

from schedcp_api.base import Noun, digest_of
from schedcp_api.services import (
    MAX_BLOB_BYTES,
    SignedReply,
    Verification,
    VerificationState,
)
from schedcp_api.tokens import TokenClaims
from schedcp_api.verdicts import Phase, ReplayMode, Stage, Verdict, VerificationRequest

from .errors import SigningRefused, UsageError
from .kernels import KernelShelf
from .signer import Signer
from .subjects import stages_missing
from .verifications import Prover, outcome_of
from .verifying import Verified

__all__ = ["Handover", "answer", "contradiction", "hand_over", "read_handover", "read_noun"]

RESULT_NAME = "result.json"
MAX_HANDOVER_BYTES = 2 * MAX_BLOB_BYTES
"""An object in base64, and a verdict."""
_N = TypeVar("_N", bound=Noun)


class Handover(Noun):
    """What the prover leaves for the signer."""

    verification: Verification
    object: Annotated[str, Field(max_length=MAX_HANDOVER_BYTES)] = ""
    """The built object of an acceptance, base64."""


def read_noun(path: Path, noun: type[_N], *, flags: int = 0) -> _N:
    """Return what a regular file of bounded size holds, or raise UsageError.

    Links are followed unless `flags`, of os.open, say otherwise: a kubelet puts the files of a
    ConfigMap behind two of them.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{path} is no regular file")
            data = file.read(MAX_HANDOVER_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    if len(data) > MAX_HANDOVER_BYTES:
        raise UsageError(f"{path} is larger than {MAX_HANDOVER_BYTES} bytes")
    try:
        return noun.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path} is no {noun.__name__}: {where}: {first['msg']}") from error


def hand_over(
    prover: Prover, shelf: KernelShelf, request: VerificationRequest, folder: Path
) -> Verification:
    """Prove a request and leave what came of it in `folder`, whole or not at all."""
    verified: list[Verified] = []

    def work() -> Verified:
        verified.append(prover.verify(request, shelf.by_digest(request.kernel_digest)))
        return verified[0]

    verification = outcome_of(request.content_digest(), work)
    object_ = verified[0].object if verified else None
    text = base64.b64encode(object_ or b"").decode()
    fresh = folder / f".{RESULT_NAME}"
    fresh.write_text(
        Handover(verification=verification, object=text).model_dump_json(
            by_alias=True, exclude_none=True
        )
    )
    fresh.replace(folder / RESULT_NAME)
    return verification


def read_handover(folder: Path) -> Handover:
    """Return what the prover left, or raise UsageError; no link of its is followed."""
    return read_noun(folder / RESULT_NAME, Handover, flags=os.O_NOFOLLOW)


def answer(
    signer: Signer,
    request: VerificationRequest,
    claims: TokenClaims,
    handover: Handover,
    *,
    now: datetime,
    backdate_seconds: int,
) -> SignedReply:
    """Return the signed answer to a request; what does not hold together is Lost, and unsigned."""
    id_ = request.content_digest()
    found = handover.verification
    verdict = found.verdict
    if found.id != id_:
        return _lost(id_, f"the prover answered for {found.id}, which nobody asked for")
    if found.state is VerificationState.RUNNING or verdict is None:
        return _lost(id_, found.message or "the prover came to no verdict")
    object_ = _object(handover)
    problem = contradiction(request, verdict, object_)
    if problem:
        return _lost(id_, f"the prover's verdict is not signed: {problem}")
    signed = signer.verdict(verdict)
    reply = SignedReply(verification=found.replace(verdict=signed))
    if not verdict.accepted or found.state is not VerificationState.DONE:
        return reply
    reply = reply.replace(object=handover.object)
    try:
        token = signer.token(
            signed, request.contract, claims, now=now, backdate_seconds=backdate_seconds
        )
    except SigningRefused as refused:
        return reply.replace(verification=reply.verification.replace(message=str(refused)))
    return reply.replace(token=token)


def contradiction(request: VerificationRequest, verdict: Verdict, object_: bytes | None) -> str:
    """Return why a verdict cannot be the answer to a request; empty when it can."""
    candidate, contract = request.candidate, request.contract
    pairs: dict[str, tuple[object, object]] = {
        "candidate": (verdict.candidate_digest, candidate.content_digest()),
        "scheduler": (verdict.scheduler, candidate.scheduler),
        "arguments": (verdict.arguments, candidate.arguments),
        "program": (verdict.program_digest, candidate.program_digest),
        "command line": (verdict.command_line, candidate.command_line),
        "contract": (verdict.contract_digest, contract.content_digest()),
        "kernel": (verdict.kernel.content_digest(), request.kernel_digest),
    }
    if candidate.source_digest is not None:
        pairs["source"] = (verdict.source_digest, candidate.source_digest)
    for name, (said, asked) in pairs.items():
        if said != asked:
            return f"its {name} is not the one that was asked about"
    if not verdict.accepted:
        return ""
    if candidate.program_digest is not None:
        if verdict.digest != candidate.program_digest:
            return "what it accepts is not the program that was asked about"
    elif object_ is None or verdict.digest != digest_of(object_):
        return "the object that came along is not the one that it accepts"
    return _unproven(verdict, request)


def _unproven(verdict: Verdict, request: VerificationRequest) -> str:
    bad = [check.id for check in verdict.checks if check.phase in (Phase.FAILED, Phase.ERROR)]
    missing = [stage.value for stage in stages_missing(request.candidate, verdict.checks)]
    if request.contract.replay is ReplayMode.REQUIRED and verdict.replay is None:
        missing.append(Stage.REPLAY.value)
    let_go = (*request.contract.waived_losses, *request.contract.unneeded_losses)
    lost = set(verdict.contract_losses) - set(let_go)
    if bad:
        return f"it accepts although {', '.join(bad)} did not pass"
    if missing:
        return f"it accepts without {', '.join(missing)}"
    if lost:
        return f"it accepts losses that the contract does not let go: {', '.join(sorted(lost))}"
    return "" if verdict.ops_name else "it accepts an object without a name"


def _object(handover: Handover) -> bytes | None:
    try:
        data = base64.b64decode(handover.object, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if 0 < len(data) <= MAX_BLOB_BYTES else None


def _lost(id_: str, message: str) -> SignedReply:
    lost = Verification(id=id_, state=VerificationState.LOST, message=message[:2048])
    return SignedReply(verification=lost)
