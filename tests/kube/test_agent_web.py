"""The agent's HTTP over real TLS, against servers that are wrong, endless or slow."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest

from schedcp_agent import web as webs
from schedcp_agent.blobs import ObjectCache, OperatorBlobs
from schedcp_agent.errors import CorruptBlob, RequestFailed
from schedcp_agent.web import Web
from schedcp_api.base import digest_of
from schedcp_lab.certificates import Authority
from support.agent import OBJECT, ImmediateExecutor

DIGEST = digest_of(OBJECT)
Answer = Callable[[BaseHTTPRequestHandler], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Answer
    over: threading.Event


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        try:
            self.server.answer(self)
        except OSError:
            return  # the agent hangs up in the middle, as it should

    do_PATCH = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Server]:
    """An HTTPS server; the test says what it answers."""
    now = datetime.now(UTC)
    authority = Authority.create("test", now=now)
    authority.issue_server("operator", ("127.0.0.1",), now=now).write(tmp_path, "tls")
    (tmp_path / "ca.crt").write_text(authority.pem)
    (tmp_path / "token").write_text("secret")
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    made = _Server(("127.0.0.1", 0), _Handler)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    made.over = threading.Event()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.over.set()
    made.shutdown()
    made.server_close()
    thread.join(30)


@pytest.fixture
def web(server: _Server, tmp_path: Path) -> Iterator[Web]:
    """The agent's side."""
    with Web(
        f"https://127.0.0.1:{server.server_address[1]}",
        ca_file=tmp_path / "ca.crt",
        token_file=tmp_path / "token",
        timeout_seconds=1.0,
    ) as made:
        yield made


def body(data: bytes, status: int = 200) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def endless(handler: BaseHTTPRequestHandler, *, status: int = 200) -> None:
    handler.send_response(status)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65536)


def trickle(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.over.wait(0.2):  # type: ignore[attr-defined]
        handler.wfile.write(b"x")
        handler.wfile.flush()


def test_an_object_with_its_digest(server: _Server, web: Web) -> None:
    server.answer = body(OBJECT)
    assert OperatorBlobs(web).get(DIGEST) == OBJECT


def test_other_bytes_are_never_kept(server: _Server, web: Web, tmp_path: Path) -> None:
    server.answer = body(OBJECT[:-1] + b"!")
    with pytest.raises(CorruptBlob, match=f"for {DIGEST}"):
        OperatorBlobs(web).get(DIGEST)
    cache = ObjectCache(OperatorBlobs(web), tmp_path / "objects", ImmediateExecutor())
    cache.request(DIGEST)
    cache.collect()
    assert (cache.present, cache.failures[DIGEST].reason) == (frozenset(), "CorruptObject")
    assert list((tmp_path / "objects").iterdir()) == []


@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_answer_is_cut_off(server: _Server, web: Web, status: int) -> None:
    server.answer = lambda handler: endless(handler, status=status)
    with pytest.raises(RequestFailed, match="longer than"):
        web.get("/x", limit=100_000)
    with pytest.raises(RequestFailed, match="longer than"):
        web.send("PATCH", "/x", body=b"{}", content_type="application/json")


def test_an_endless_line_is_cut_off(server: _Server, web: Web) -> None:
    server.answer = endless
    with pytest.raises(RequestFailed, match="a line is longer than"):
        list(web.lines("/x", params={}, silence_seconds=5.0))


def test_an_answer_that_trickles_ends(
    server: _Server, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webs, "_TOTAL_PART", 2.0)
    server.answer = trickle
    started = time.monotonic()
    with pytest.raises(RequestFailed, match="takes too long"):
        web.get("/x", limit=100_000)
    assert time.monotonic() - started < 20


def test_lines_arrive_whole(server: _Server, web: Web) -> None:
    server.answer = body('{"a": "\u2028"}\n\n{"b": 2}\nrest'.encode())
    lines = list(web.lines("/x", params={}, silence_seconds=5.0))
    assert lines == ['{"a": "\u2028"}'.encode(), b'{"b": 2}', b"rest"]
