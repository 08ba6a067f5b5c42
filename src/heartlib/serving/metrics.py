"""What a server counts, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heartlib.serving.service import Service

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)


class ServiceState(Collector):
    """The state of a service at the moment that it is asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """One metric after another."""
        dispatcher = self._service.dispatcher
        gauges = {
            "heartlib_songs_waiting": ("Songs that wait", len(dispatcher.queue)),
            "heartlib_songs_singing": ("Songs that are made now", dispatcher.singing),
            "heartlib_worker_running": (
                "Whether models are loaded",
                dispatcher.worker_pid is not None,
            ),
            "heartlib_worker_memory_bytes": ("Of the worker", memory_of(dispatcher.worker_pid)),
            "heartlib_server_memory_bytes": ("Of the server", memory_of("self")),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value=value)
        ended = CounterMetricFamily("heartlib_songs_ended", "By how they ended", labels=["status"])
        for status, count in dispatcher.finished.items():
            ended.add_metric([status], count)
        yield ended
        seconds, deaths = dispatcher.seconds_made, dispatcher.deaths
        yield CounterMetricFamily("heartlib_song_seconds", "Seconds of song made", value=seconds)
        yield CounterMetricFamily("heartlib_worker_deaths", "Workers that died", value=deaths)


class Metrics:
    """A registry of its own: two servers in one process count apart."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(ServiceState(service))
        self.requests = Counter(
            "heartlib_requests", "Answers", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "heartlib_request_seconds",
            "Until an answer begins",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All metrics in Prometheus' form."""
        return generate_latest(self.registry)


class Counted:
    """An ASGI application before another one, which counts its answers."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._metrics.requests.labels(method, route, message["status"]).inc()
                self._metrics.seconds.labels(route).observe(time.perf_counter() - start)
            await send(message)

        await self._app(scope, receive, count)


METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH")


def memory_of(process: int | str | None) -> int:
    """Bytes that a process holds, 0 where that cannot be told."""
    if process is None:
        return 0
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(x.split()[1]) * 1024 for x in status.splitlines() if x[:6] == "VmRSS:"), 0)
