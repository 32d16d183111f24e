"""Figures from Prometheus. The only module that asks it."""

import asyncio
import json
import math
from datetime import datetime
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Protocol

import httpx

from schedcp_api import metrics
from schedcp_api.policies import BuiltinMetric, MetricSource

from .bodies import PLAIN, is_plain, read_body
from .errors import PrometheusUnavailable, Refused, SettingsError

__all__ = ["MAX_ANSWER_BYTES", "Figures", "Prometheus", "query_of"]

MAX_ANSWER_BYTES = 64 * 1024
"""Every question asks for one value, whose labels and warnings are far from taking this."""


class Figures(Protocol):
    """Where figures come from."""

    async def ping(self) -> None:
        """Raise PrometheusUnavailable unless it answers."""

    async def value(
        self, metric: MetricSource, *, policy: str, node: str, start: datetime, end: datetime
    ) -> float | None:
        """Return the figure of one node between two times, or None when there is no data."""

    async def scrapes(self, *, start: datetime, end: datetime) -> int | None:
        """Return how often the target that is scraped most was scraped between two times.

        Scrapes that nobody answered count as well. None: that cannot be told.
        """


def query_of(metric: MetricSource, *, policy: str, node: str, seconds: int) -> str:
    """Return the PromQL for a figure over the `seconds` before the time of evaluation."""
    if metric.prometheus is not None:
        query = metric.prometheus.query
        return query.replace("$node", node).replace("$window", f"{seconds}s")
    target = f'{{node="{node}",policy="{policy}",role="target"}}[{seconds}s]'
    neighbour = f'{{node="{node}",policy="{policy}",role="neighbour"}}[{seconds}s]'
    latency = f"sum by (le) (increase({metrics.WAKEUP_LATENCY}_bucket{target}))"
    queries = {
        BuiltinMetric.WAKEUP_LATENCY_P50: f"histogram_quantile(0.5, {latency})",
        BuiltinMetric.WAKEUP_LATENCY_P99: f"histogram_quantile(0.99, {latency})",
        BuiltinMetric.CPU_PRESSURE: _slope(f"{metrics.CPU_PRESSURE}{target}"),
        BuiltinMetric.NEIGHBOUR_CPU_PRESSURE: _slope(f"{metrics.CPU_PRESSURE}{neighbour}"),
        BuiltinMetric.NEIGHBOUR_CPU_TIME: _slope(f"{metrics.CPU_TIME}{neighbour}"),
    }
    if metric.builtin is None:
        raise ValueError("a metric is either builtin or a query")
    return queries[metric.builtin]


def _slope(counter: str) -> str:
    """Return the PromQL for a counter's growth per second, between the readings that there are.

    `rate` takes what is missing at a window's ends for time in which nothing happened, and in a
    window of a few seconds a single late reading would look like a loss. A counter that began anew
    has no slope, and so no figure.
    """
    return f"sum(deriv({counter}) and resets({counter}) == 0)"


class Prometheus:
    """Prometheus' HTTP interface; every answer has a deadline as a whole, and a longest length."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        ca_file: Path | None = None,
        token_file: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._name = str(httpx.URL(url.rstrip("/")).copy_with(username=None, password=None))
        """The address in messages, which end in logs and statuses: without a password."""
        verify: SSLContext | bool = True
        if ca_file is not None:
            try:
                verify = create_default_context(cafile=str(ca_file))
            except OSError as err:  # SSLError is one
                raise SettingsError(
                    f"cannot trust {self._name} with {ca_file}: {err}; put a PEM certificate there,"
                    " or name another file in SCHEDCP_OPERATOR_PROMETHEUS_CA_FILE"
                ) from err
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            timeout=timeout_seconds,
            verify=verify,
            headers=PLAIN,
            trust_env=False,
            transport=transport,
        )
        self._timeout_seconds = timeout_seconds
        self._token_file = token_file

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def ping(self) -> None:
        """Raise PrometheusUnavailable unless it answers a question."""
        await self._ask("vector(1)", None)

    async def value(
        self, metric: MetricSource, *, policy: str, node: str, start: datetime, end: datetime
    ) -> float | None:
        """Return the figure of one node between two times, or None when there is no data."""
        query = query_of(metric, policy=policy, node=node, seconds=_seconds(start, end))
        found = await self._ask(query, end)
        return found if found is not None and math.isfinite(found) else None

    async def scrapes(self, *, start: datetime, end: datetime) -> int | None:
        """Return how often the target that is scraped most was scraped between two times.

        Prometheus itself writes `up` for each scrape, also of a target that does not answer.
        """
        try:
            found = await self._ask(f"max(count_over_time(up[{_seconds(start, end)}s]))", end)
        except Refused:  # Somebody in between allows the policies' queries only.
            return None
        return int(found) if found is not None else 0

    def _credentials(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}
        except OSError as err:
            raise PrometheusUnavailable(
                f"the token for {self._name} cannot be read: {err}"
            ) from err

    async def _ask(self, query: str, at: datetime | None) -> float | None:
        form = {"query": query}
        if at is not None:
            form["time"] = f"{at.timestamp():.3f}"
        status, body = await self._answer(form)
        said = body.decode(errors="replace")
        if status in (400, 422):
            raise Refused(f"Prometheus refuses {query!r}: {said[:500]}")
        if status != 200:
            raise PrometheusUnavailable(f"{self._name}: status {status}: {said[:200]}")
        return _single(body, query)

    async def _answer(self, form: dict[str, str]) -> tuple[int, bytes]:
        """Return status and body; a body that is too long is cut off one byte later."""
        headers = self._credentials()
        where = self._name
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._client.stream("POST", "/api/v1/query", data=form, headers=headers) as found,
            ):
                if not is_plain(found.headers):
                    raise PrometheusUnavailable(f"{where}: a compressed answer was not asked for")
                body = await read_body(found.aiter_bytes(), limit=MAX_ANSWER_BYTES)
                return found.status_code, body
        except httpx.HTTPError as err:
            raise PrometheusUnavailable(f"{where}: {type(err).__name__}: {err}") from err
        except TimeoutError as err:
            raise PrometheusUnavailable(
                f"{where}: no whole answer within {self._timeout_seconds:g} s"
            ) from err


def _seconds(start: datetime, end: datetime) -> int:
    """Return the length of a window; its first reading is at `start`."""
    return max(1, math.ceil((end - start).total_seconds()))


def _single(body: bytes, query: str) -> float | None:
    """Return the one value of an answer; more than one series is a wrong query, not a figure."""
    # What does not even begin like an answer is somebody else's, a proxy's page for instance.
    if len(body) > MAX_ANSWER_BYTES and body.lstrip().startswith(b"{"):
        raise Refused(
            f"{query!r} gives more than {MAX_ANSWER_BYTES} bytes instead of one value: it must"
            " give one series for each node; select by $node, and aggregate, as with sum()"
        )
    try:
        result = json.loads(body)["data"]["result"]
        values = [float(series["value"][1]) for series in result]
    except (ValueError, KeyError, TypeError, IndexError) as err:
        raise PrometheusUnavailable(f"the answer to {query!r} is not an instant vector") from err
    if len(values) > 1:
        raise Refused(
            f"{query!r} gives {len(values)} series: it must give one for each node;"
            " select by $node, and aggregate, as with sum()"
        )
    return values[0] if values else None
