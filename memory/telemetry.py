"""OpenTelemetry of the app: a span and metrics for each operation on memories. It needs only OpenTelemetry's API.

Names follow the semantic conventions of generative AI (github.com/open-telemetry/semantic-conventions-genai, status
"development", as of November 2026): https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/

Texts are recorded only with `MEMORY["TELEMETRY_CONTENT"]`. `memory.backends.telemetry` has the calls to Firestore.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from django.db import router
from django.db.models import Model

from .backends import clock
from .backends.telemetry import BOUNDS, is_active, meter, tracer
from .conf import memory_settings

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram

WriteT = TypeVar("WriteT", bound=Callable[..., Any])

PROVIDER: Final = "orchestra.memory"
SEARCH, CREATE, UPDATE, DELETE = ("search_memory", "create_memory", "update_memory", "delete_memory")
# Of sessions: the conventions have no names for these.
READ_SESSION, CREATE_SESSION, UPDATE_SESSION, DELETE_SESSION = (
    "read_session",
    "create_session",
    "update_session",
    "delete_session",
)
CREATIONS: Final[Mapping[str, str]] = {UPDATE: CREATE, UPDATE_SESSION: CREATE_SESSION}
"""The operation of a `save` of a new record, by that of a stored one."""
OPERATION, PROVIDER_NAME, STORE, RECORD, COUNT, QUERY, RECORDS, ERROR = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.memory.store.id",
    "gen_ai.memory.record.id",
    "gen_ai.memory.record.count",
    "gen_ai.memory.query.text",
    "gen_ai.memory.records",
    "error.type",
)


@dataclass
class Outcome:
    """What an operation adds to its span: the number of records, and if contents are recorded the records."""

    records: Sequence[Any] = ()
    count: int | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    def found(self, records: Sequence[Any]) -> None:
        """The operation returned or wrote these records."""
        self.records, self.count = records, len(records)


@contextmanager
def operation(name: str, using: str, *, queries: Iterable[str] = ()) -> Iterator[Outcome]:
    """A span of an operation on memories of the database `using`, and its duration. Without an SDK it does nothing."""
    if not is_active():
        yield Outcome()
        return
    from opentelemetry.trace import SpanKind, Status, StatusCode  # only where the SDK is used

    common = {OPERATION: name, PROVIDER_NAME: PROVIDER, STORE: using}
    outcome, start = Outcome(), clock.monotonic()
    with tracer().start_as_current_span(
        f"{name} {using}",
        kind=SpanKind.INTERNAL,
        attributes=common,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield outcome
        except BaseException as error:
            common[ERROR] = type(error).__qualname__
            span.set_attribute(ERROR, common[ERROR])
            # Without the message, which may quote texts.
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            if span.is_recording():
                span.set_attributes(described(outcome, queries))
            instruments().duration.record(clock.monotonic() - start, common)


def traced(name: str) -> Callable[[WriteT], WriteT]:
    """Decorates a write of a record or a session, or of a queryset of them. `save` of a new one is a creation."""

    def decorate(write: WriteT) -> WriteT:
        @wraps(write)
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not is_active():
                return write(self, *args, **kwargs)
            is_record = isinstance(self, Model)
            using = kwargs.get("using") or (router.db_for_write(type(self), instance=self) if is_record else self.db)
            creates = is_record and self._state.adding
            with operation(CREATIONS.get(name, name) if creates else name, using) as outcome:
                result = write(self, *args, **kwargs)
                if is_record:
                    outcome.found([self])
                elif isinstance(result, list):
                    outcome.found(result)
                else:
                    outcome.count = result if isinstance(result, int) else result[0]
            return result

        return cast("WriteT", run)

    return decorate


def described(outcome: Outcome, queries: Iterable[str]) -> Mapping[str, Any]:
    """The attributes of an outcome. Texts only if contents are recorded."""
    found = dict(outcome.attributes)
    if outcome.count is not None:
        found[COUNT] = outcome.count
    if memory_settings.telemetry_content:
        if text := "\n".join(queries):
            found[QUERY] = text
        if outcome.records:
            found[RECORDS] = json.dumps([as_record(record) for record in outcome.records])
    return found


def as_record(record: Any) -> Mapping[str, Any]:
    """A record as `gen_ai.memory.records` has it."""
    made = {"id": str(record.pk), "content": getattr(record, "text_content", None) or ""}
    return made | ({"score": record.score} if hasattr(record, "score") else {})


@dataclass(frozen=True)
class Instruments:
    """The metrics of the app."""

    duration: Histogram
    cache: Counter


@cache
def instruments() -> Instruments:
    """The metrics, made at the first use."""
    return Instruments(
        meter().create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Duration of operations on memories.",
            explicit_bucket_boundaries_advisory=BOUNDS,
        ),
        meter().create_counter("memory.cache.reads", "{read}", "Conversations that were read through the cache."),
    )


def record_cache_read(*, hit: bool) -> None:
    """A conversation was read through the cache."""
    if is_active():
        instruments().cache.add(1, {"memory.cache.result": "hit" if hit else "miss"})
