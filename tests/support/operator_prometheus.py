"""A Prometheus that knows the fake agents' blocks."""

import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from schedcp_api.nodestates import Arm

from .operator_fakes import Behaviour


class _PrometheusHandler(http.server.BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        if not self.behaviour.prometheus_up:
            self.send_response(503)
            self.end_headers()
            return
        value = _figure(self.behaviour, form["query"], form.get("time"))
        result = [{"metric": {}, "value": [0, repr(value)]}]
        data = {"status": "success", "data": {"resultType": "vector", "result": result}}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(data).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


def _figure(behaviour: Behaviour, query: str, at: str | None) -> float:
    """The objective of a node in the window that ends at `at`, a little noisy."""
    node = re.search(r'node="([^"]+)"', query)
    if node is None or at is None:
        return 1.0
    end = datetime.fromtimestamp(float(at), UTC) - timedelta(milliseconds=100)
    noise = 1 + (hash(end) % 100) / 10_000
    for start, stop, arm in behaviour.intervals.get(node[1], []):
        if start <= end <= stop:
            return noise * (behaviour.on if arm is Arm.ON else 1.0)
    return noise


@contextmanager
def fake_prometheus(behaviour: Behaviour) -> Iterator[str]:
    """A Prometheus that knows the fake agents' blocks; yields its URL."""
    handler = type("Handler", (_PrometheusHandler,), {"behaviour": behaviour})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(timeout=30)
