"""What `/metrics` shows: requests counted as they are answered, and what waits to be done, read when asked."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recoup.engine.house import House
from recoup.store import reads
from recoup.store.engines import reading

MEDIA_TYPE = "text/plain; version=0.0.4"
_GAUGES = {
    "cases_due": "Cases whose alarm has rung and that nobody has taken yet.",
    "oldest_case_s": "How long the oldest due case has been due, in seconds.",
    "inbox_waiting": "Webhooks stored and not read yet.",
    "oldest_webhook_s": "How long the oldest unread webhook has been due, in seconds.",
    "inbox_parked": "Webhooks that wait for the debt they speak of.",
    "outbox_waiting": "Messages and endings that are due and not carried out yet.",
    "oldest_message_s": "How long the oldest of them has been due, in seconds.",
    "resting_accounts": "Provider accounts that rest after an outage.",
    "workers_alive": "Workers whose heart beats.",
}


class Measures:
    """The counters of one app. Nothing is told apart by customer, case or merchant."""

    def __init__(self, house: House) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Pressure(house))
        self._requests = Counter(
            "recoup_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "recoup_http_seconds", "Time to answer an operation of the JSON API or a webhook.", ["route"],
            registry=self._registry, buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )  # fmt: skip

    def counted(self, method: str, route: str, status: int) -> None:
        """One more answered request."""
        self._requests.labels(method, route, str(status)).inc()

    def took(self, route: str, seconds: float) -> None:
        """How long an answer took."""
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)

    async def on_send(self, message: Any, scope: Any) -> None:
        """Counts an answer as its first message leaves."""
        if message["type"] == "http.response.start":
            route = scope.get("path_template") or "other"
            self.counted(scope.get("method", "?"), route, message["status"])


class _Pressure(Collector):
    def __init__(self, house: House) -> None:
        self._house = house

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked of the database before the first scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        try:
            with reading(self._house.db) as tx:
                found = reads.pressure(tx, self._house.clock.now())
        except sa.exc.SQLAlchemyError:
            yield GaugeMetricFamily("recoup_database_up", "Whether the database answers.", value=0)
            return
        yield GaugeMetricFamily("recoup_database_up", "Whether the database answers.", value=1)
        for name, says in _GAUGES.items():
            named = name.replace("_s", "_seconds") if name.endswith("_s") else name
            yield GaugeMetricFamily(f"recoup_{named}", says, value=getattr(found, name))
