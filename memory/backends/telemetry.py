"""OpenTelemetry of the Firestore engine: a span and metrics for each call. It needs only OpenTelemetry's API.

Names follow the semantic conventions of databases, version 1.41.1 (stable). Texts, ids and values are never recorded.
Nothing is imported or recorded before the project has configured OpenTelemetry's SDK.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from . import clock

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, Meter
    from opentelemetry.trace import Tracer

SDK: Final = "opentelemetry.sdk"
LOOK_UP_SECONDS: Final = 1.0
PROXIES: Final = ("ProxyTracerProvider", "_ProxyMeterProvider")
"""What OpenTelemetry's API returns until a provider is set."""
SCHEMA: Final = "https://opentelemetry.io/schemas/1.41.1"
SYSTEM: Final = "gcp.firestore"
LANE, READ, WRITTEN, RETRIED = (
    "memory.firestore.lane",
    "memory.firestore.documents_read",
    "memory.firestore.documents_written",
    "memory.firestore.retried",
)
READS: Final = frozenset({"GetDocument", "BatchGetDocuments", "RunQuery", "RunAggregationQuery"})
MISSING: Final = ("GetDocument", "NOT_FOUND")
"""A document that does not exist, which is no failure."""
# Seconds; those that the conventions advise for databases.
BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)


def is_active() -> bool:
    """Whether the process has configured OpenTelemetry's SDK. Without it the API records nothing."""
    return SDK in sys.modules and is_configured()


def is_configured() -> bool:
    """Whether there is a provider of traces or of metrics: looked up once a second, until there is one."""
    return _provider.is_set or _provider.is_found_now()


class _Provider:
    """Whether a provider is set. OpenTelemetry's own look-up takes 10 microseconds without one."""

    def __init__(self) -> None:
        self.is_set = False
        self._next = 0.0

    def is_found_now(self) -> bool:
        now = clock.monotonic()
        if now >= self._next:
            self._next = now + LOOK_UP_SECONDS
            from opentelemetry import metrics, trace  # only where the SDK is loaded

            found = (trace.get_tracer_provider(), metrics.get_meter_provider())
            self.is_set = any(type(provider).__name__ not in PROXIES for provider in found)
        return self.is_set


_provider = _Provider()


@cache
def tracer() -> Tracer:
    """The tracer of the package."""
    from opentelemetry import trace  # only where the SDK is used

    return trace.get_tracer("memory", schema_url=SCHEMA)


@cache
def meter() -> Meter:
    """The meter of the package."""
    from opentelemetry import metrics  # only where the SDK is used

    return metrics.get_meter("memory", schema_url=SCHEMA)


@dataclass(frozen=True)
class Instruments:
    """The metrics of the engine."""

    duration: Histogram
    read: Counter
    written: Counter
    retries: Counter


@cache
def instruments() -> Instruments:
    """The metrics, made at the first call."""
    made = meter()
    return Instruments(
        made.create_histogram(
            "db.client.operation.duration", "s", "Duration of calls.", explicit_bucket_boundaries_advisory=BOUNDS
        ),
        made.create_counter(READ, "{document}", "Documents that calls read."),
        made.create_counter(WRITTEN, "{document}", "Documents that calls wrote."),
        made.create_counter("memory.firestore.retries", "{retry}", "Calls and transactions that were tried again."),
    )


def record_call(call: Any, lane: str, database: str) -> None:
    """A span and metrics of a call to Firestore that has ended. `call` is an `Rpc` of the engine."""
    from opentelemetry.trace import SpanKind, Status, StatusCode  # only where the SDK is used

    end = time.time_ns()
    common: dict[str, Any] = {
        "db.system.name": SYSTEM,
        "db.namespace": database,
        "db.operation.name": call.method,
        LANE: lane,
    }
    if call.method in READS:
        common["db.collection.name"] = call.description.partition(":")[0]
    failed = call.error and (call.method, call.error) != MISSING
    if failed:
        common |= {"db.response.status_code": call.error, "error.type": call.error}
    counted: dict[str, Any] = {READ: call.documents_read, WRITTEN: call.documents_written}
    span = tracer().start_span(
        call.method, kind=SpanKind.CLIENT, attributes=common | counted, start_time=end - int(call.seconds * 1e9)
    )
    if failed:
        span.set_status(Status(StatusCode.ERROR))
    span.end(end)
    made = instruments()
    made.duration.record(call.seconds, common)
    if call.documents_read:
        made.read.add(call.documents_read, common)
    if call.documents_written:
        made.written.add(call.documents_written, common)


def record_retry(retried: str) -> None:
    """A call or a transaction is tried again: `retried` is "call" or "transaction"."""
    if is_active():
        instruments().retries.add(1, {"db.system.name": SYSTEM, RETRIED: retried})
