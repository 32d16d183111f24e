"""Prometheus, the verifier's client, and the HTTP interface, without a network."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from schedcp_api.base import digest_of
from schedcp_api.policies import BuiltinMetric, MetricSource, PrometheusQuery
from schedcp_api.services import MAX_BLOB_BYTES, TOKEN_AUDIENCE, TokenRequest
from schedcp_api.tokens import TokenClaims
from schedcp_operator.errors import (
    KubeUnavailable,
    NotFound,
    PrometheusUnavailable,
    Refused,
    SettingsError,
    StoreUnavailable,
    VerifierUnavailable,
)
from schedcp_operator.prometheus import MAX_ANSWER_BYTES, Prometheus, query_of
from schedcp_operator.server import TokenReviewer, application
from schedcp_operator.verifier_client import SocketVerifier
from support.operator_doubles import MemoryKube, MemoryStore
from support.operator_nouns import NOW

AGENT = "system:serviceaccount:schedcp-system:schedcp-agent"


@pytest.mark.parametrize("metric", list(BuiltinMetric))
def test_every_builtin_metric_has_a_query_for_one_node(metric: BuiltinMetric) -> None:
    query = query_of(MetricSource(builtin=metric), policy="checkout", node="node-1", seconds=60)
    side = "neighbour" if "Neighbour" in metric else "target"
    assert f'{{node="node-1",policy="checkout",role="{side}"}}[60s]' in query


def test_a_users_query_is_filled_in() -> None:
    metric = MetricSource(prometheus=PrometheusQuery(query='rate(x{node="$node"}[$window])'))
    query = query_of(metric, policy="p", node="node-1", seconds=8)
    assert query == 'rate(x{node="node-1"}[8s])'


def prometheus(answer: Any, *, status: int = 200) -> Prometheus:
    """A Prometheus that always gives this answer."""

    def handle(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(status, json=answer)

    return Prometheus("http://p", timeout_seconds=1, transport=httpx.MockTransport(handle))


def vector(*values: str) -> dict[str, Any]:
    """An instant vector."""
    return {"data": {"result": [{"value": [0, value]} for value in values]}}


async def value_of(client: Prometheus) -> float | None:
    """The client's figure for some block."""
    metric = MetricSource(builtin=BuiltinMetric.CPU_PRESSURE)
    return await client.value(
        metric, policy="p", node="n", start=NOW, end=NOW + timedelta(seconds=8)
    )


@pytest.mark.parametrize(
    ("answer", "value"),
    [(vector("0.25"), 0.25), (vector(), None), (vector("NaN"), None), (vector("+Inf"), None)],
)
async def test_figures(answer: Any, value: float | None) -> None:
    assert await value_of(prometheus(answer)) == value


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (httpx.ConnectError("refused"), 200, PrometheusUnavailable),
        (httpx.ReadTimeout("slow"), 200, PrometheusUnavailable),
        ({}, 503, PrometheusUnavailable),
        ({"data": 1}, 200, PrometheusUnavailable),
        ({"error": "parse error"}, 400, Refused),
        (vector("1", "2"), 200, Refused),
    ],
)
async def test_no_figures(answer: Any, status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        await value_of(prometheus(answer, status=status))


@pytest.mark.parametrize(
    ("answer", "status", "scrapes"),
    [
        (vector("8"), 200, 8),
        (vector(), 200, 0),
        ({"error": "only queries of a tenant"}, 400, None),
    ],
)
async def test_scrapes(answer: Any, status: int, scrapes: int | None) -> None:
    client = prometheus(answer, status=status)
    assert await client.scrapes(start=NOW, end=NOW + timedelta(seconds=8)) == scrapes


class Body:
    """A body that goes on for as long as it is read, or stops coming after its first chunk."""

    def __init__(self, first: bytes, *, stops: bool = False) -> None:
        self._first = first
        self.stops = stops
        self.taken = 0

    def __call__(self, _: httpx.Request) -> httpx.Response:
        """The answer."""
        return httpx.Response(200, content=self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield self._first
        if self.stops:
            await asyncio.Event().wait()
        while True:
            self.taken += 1024
            yield bytes(1024)


def deadline_seconds(answer: object) -> float:
    """A short deadline where one is met, and none that matters elsewhere."""
    return 0.05 if isinstance(answer, Body) and answer.stops else 30.0


def compressed(_: httpx.Request) -> httpx.Response:
    """An answer that is small until somebody unpacks it."""
    content = gzip.compress(bytes(1 << 20))
    return httpx.Response(200, content=content, headers={"Content-Encoding": "gzip"})


def series(count: int) -> bytes:
    """The answer to a query that selects everything."""
    one = b'{"metric":{"__name__":"up","node":"n"},"value":[0,"1"]}'
    return b'{"status":"success","data":{"result":[' + b",".join([one] * count) + b"]}}"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Body(b'{"status":'), Refused, "more than 65536 bytes instead of one value: it must give"),
        (Body(b"<html>"), PrometheusUnavailable, "not an instant vector"),
        (Body(b'{"status":', stops=True), PrometheusUnavailable, "no whole answer within 0.05 s"),
        (lambda _: httpx.Response(200, content=series(100_000)), Refused, "more than 65536 bytes"),
        (lambda _: httpx.Response(200, content=series(2)), Refused, "gives 2 series: it must give"),
        (compressed, PrometheusUnavailable, "compressed"),
    ],
    ids=["endless", "somebody else's", "trickling", "every series", "two series", "compressed"],
)
async def test_answers_to_queries_are_bounded(
    answer: Callable[[httpx.Request], httpx.Response], error: type[Exception], words: str
) -> None:
    transport = httpx.MockTransport(answer)
    client = Prometheus("http://p", timeout_seconds=deadline_seconds(answer), transport=transport)
    with pytest.raises(error, match=words):
        await value_of(client)
    if isinstance(answer, Body):
        assert answer.taken <= MAX_ANSWER_BYTES + 1024


async def test_a_value_with_labels_and_warnings_fits() -> None:
    labels = {f"label_{number}": "x" * 250 for number in range(64)}
    answer = {
        "data": {"result": [{"metric": labels, "value": [0, "0.5"]}]},
        "warnings": ["x" * 1000] * 10,
    }
    assert await value_of(prometheus(answer)) == 0.5


async def test_a_token_that_is_not_there_is_prometheus_being_unavailable(tmp_path: Path) -> None:
    client = Prometheus("http://prometheus", timeout_seconds=1, token_file=tmp_path / "token")
    with pytest.raises(PrometheusUnavailable, match="cannot be read"):
        await client.ping()
    await client.close()


async def test_no_message_says_the_password_in_an_address(tmp_path: Path) -> None:
    address = "https://user:s3cret@p:9090/at/"

    def failing(problem: httpx.Response | Exception) -> httpx.MockTransport:
        def handle(_: httpx.Request) -> httpx.Response:
            if isinstance(problem, Exception):
                raise problem
            return problem

        return httpx.MockTransport(handle)

    clients = [
        Prometheus(address, timeout_seconds=1, token_file=tmp_path / "token"),
        *(
            Prometheus(address, timeout_seconds=1, transport=failing(problem))
            for problem in (httpx.ConnectError("refused"), TimeoutError(), httpx.Response(503))
        ),
    ]
    for client in clients:
        with pytest.raises(PrometheusUnavailable) as unavailable:
            await client.ping()
        said = str(unavailable.value)
        assert "https://p:9090/at" in said
        assert "s3cret" not in said
        assert "user" not in said
        await client.close()
    with pytest.raises(SettingsError, match=r"cannot trust https://p:9090/at with") as untrusted:
        Prometheus(address, timeout_seconds=1, ca_file=tmp_path / "ca.pem")
    assert "s3cret" not in str(untrusted.value)


def verifier(status: int, content: bytes) -> SocketVerifier:
    """A verifier that always gives this answer."""

    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=content)

    return SocketVerifier(Path("/v.sock"), transport=httpx.MockTransport(handle))


async def test_an_object_must_have_its_digest() -> None:
    good = verifier(200, b"object")
    assert await good.fetch(digest_of(b"object")) == b"object"
    with pytest.raises(Refused, match="does not have that digest"):
        await good.fetch(digest_of(b"another"))


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Body(b"\x7fELF"), Refused, "is longer than 8388608 bytes"),
        (Body(b"\x7fELF", stops=True), VerifierUnavailable, "no whole answer to GET"),
        (
            lambda _: httpx.Response(200, content=bytes(MAX_BLOB_BYTES + 1)),
            Refused,
            "is longer than 8388608 bytes",
        ),
        (compressed, VerifierUnavailable, "compressed"),
    ],
    ids=["endless", "trickling", "too large", "compressed"],
)
async def test_objects_are_bounded(
    answer: Callable[[httpx.Request], httpx.Response], error: type[Exception], words: str
) -> None:
    transport = httpx.MockTransport(answer)
    client = SocketVerifier(
        Path("/v.sock"), timeout_seconds=deadline_seconds(answer), transport=transport
    )
    with pytest.raises(error, match=words):
        await client.fetch(digest_of(b"object"))
    if isinstance(answer, Body):
        assert answer.taken <= MAX_BLOB_BYTES + 1024


@pytest.mark.parametrize(
    ("status", "content", "error", "words"),
    [
        (404, b"", NotFound, "does not know"),
        (409, b'{"reason":"NotAccepted","message":"no"}', Refused, "NotAccepted: no"),
        (422, b"<html>", Refused, "422"),
        (503, b'{"reason":"Busy","message":"wait"}', VerifierUnavailable, "Busy: wait"),
        (200, b"{}", VerifierUnavailable, "is no TokenReply"),
    ],
)
async def test_a_verifier_that_does_not_sign(
    status: int, content: bytes, error: type[Exception], words: str
) -> None:
    request = TokenRequest(
        verification=digest_of(b"v"), claims=TokenClaims(run="r", nodes=("node-1",))
    )
    with pytest.raises(error, match=words):
        await verifier(status, content).sign(request)


async def test_a_verifier_that_does_not_run() -> None:
    client = SocketVerifier(Path("/nonexistent/v.sock"), timeout_seconds=1)
    with pytest.raises(VerifierUnavailable, match="does the verifier run"):
        await client.keys()
    await client.close()


class Users:
    """Who each token belongs to; an exception is raised."""

    def __init__(self, **users: str | Exception) -> None:
        self._users = users

    async def user_of(self, token: str) -> str | None:
        """The user."""
        found = self._users.get(token)
        if isinstance(found, Exception):
            raise found
        return found


def served(store: MemoryStore, *, problem: str = "") -> httpx.AsyncClient:
    """The application, asked in process."""
    users = Users(agent=AGENT, other="system:anonymous", down=KubeUnavailable("gone"))
    app = application(
        store, users, agent=AGENT, registry=CollectorRegistry(), not_ready=lambda: problem
    )
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://operator")


PATH = f"/v1/blobs/{digest_of(b'data')}"
REQUESTS: list[tuple[str, str, bytes, int, str]] = [
    ("", PATH, b"data", 401, "NoToken"),
    ("Basic agent", PATH, b"data", 401, "NoToken"),
    ("Bearer nobody", PATH, b"data", 401, "BadToken"),
    ("Bearer other", PATH, b"data", 403, "WrongUser"),
    ("Bearer down", PATH, b"data", 503, "CannotAuthenticate"),
    ("Bearer agent", PATH, b"other", 422, "WrongDigest"),
    ("Bearer agent", "/v1/blobs/x", b"data", 422, "WrongDigest"),
    ("Bearer agent", PATH, bytes(MAX_BLOB_BYTES + 1), 413, "TooLarge"),
]


@pytest.mark.parametrize(("header", "path", "data", "status", "reason"), REQUESTS)
async def test_uploads_that_are_refused(
    header: str, path: str, data: bytes, status: int, reason: str
) -> None:
    store = MemoryStore()
    async with served(store) as client:
        answer = await client.put(path, content=data, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert store.blobs == {}


async def test_a_blob_goes_in_and_out() -> None:
    store = MemoryStore()
    headers = {"Authorization": "Bearer agent"}
    async with served(store) as client:
        assert (await client.get(PATH, headers=headers)).status_code == 404
        assert (await client.put(PATH, content=b"data", headers=headers)).status_code == 204
        assert (await client.get(PATH, headers=headers)).content == b"data"
        store.problem = StoreUnavailable("disk")
        assert (await client.get(PATH, headers=headers)).status_code == 503


async def test_health_readiness_and_metrics_need_no_token() -> None:
    async with served(MemoryStore(), problem="not yet") as client:
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "not yet\n")
        assert (await client.get("/metrics")).status_code == 200


class ReviewingKube(MemoryKube):
    """An API server that reviews tokens with a fixed status."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__()
        self._status = status

    async def create(self, resource: Any, body: Any, *, namespace: str = "") -> Any:
        """The review."""
        assert body["spec"] == {"token": "t", "audiences": [TOKEN_AUDIENCE]}
        return {**body, "status": self._status}


@pytest.mark.parametrize(
    ("status", "user"),
    [
        (
            {"authenticated": True, "audiences": [TOKEN_AUDIENCE], "user": {"username": AGENT}},
            AGENT,
        ),
        ({"authenticated": True, "audiences": ["other"], "user": {"username": AGENT}}, None),
        ({"authenticated": True, "user": {"username": AGENT}}, None),
        ({"authenticated": False, "audiences": [TOKEN_AUDIENCE]}, None),
        ({}, None),
    ],
)
async def test_only_tokens_for_our_audience_hold(status: dict[str, Any], user: str | None) -> None:
    assert await TokenReviewer(ReviewingKube(status)).user_of("t") == user
