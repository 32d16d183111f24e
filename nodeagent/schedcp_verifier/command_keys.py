"""The verbs about keys: make, rotate, list, revoke, and what was signed."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError

from schedcp_api.base import canonical_json
from schedcp_api.signatures import key_id_of
from schedcp_api.tokens import Revocations

from .errors import UsageError
from .keyring import KeyFolder, pem_of
from .settings import load_settings

__all__ = ["keygen", "keys", "revoke", "tokens"]

Several = list[str] | None


def keygen(
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make a new key, and keep the old one's public half.")
    ] = False,
) -> int:
    """Make the signing key if there is none, and print its public half as PEM."""
    folder = KeyFolder(load_settings().state_dir)
    if rotate:
        folder.rotate()
    typer.echo(pem_of(folder.key().public_key()), nl=False)
    return 0


def keys() -> int:
    """Print the public keys that agents may trust, as PEM, the present one first."""
    for key in KeyFolder(load_settings().state_dir).public_keys():
        typer.echo(pem_of(key), nl=False)
        typer.echo(f"key {key_id_of(key)}", err=True)
    return 0


def revoke(
    key: Annotated[Several, typer.Option(help="The id of a key.")] = None,
    token: Annotated[Several, typer.Option(help="The nonce of a token.")] = None,
    object_: Annotated[Several, typer.Option("--object", help="An object's digest.")] = None,
    run: Annotated[Several, typer.Option(help="An OptimizationRun: all of its tokens.")] = None,
) -> int:
    """Revoke, and print all that is revoked: the chart's value `revoked`. Nothing: just print."""
    folder = KeyFolder(load_settings().state_dir)
    nonces = [claims.nonce for claims in folder.signed() if claims.run in run] if run else []
    if run and not nonces:
        raise UsageError(f"no token was signed here for {', '.join(run)}; see `tokens`")
    try:
        more = Revocations(
            key_ids=tuple(key or ()),
            nonces=(*(token or ()), *nonces),
            object_digests=tuple(object_ or ()),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"{first['input']!r} cannot be revoked: {first['msg']}") from error
    typer.echo(folder.revoke(more).model_dump_json(by_alias=True, indent=2))
    return 0


def tokens(json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False) -> int:
    """Print the record of what was signed, the oldest first."""
    for claims in KeyFolder(load_settings().state_dir).signed():
        if json:
            typer.echo(canonical_json(claims.to_json()).decode())
            continue
        typer.echo(
            f"{claims.not_before:%Y-%m-%d %H:%M} to {claims.expires_at:%Y-%m-%d %H:%M}  "
            f"{claims.scheduler} for {claims.run} on {', '.join(claims.nodes)}  "
            f"nonce {claims.nonce} key {claims.key_id} object {claims.object_digest}"
        )
    return 0
