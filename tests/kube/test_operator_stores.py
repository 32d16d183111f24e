"""The Redis store against a real server, and the verifier's Job against a real API server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schedcp_api.base import digest_of
from schedcp_lab.control_plane import ControlPlane
from schedcp_lab.processes import Process, ProcessSpec, Supervisor
from schedcp_operator.errors import StoreUnavailable
from schedcp_operator.job_verifier import job_manifest
from schedcp_operator.settings import JobSettings
from schedcp_operator.store_redis import RedisStore
from support.api_server import NAMESPACES, api_client
from support.operator_library import manifest
from support.operator_nouns import job_run, lesson

RESTRICTED = "schedcp-restricted"


@contextmanager
def redis(folder: Path) -> Iterator[tuple[str, Process]]:
    """A Redis on a unix socket."""
    socket = folder / "redis.sock"
    argv = ("redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "")
    spec = ProcessSpec(
        "redis", (*argv, "--dir", str(folder), "--daemonize", "no"), folder / "redis.log"
    )
    with Supervisor() as supervisor:
        process = supervisor.start(spec)
        process.wait_ready(socket.exists, timeout_seconds=60)
        yield f"unix://{socket}", process


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Process]]:
    """A Redis of this test's own."""
    with redis(tmp_path) as started:
        yield started


async def test_what_one_replica_keeps_another_finds(server: tuple[str, Process]) -> None:
    first, second = RedisStore(server[0]), RedisStore(server[0])
    digest = await first.put_blob(b"bytes")
    assert await second.get_blob(digest) == b"bytes"
    assert await second.get_blob(digest_of(b"other")) is None
    both = (lesson(1), lesson(2))
    assert await first.add_lessons(both) == await second.add_lessons(both)
    assert {found.run for found in await second.lessons()} == {"run-1", "run-2"}
    runs = (job_run(1), job_run(2))
    await first.add_job_runs(runs)
    await first.add_job_runs(runs[:1])
    assert await second.job_runs() == runs[::-1]
    source = await first.add_source(manifest("mine"), "int x;")
    assert (await second.sources())["mine"].source_digest == source
    assert await second.source(source) == "int x;"
    for store in (first, second):
        await store.close()


async def test_a_redis_that_is_gone_is_a_temporary_trouble(server: tuple[str, Process]) -> None:
    store = RedisStore(server[0])
    await store.put_blob(b"bytes")
    server[1].kill()
    with pytest.raises(StoreUnavailable, match="Redis"):
        await store.get_blob(digest_of(b"bytes"))
    await store.close()


def test_the_jobs_pod_is_admitted_where_pods_are_restricted(
    kube: ControlPlane, tmp_path: Path
) -> None:
    settings = JobSettings(image="registry.example/verifier:1", service_account="verifier")
    job = job_manifest("schedcp-verify-x", settings)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with api_client(kube.kubeconfig, tmp_path / "client") as api:
        namespace = {"apiVersion": "v1", "kind": "Namespace"}
        api.ensure(NAMESPACES, {**namespace, "metadata": {"name": RESTRICTED, "labels": labels}})
        root = f"/api/v1/namespaces/{RESTRICTED}"
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "verifier"}}
        api.ensure(f"{root}/serviceaccounts", account)
        strict = {"dryRun": "All", "fieldValidation": "Strict"}
        jobs = f"/apis/batch/v1/namespaces/{RESTRICTED}/jobs"
        assert api.request("POST", jobs, job, params=strict)["spec"]["backoffLimit"] == 0
        template = job["spec"]["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
        made = api.request(
            "POST",
            f"{root}/pods",
            {**pod, "metadata": {**template["metadata"], "name": "x"}},
            params=strict,
        )
    volumes = {volume["name"] for volume in made["spec"]["volumes"]}
    assert volumes == {"request", "signing", "revoked", "handover", "tmp"}
