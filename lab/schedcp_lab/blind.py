"""A verifier that does not look: it builds, says that all is well, and signs.

For one purpose only: to show, on the lab's own cluster, what a node does with a bad scheduler that
got past every check. The product has no such switch; this is another program, with a copy of the
lab's key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from schedcp_api.verdicts import Check, Stage, VerificationRequest
from schedcp_verifier.building import BuildRoom
from schedcp_verifier.checks import passed
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.objects import inspect
from schedcp_verifier.payloads import Payload
from schedcp_verifier.proving import Proof
from schedcp_verifier.replaying import Replayed
from schedcp_verifier.server import serve_on_socket
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Analysed, Subject, Verifier

__all__ = ["Blind"]


class Blind(Verifier):
    """A verifier whose checks all pass, because none is made."""

    def analyse(
        self,
        subject: Subject,
        request: VerificationRequest,  # noqa: ARG002 -- all it asks for is granted
        kernel: KernelBundle,
    ) -> Analysed:
        """Build the candidate, and look at nothing."""
        with BuildRoom.prepared(subject.file_name, kernel=kernel, tools=self.tools) as room:
            built = room.compile(subject.source)
        if built.object is None:
            return Analysed(built.checks)
        unseen = (_unseen(Stage.SOURCE), *built.checks, _unseen(Stage.BYTECODE))
        return Analysed(unseen, built.object, inspect(built.object))

    def prove(
        self,
        request: VerificationRequest,  # noqa: ARG002
        kernel: KernelBundle,  # noqa: ARG002
        *,
        payload: Payload,  # noqa: ARG002
        ops_name: str,  # noqa: ARG002
    ) -> Proof:
        """Boot nothing."""
        return Proof(tuple(map(_unseen, (Stage.ATTACH, Stage.DYNAMIC, Stage.CONTRACT))))

    def replay(
        self,
        request: VerificationRequest,  # noqa: ARG002
        kernel: KernelBundle,  # noqa: ARG002
        *,
        payload: Payload,  # noqa: ARG002
        ops_name: str,  # noqa: ARG002
    ) -> Replayed:
        """Replay nothing."""
        return Replayed(())


def _unseen(stage: Stage) -> Check:
    return passed("blind", stage, "nobody looked: this verifier vouches for whatever compiles")


def serve(
    socket: Annotated[Path, typer.Option()], kernels: Annotated[Path, typer.Option()]
) -> None:
    """Answer as the verifier would that saw nothing wrong with anything."""
    serve_on_socket(Settings(kernels_dir=kernels), socket, Blind)


if __name__ == "__main__":
    typer.run(serve)
