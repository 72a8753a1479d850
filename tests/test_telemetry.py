"""OpenTelemetry by the real SDK: spans and metrics of operations, without texts, and nothing without the SDK."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from memory import telemetry, usage
from memory.backends import telemetry as engine
from memory.backends.firestore.query.plan import Rpc
from memory.history import recent
from memory.models import AgentData, MemoryItem, UserSession
from tests.counting import calls_of
from tests.docs.snippets import below

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

SECRET = "zeppelin"


@dataclass(frozen=True)
class Recorded:
    """What the SDK exports."""

    exporter: Any
    reader: Any

    def spans(self, prefix: str = "") -> list[Any]:
        """The spans that have ended, with names that begin so."""
        return [span for span in self.exporter.get_finished_spans() if span.name.startswith(prefix)]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


CACHED = (engine.tracer, engine.meter, engine.instruments, telemetry.instruments)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """The SDK with exporters in memory, for this test only."""
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    traces, metrics = TracerProvider(), MeterProvider([reader])
    traces.add_span_processor(SimpleSpanProcessor(exporter))
    for function in CACHED:
        function.cache_clear()
    # The global providers can be set only once in a process.
    monkeypatch.setattr("opentelemetry.trace.get_tracer", traces.get_tracer)
    monkeypatch.setattr("opentelemetry.metrics.get_meter", metrics.get_meter)
    monkeypatch.setattr(engine, "is_configured", lambda: True)
    yield Recorded(exporter, reader)
    for function in CACHED:
        function.cache_clear()
    traces.shutdown()
    metrics.shutdown()


def write() -> MemoryItem:
    """One of each write."""
    item = MemoryItem.objects.create(user_id="ada", item_type="m", text_content=f"A {SECRET}.")
    item.text_content = f"Another {SECRET}."
    item.save()
    MemoryItem.objects.bulk_create([MemoryItem(user_id="ada", item_type="m", text_content=SECRET) for _ in range(3)])
    return item


def test_spans_of_writes(recorded: Recorded) -> None:
    """Named by operation and store, with the number of records."""
    item = write()
    item.delete()
    MemoryItem.objects.filter(user_id="ada").delete()
    AgentData.objects.create(agent_id="ada", data_type="d")
    spans = [span.attributes for span in recorded.spans() if telemetry.OPERATION in span.attributes]
    operations = [(found[telemetry.OPERATION], found[telemetry.COUNT]) for found in spans]
    assert operations == [
        ("create_memory", 1), ("update_memory", 1), ("create_memory", 3), ("delete_memory", 1), ("delete_memory", 3),
        ("create_memory", 1),
    ]  # fmt: skip
    assert {span.name for span in recorded.spans("create")} == {"create_memory memory"}
    durations = recorded.points("gen_ai.client.operation.duration")
    assert sum(point.count for point in durations) == len(operations)


def test_spans_of_searches(recorded: Recorded) -> None:
    """With the number of results; an error has its class, without the message."""
    write()
    MemoryItem.objects.search(SECRET, user_id="ada", limit=2)
    with pytest.raises(ValueError, match="limit"):
        MemoryItem.objects.search(SECRET, user_id="ada", limit=0)
    found, failed = recorded.spans("search_memory")
    assert found.attributes[telemetry.COUNT] in (1, 2)
    assert found.attributes[telemetry.PROVIDER_NAME] == telemetry.PROVIDER
    assert found.status.is_unset
    assert failed.attributes["error.type"] == "ValueError"
    assert (failed.status.is_ok, failed.status.description, failed.events) == (False, None, ())


def test_spans_of_sessions(recorded: Recorded) -> None:
    """Of their rows and of reads of their history; neither the session nor the user is named."""
    session = UserSession.objects.create(user_id="ada", session_id=SECRET)
    session.metadata = {"title": SECRET}
    session.save()
    MemoryItem.objects.create(user_id="ada", session_id=SECRET, item_type="m", text_content=SECRET)
    recent("ada", SECRET, 5)
    UserSession.objects.filter(user_id="ada").update(metadata={})
    UserSession.objects.bulk_create([UserSession(user_id="ada", session_id="other")])
    session.delete()
    UserSession.objects.filter(user_id="ada").delete()
    spans = [span for span in recorded.spans() if str(span.attributes.get(telemetry.OPERATION)).endswith("session")]
    assert {(span.attributes[telemetry.OPERATION], span.attributes[telemetry.COUNT]) for span in spans} == {
        ("create_session", 1), ("update_session", 1), ("read_session", 1), ("delete_session", 2), ("delete_session", 1),
    }  # fmt: skip
    assert len(spans) == 7
    assert SECRET not in "".join(span.to_json() for span in recorded.spans())


def test_no_texts_by_default(recorded: Recorded) -> None:
    """Neither in names, nor in attributes, events or metrics."""
    write()
    MemoryItem.objects.search(SECRET, user_id="ada")
    everything = [span.to_json() for span in recorded.spans()]
    assert everything
    assert SECRET not in "".join(everything)
    assert SECRET not in str(recorded.reader.get_metrics_data())


def test_texts_by_setting(recorded: Recorded) -> None:
    """In the attributes of the conventions."""
    write()
    with override_settings(MEMORY={"DATABASE": "memory", "TELEMETRY_CONTENT": True, "INDEX_AFTER": None}):
        MemoryItem.objects.search(SECRET, user_id="ada")
    [span] = recorded.spans("search_memory")
    assert span.attributes["gen_ai.memory.query.text"] == SECRET
    assert SECRET in span.attributes["gen_ai.memory.records"]
    assert '"score"' in span.attributes["gen_ai.memory.records"]


def test_reads_of_the_cache(recorded: Recorded) -> None:
    """Counted by their result."""
    for name in (usage.CACHE_HIT, usage.CACHE_HIT, usage.CACHE_MISS, usage.REQUESTS):
        usage.add(name)
    points = recorded.points("memory.cache.reads")
    assert {point.attributes["memory.cache.result"]: point.value for point in points} == {"hit": 2, "miss": 1}


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_calls_to_firestore(recorded: Recorded) -> None:
    """A span for each, inside that of the operation, with lane and documents."""
    if connections["memory"].vendor != "firestore":
        pytest.skip("there are no calls")
    item = MemoryItem.objects.create(user_id="ada", item_type="m", text_content="a")
    list(MemoryItem.objects.filter(user_id="ada"))
    list(MemoryItem.objects.filter(text_content__icontains="A"))
    item.delete()
    calls = [span for span in recorded.spans() if span.attributes.get("db.system.name")]
    native, mirror = [span for span in calls if span.name == "RunQuery"][:2]
    assert native.attributes["db.collection.name"] == "memory_items"
    assert (native.attributes[engine.LANE], mirror.attributes[engine.LANE]) == ("native", "mirror")
    assert native.attributes[engine.READ] == 1
    [create] = recorded.spans("create_memory")
    inside = [span for span in calls if span.parent is not None and span.parent.span_id == create.context.span_id]
    assert sum(span.attributes[engine.WRITTEN] for span in inside) == 1
    assert all(0 <= span.end_time - span.start_time < 10**11 for span in calls)
    assert sum(point.value for point in recorded.points(engine.READ)) == sum(
        span.attributes[engine.READ] for span in calls
    )


def test_calls_and_retries(recorded: Recorded) -> None:
    """Failures have the status of gRPC; a document that does not exist is none."""
    for error in (None, "UNAVAILABLE", "NOT_FOUND"):
        engine.record_call(Rpc("GetDocument", "memory_items: 1 by id", 0.5, 1, 0, error), "native", "(default)")
    engine.record_call(Rpc("Commit", f"create {SECRET}", 0.5, 0, 2, "NOT_FOUND"), "write", "(default)")
    for retried in ("call", "transaction", "call"):
        engine.record_retry(retried)
    first, unavailable, missing, commit = recorded.spans()
    assert [span.status.is_ok or span.status.is_unset for span in recorded.spans()] == [True, False, True, False]
    assert unavailable.attributes["db.response.status_code"] == "UNAVAILABLE"
    assert "error.type" not in missing.attributes
    assert SECRET not in commit.to_json()
    assert 4 * 10**8 < first.end_time - first.start_time < 6 * 10**8
    retries = recorded.points("memory.firestore.retries")
    assert {point.attributes[engine.RETRIED]: point.value for point in retries} == {"call": 2, "transaction": 1}


def test_nothing_is_recorded_without_an_sdk() -> None:
    """Though it is loaded: another package may import it. With a provider, there are spans."""
    pytest.importorskip("opentelemetry.sdk")
    code = """
import time
import django
django.setup()
from memory.backends import telemetry as engine
from memory import telemetry
from memory.models import MemoryItem
assert not telemetry.is_active()
with telemetry.operation(telemetry.SEARCH, "default", queries=["a"]) as outcome:
    outcome.found([])
telemetry.record_cache_read(hit=True)

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
assert not telemetry.is_active()
trace.set_tracer_provider(TracerProvider())
time.sleep(engine.LOOK_UP_SECONDS)
assert telemetry.is_active()
with telemetry.operation(telemetry.SEARCH, "default"):
    assert trace.get_current_span().is_recording()
"""
    environment = {
        "PATH": "/usr/bin:/bin",
        "ENV_FILE": "/dev/null",
        "APP_ENV": "test",
        "DJANGO_SETTINGS_MODULE": "settings",
    }
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_example_of_the_docs() -> None:
    """After it, operations are recorded."""
    pytest.importorskip("opentelemetry.sdk")
    root = Path(__file__).parents[1]
    [code] = below(root / "docs" / "telemetry.md", "OpenTelemetry", "python")
    check = "\nfrom memory.backends import telemetry\nprint(telemetry.is_active())"
    done = subprocess.run([sys.executable, "-c", code + check], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_off_costs_few_calls_of_functions() -> None:
    """The wrapper, and the look whether telemetry is on, which asks OpenTelemetry itself once a second."""

    class Rows:
        def plain(self) -> int:
            return 1

        observed: Callable[..., int] = telemetry.traced(telemetry.UPDATE)(plain)

    rows = Rows()
    rows.observed()
    assert min(calls_of(rows.observed) for _ in range(3)) - calls_of(rows.plain) <= 5
