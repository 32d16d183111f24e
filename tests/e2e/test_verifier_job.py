"""The verifier's Jobs in real pods: this machine is the node, and the operator's own class asks.

The chart's account, rules and settings are in force; pods must be restricted. Run it with
`make test-verifier-job`.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from schedcp_api.base import digest_of
from schedcp_api.services import TokenRequest, VerificationState
from schedcp_api.signatures import check_verdict
from schedcp_api.tokens import TokenClaims, open_signed
from schedcp_api.verdicts import Phase
from schedcp_lab.control_plane import ControlPlane
from schedcp_lab.kube_binaries import ensure_helm, ensure_kube_binaries
from schedcp_lab.processes import wait_until
from schedcp_lab.workshop import VERIFIER_IMAGE, cache_of
from schedcp_operator.errors import Refused
from schedcp_operator.job_verifier import job_name
from schedcp_verifier.kernels import KernelBundle, KernelShelf
from support.confinement import Confined, confined, find_processes
from support.host_node import host_node, require_apart
from support.laboratory import CONTRACT, library_request
from support.verification_jobs import Installation, asking, ended, install
from support.verifier import source_request

pytestmark = pytest.mark.timeout(2400)

CLAIMS = TokenClaims(run="checkout-1", nodes=("node-1",))
USER = 65532
STARTS_SECONDS = 180.0
ENDS_SECONDS = 1800.0
DEADLINE_SECONDS = 30
GUEST = ("qemu-system-x86_64", "-nodefaults")
PROVER = ("schedcp-verifier", "prove")
REJECTED = "tests/data/schedulers/bad/L13-refuses-nice-tasks.bpf.c"
REASON = "manners"


@pytest.fixture(scope="module")
def kernel(repository: Path) -> KernelBundle:
    """The newest kernel here."""
    return KernelShelf(cache_of(repository).root.resolve() / "kernels").newest()


@pytest.fixture(scope="module")
def installed(
    repository: Path,
    required_tiers: frozenset[str],
    tmp_path_factory: pytest.TempPathFactory,
    kernel: KernelBundle,
) -> Iterator[Installation]:
    """A control plane with the chart, and this machine as its node with the verifier's image."""
    if "e2e" not in required_tiers:
        pytest.skip("a node needs root and namespaces; run `make test-verifier-job`")
    require_apart()
    cache = cache_of(repository)
    images = [cache.root / "images" / f / "image.tar" for f in ("pause-1", "schedcp-verifier-lab")]
    folder = tmp_path_factory.mktemp("verifier-job")
    with ControlPlane.start(folder, binaries=ensure_kube_binaries(cache)) as plane:
        installation = install(
            plane,
            folder / "chart",
            chart=repository / "charts" / "schedcp",
            helm=ensure_helm(cache),
            image=VERIFIER_IMAGE,
            kernels=kernel.folder.parent,
        )
        with host_node(plane, folder / "node", name="this-machine", images=images):
            yield installation


@pytest.fixture(scope="module")
def keys(installed: Installation) -> tuple[Ed25519PublicKey, ...]:
    """The keys that agents would trust."""
    key = load_pem_public_key(installed.public_key.encode())
    assert isinstance(key, Ed25519PublicKey)
    return (key,)


def seen(installed: Installation, *words: str) -> Confined:
    """Wait for a process with these arguments in a pod, and return how it is confined."""
    found: list[Confined] = []

    def looked() -> bool:
        for process in find_processes(*words):
            # It may end while it is looked at.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.append(confined(process))
        return bool(found)

    wait_until(
        looked,
        what=f"{' '.join(words)} runs",
        timeout_seconds=STARTS_SECONDS,
        hint=lambda: json.dumps([pod["status"] for pod in installed.pods()], indent=1),
    )
    return found[0]


def assert_confined(found: Confined) -> None:
    """Nothing that a process does not need to prove a candidate."""
    assert found.users == found.groups == {USER}
    assert found.capabilities == 0
    assert found.no_new_privileges
    assert found.seccomp_filtered
    assert {"/", "/kernels", "/request"} <= found.read_only
    writable = {place for place in found.writable if not place.startswith(("/proc", "/dev"))}
    assert writable == {"/handover", "/tmp"}
    assert not [
        place for place in found.mounts if place.startswith(("/signing", "/var/run/secrets"))
    ]


async def test_an_accepted_candidate_is_signed_out_of_a_confined_pod(
    installed: Installation, kernel: KernelBundle, keys: tuple[Ed25519PublicKey, ...]
) -> None:
    request = library_request("latency_class", kernel, replays=True)
    async with asking(installed) as verifier:
        started = await verifier.start(request, CLAIMS)
        assert started.state is VerificationState.RUNNING
        for words in (PROVER, GUEST):
            assert_confined(seen(installed, *words))
        done = await ended(verifier, started.id, timeout_seconds=ENDS_SECONDS)
        assert done.state is VerificationState.DONE, done.message
        verdict = done.verdict
        assert verdict is not None
        assert verdict.accepted, verdict.reasons()
        assert verdict.replay is not None
        check_verdict(verdict, keys)
        signed = await verifier.sign(TokenRequest(verification=started.id, claims=CLAIMS))
        token = open_signed(signed, keys)
        assert (token.run, token.nodes) == (CLAIMS.run, CLAIMS.nodes)
        assert token.evidence_digest == verdict.evidence_digest()
        assert digest_of(await verifier.fetch(token.object_digest)) == token.object_digest


async def test_a_rejected_candidate_comes_with_its_reason_and_without_a_token(
    installed: Installation,
    kernel: KernelBundle,
    keys: tuple[Ed25519PublicKey, ...],
    repository: Path,
) -> None:
    request = source_request(repository / REJECTED, kernel, CONTRACT)
    async with asking(installed) as verifier:
        started = await verifier.start(request, CLAIMS)
        seen(installed, *PROVER)
        done = await ended(verifier, started.id, timeout_seconds=ENDS_SECONDS)
        assert done.state is VerificationState.DONE, done.message
        verdict = done.verdict
        assert verdict is not None
        check_verdict(verdict, keys)
        failed = {check.id for check in verdict.checks if check.phase is Phase.FAILED}
        assert failed == {REASON}, verdict.reasons()
        with pytest.raises(Refused, match="signed no token"):
            await verifier.sign(TokenRequest(verification=started.id, claims=CLAIMS))


async def test_a_verification_whose_pod_is_deleted_is_lost_and_made_anew_when_asked_again(
    installed: Installation, kernel: KernelBundle
) -> None:
    request = library_request("weighted_vtime", kernel)
    async with asking(installed) as verifier:
        started = await verifier.start(request, CLAIMS)
        job = job_name(started.id)
        seen(installed, *GUEST)
        installed.kubectl("delete", "pods", f"--selector=batch.kubernetes.io/job-name={job}")
        lost = await ended(verifier, started.id, timeout_seconds=STARTS_SECONDS)
        assert (lost.state, lost.verdict) == (VerificationState.LOST, None)
        assert job in lost.message
        assert not list(find_processes(*GUEST))
        again = await verifier.start(request, CLAIMS)
        assert again.state is VerificationState.RUNNING
        seen(installed, *GUEST)
    installed.kubectl("delete", "job", job, "--cascade=foreground")


async def test_a_verification_that_outlasts_its_deadline_is_lost(
    installed: Installation, kernel: KernelBundle
) -> None:
    hasty = installed.settings.model_copy(update={"deadline_seconds": DEADLINE_SECONDS})
    async with asking(installed, hasty) as verifier:
        started = await verifier.start(library_request("simple_fifo", kernel), CLAIMS)
        seen(installed, *GUEST)
        lost = await ended(verifier, started.id, timeout_seconds=STARTS_SECONDS)
        assert (lost.state, lost.verdict) == (VerificationState.LOST, None)
        assert "deadline" in lost.message
        assert not list(find_processes(*GUEST))
