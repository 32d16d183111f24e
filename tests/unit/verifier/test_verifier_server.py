"""The service runs what it is asked once, tells lost from rejected, and signs acceptances only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from schedcp_api.base import Noun, digest_of
from schedcp_api.candidates import Candidate, PlanKind
from schedcp_api.services import (
    Kernels,
    PublicKeys,
    TokenRequest,
    Verification,
    VerificationState,
)
from schedcp_api.tokens import TokenClaims
from schedcp_api.verdicts import Phase, VerificationRequest
from schedcp_verifier.errors import VmLostError
from schedcp_verifier.kernels import KernelShelf
from schedcp_verifier.remembering import VerdictStore
from schedcp_verifier.server import Service, application
from schedcp_verifier.signer import Signer
from schedcp_verifier.verifications import Verifications
from support.verifier import NOW, OBJECT, FakeProver, make_bundle, workload_profile


@dataclass
class World:
    """A service whose work is done when `settle` returns."""

    folder: Path
    prover: FakeProver
    pool: ThreadPoolExecutor

    def service(self) -> Service:
        """Return the service; a second one stands for a restart."""
        shelf = KernelShelf(self.folder / "kernels")
        signer = Signer.open(self.folder / "state")
        store = VerdictStore(self.folder / "state", signer.vouches)
        verifications = Verifications(self.prover, shelf, store, self.pool, signer.verdict)
        return Service(verifications, signer, lambda: NOW, 60)

    def settle(self) -> None:
        """Wait until everything that was asked for has been done."""
        self.pool.submit(lambda: None).result(timeout=30)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    make_bundle(tmp_path / "kernels" / "one")
    with ThreadPoolExecutor(1) as pool:
        yield World(tmp_path, FakeProver(), pool)


@asynccontextmanager
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://verifier") as found:
        yield found


def request_for(world: World) -> VerificationRequest:
    (bundle,) = KernelShelf(world.folder / "kernels").bundles()
    return VerificationRequest(
        candidate=Candidate(kind=PlanKind.CONFIGURE, scheduler="fifo"),
        kernel_digest=bundle.profile.content_digest(),
    )


async def post(http: httpx.AsyncClient, path: str, noun: Noun) -> httpx.Response:
    return await http.post(path, json=noun.to_json())


def verification(response: httpx.Response) -> Verification:
    return Verification.model_validate_json(response.content)


async def test_the_way_from_a_request_to_a_token(world: World) -> None:
    request = request_for(world)
    async with client(world.service()) as http:
        asked = await post(http, "/v1/verifications", request)
        assert (asked.status_code, verification(asked).id) == (202, request.content_digest())
        world.settle()
        done = verification(await http.get(f"/v1/verifications/{request.content_digest()}"))
        assert done.state is VerificationState.DONE
        assert done.verdict is not None
        assert done.verdict.accepted
        built = await http.get(f"/v1/objects/{done.verdict.digest}")
        assert built.content == OBJECT
        claims = TokenClaims(run="run-1", nodes=("node-1",))
        signed = await post(http, "/v1/tokens", TokenRequest(verification=done.id, claims=claims))
        assert signed.status_code == 200
        assert signed.json()["token"].count(".") == 1


async def test_asking_twice_runs_once_also_after_a_restart(world: World) -> None:
    request = request_for(world)
    for service in (world.service(), world.service()):
        async with client(service) as http:
            for _ in range(2):
                await post(http, "/v1/verifications", request)
                world.settle()
    assert len(world.prover.asked) == 1


async def test_a_scheduler_that_changed_is_proven_anew(world: World) -> None:
    async with client(world.service()) as http:
        await post(http, "/v1/verifications", request_for(world))
        world.settle()
    world.prover.identity_value = digest_of(b"another source")
    async with client(world.service()) as http:
        await post(http, "/v1/verifications", request_for(world))
        world.settle()
    assert len(world.prover.asked) == 2


async def test_a_verdict_from_before_a_change_is_neither_found_nor_signed(world: World) -> None:
    id_ = request_for(world).content_digest()
    async with client(world.service()) as http:
        await post(http, "/v1/verifications", request_for(world))
        world.settle()
        assert (await http.get(f"/v1/verifications/{id_}")).status_code == 200
        world.prover.identity_value = digest_of(b"another header")
        assert (await http.get(f"/v1/verifications/{id_}")).status_code == 404
        token = TokenRequest(verification=id_, claims=TokenClaims(run="r", nodes=("n",)))
        refused = await post(http, "/v1/tokens", token)
        assert (refused.status_code, refused.json()["reason"]) == (409, "Unknown")


async def test_the_object_of_a_refused_verdict_is_not_kept(world: World) -> None:
    world.prover.accepted, world.prover.phase = False, Phase.FAILED
    async with client(world.service()) as http:
        await post(http, "/v1/verifications", request_for(world))
        world.settle()
        assert (await http.get(f"/v1/objects/{digest_of(OBJECT)}")).status_code == 404


@pytest.mark.parametrize("how", ["lost", "undecided", "no such kernel"])
async def test_what_could_not_be_told_is_lost_not_signed_and_tried_again(
    world: World, how: str
) -> None:
    request = request_for(world)
    if how == "lost":
        world.prover.broken = VmLostError("the guest had not ended")
    elif how == "undecided":
        world.prover.accepted, world.prover.phase = False, Phase.ERROR
    else:
        request = request.replace(kernel_digest=digest_of(b"another kernel"))
    async with client(world.service()) as http:
        await post(http, "/v1/verifications", request)
        world.settle()
        id_ = request.content_digest()
        found = verification(await http.get(f"/v1/verifications/{id_}"))
        assert found.state is VerificationState.LOST
        assert found.message
        token = TokenRequest(verification=id_, claims=TokenClaims(run="r", nodes=("n",)))
        refused = await post(http, "/v1/tokens", token)
        assert (refused.status_code, refused.json()["reason"]) == (409, "Unknown")
        again = verification(await post(http, "/v1/verifications", request))
        assert again.state is VerificationState.RUNNING
        world.settle()


async def test_a_rejection_is_done_and_gets_no_token(world: World) -> None:
    world.prover.accepted, world.prover.phase = False, Phase.FAILED
    request = request_for(world)
    async with client(world.service()) as http:
        await post(http, "/v1/verifications", request)
        world.settle()
        id_ = request.content_digest()
        found = verification(await http.get(f"/v1/verifications/{id_}"))
        assert found.state is VerificationState.DONE
        token = TokenRequest(verification=id_, claims=TokenClaims(run="r", nodes=("n",)))
        refused = await post(http, "/v1/tokens", token)
        assert (refused.status_code, refused.json()["reason"]) == (409, "NotAccepted")


async def test_keys_and_kernels_are_told(world: World) -> None:
    async with client(world.service()) as http:
        keys = PublicKeys.model_validate_json((await http.get("/v1/keys")).content)
        kernels = Kernels.model_validate_json((await http.get("/v1/kernels")).content)
    assert "PUBLIC KEY" in keys.keys[0]
    assert [kernel.release for kernel in kernels.kernels] == ["7.0.0-test"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/v1/verifications/{digest_of(b'unknown')}", 404),
        (f"/v1/objects/{digest_of(b'unknown')}", 404),
        ("/v1/objects/..%2f..%2fetc", 404),
        ("/v1/verifications/none", 422),
    ],
)
async def test_what_is_not_there(world: World, path: str, status: int) -> None:
    async with client(world.service()) as http:
        assert (await http.get(path)).status_code == status


async def test_a_request_with_a_wrong_field_is_told_which(world: World) -> None:
    async with client(world.service()) as http:
        answer = await http.post("/v1/verifications", json={"candidat": 1})
        assert answer.status_code == 422
        assert "candidat" in answer.json()["message"]


async def test_a_damaged_object_is_not_handed_out(world: World) -> None:
    async with client(world.service()) as http:
        await post(http, "/v1/verifications", request_for(world))
        world.settle()
        digest = digest_of(OBJECT)
        (world.folder / "state/objects" / digest.removeprefix("sha256:")).write_bytes(b"other")
        assert (await http.get(f"/v1/objects/{digest}")).status_code == 404


async def test_another_request_for_the_same_thing_is_answered_at_once(world: World) -> None:
    first = request_for(world)
    async with client(world.service()) as http:
        await post(http, "/v1/verifications", first)
        world.settle()
        other = first.replace(candidate=first.candidate.replace(kind=PlanKind.COMPOSE))
        assert other.content_digest() != first.content_digest()
        done = verification(await post(http, "/v1/verifications", other))
        assert (done.state, done.id) == (VerificationState.DONE, other.content_digest())
        assert done.verdict is not None
        assert done.verdict.candidate_digest == other.candidate.content_digest()
        claims = TokenClaims(run="run-2", nodes=("node-1",))
        signed = await post(http, "/v1/tokens", TokenRequest(verification=done.id, claims=claims))
        assert signed.status_code == 200
    assert len(world.prover.asked) == 1


async def test_a_new_profile_needs_a_new_replay_alone(world: World) -> None:
    first = request_for(world)
    async with client(world.service()) as http:
        for request in (first, first.replace(profile=workload_profile())):
            await post(http, "/v1/verifications", request)
            world.settle()
    before, after = world.prover.known
    assert before is None
    assert after is not None
    assert (after.verdict.accepted, after.object) == (True, OBJECT)
