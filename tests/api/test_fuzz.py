"""Schemathesis over the whole schema, with two principals: no 5xx, no response outside of the schema.

All built-in checks run. OpenAPI cannot express every rule of the API, so requests that the schema allows are amended by
`RULES` before they are sent: each of them must then be accepted.

The examples are the same in each run, until the schema changes. With `MEMORY_FUZZ_EXAMPLES=300` there are more, and
others each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from django.core import signals
from django.core.cache import cache
from django.db import close_old_connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from schemathesis.checks import load_all_checks

from memory.access.models import AccessToken
from memory.api.fields import parse_timestamp
from memory.api.pagination import Cursor
from memory.limits import RESERVED_IDS, document_id_problem
from memory.models import AgentData, MemoryItem
from orchestra.wsgi import application

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

RANDOM = "MEMORY_FUZZ_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("MEMORY_FUZZ_EXAMPLES", "15"))
# Ids of existing records for the paths.
KNOWN = {"memory-items": "known", "agent-data": "known", "sessions": "ada:chat-1", "people": "ada"}

IDENTITY = {"user_id": "ada", "session_id": "chat-1"}
TIMES = frozenset(
    ["timestamp", "expiration", "started_at", "last_activity", "since", "until", "valid_from", "valid_to", "as_of"]
)


@dataclass(frozen=True)
class Token:
    """A principal's name and token."""

    user: str
    key: str = field(repr=False)


load_all_checks()
api = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)


@pytest.fixture(params=["ada", "operator"])
def token(request: pytest.FixtureRequest, make_user: Callable[..., Any]) -> Token:
    """A token of a user with records, and of one who may act for any user and erase people."""
    permissions = ("act_for_any_user", "erase_person") if request.param == "operator" else ()
    MemoryItem.objects.create(id="known", user_id="ada", session_id="chat-1", item_type="message", text_content="hello")
    AgentData.objects.create(id="known", agent_id="ada", data_type="plan")
    return Token(request.param, AccessToken.objects.issue(make_user(request.param, permissions=permissions))[1])


@contextmanager
def open_connections() -> Iterator[None]:
    """Disconnect Django's signal handlers that close connections around a request."""
    both = (signals.request_started, signals.request_finished)
    for signal in both:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in both:
            signal.connect(close_old_connections)


@contextmanager
def rolled_back() -> Iterator[None]:
    """Roll back all writes and throttle counters, so that each example sees the same records.

    Connections stay open, as with Django's test client: closing one would end its transaction.
    """
    cache.clear()
    with ExitStack() as stack:
        stack.enter_context(open_connections())
        for alias in ("default", "memory"):
            stack.enter_context(transaction.atomic(using=alias))
        yield
        for alias in ("default", "memory"):
            transaction.set_rollback(True, using=alias)


def records_of(case: schemathesis.Case) -> list[dict[str, Any]]:
    """The records in the body of a write."""
    if not isinstance(case.body, dict):
        return []
    if case.path.endswith("/bulk/"):
        items: list[dict[str, Any]] = case.body["items"]
        return items
    return [case.body]


def own_records(case: schemathesis.Case, user: str) -> None:
    """The allowed owners depend on the principal, and a session never changes its owner."""
    for record in records_of(case):
        for owner in ("user_id", "agent_id"):
            if owner in record and user != "operator":
                record[owner] = "ada"


def valid_ids(case: schemathesis.Case, user: str) -> None:
    """Ids are limited in bytes, some are reserved or taken, and unique in a request; sessions derive theirs."""
    seen = {"known"}
    for record in records_of(case):
        for name in ("user_id", "session_id"):
            if isinstance(record.get(name), str) and "sessions" in case.path:
                record[name] = record[name][:80].replace(IDENTITY["session_id"], "chat-2")
        pk = record.get("id")
        if "id" not in record:
            continue
        if "sessions" in case.path or pk in seen or document_id_problem(pk) or pk in RESERVED_IDS:
            del record["id"]
        seen.add(pk)


def unchanged_identity(case: schemathesis.Case, user: str) -> None:
    """The id of a record cannot change, nor what a session's id is made of."""
    if case.method not in ("PUT", "PATCH"):
        return
    for record in records_of(case):
        record.pop("id", None)
        if "sessions" in case.path:
            record.update({name: value for name, value in IDENTITY.items() if name in record})


def valid_times(case: schemathesis.Case, user: str) -> None:
    """RFC 3339 has times that are in the years 0 and 10000 of UTC, and leap seconds."""
    for fields in (*records_of(case), case.query or {}):
        for name in TIMES & fields.keys():
            try:
                parse_timestamp(fields[name])
            except (ValueError, OverflowError, TypeError, AttributeError):
                if fields[name] is not None:
                    fields[name] = "2026-01-31T12:00:00Z"


def valid_filters(case: schemathesis.Case, user: str) -> None:
    """`metadata_value` requires `metadata_key`, which is limited in bytes; integers have 64 bits, cursors a form."""
    if case.path.endswith("/search/") and isinstance(case.body, dict):
        if "metadata_value" in case.body:
            case.body.setdefault("metadata_key", "key")
        if "metadata_key" in case.body:
            case.body["metadata_key"] = case.body["metadata_key"][:150]
        value = case.body.get("metadata_value")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            case.body["metadata_value"] = 5
        return
    query = case.query or {}
    if "metadata_value" in query:
        query.setdefault("metadata_key", "key")
        query["metadata_value"] = str(query["metadata_value"]).lstrip("[{")[:20] or "value"
    if "metadata_key" in query:
        query["metadata_key"] = str(query["metadata_key"])[:150]
    if "cursor" in query:
        ordering = query.get("ordering", "-last_activity" if case.path == "/api/sessions/" else "-timestamp")
        query["cursor"] = Cursor(ordering, False, timezone.now(), "known").encode()


def valid_lists_of_ids(case: schemathesis.Case, user: str) -> None:
    """As the ids of records."""
    if isinstance(case.body, dict) and "ids" in case.body:
        found = [pk for pk in case.body["ids"] if not document_id_problem(pk) and pk not in RESERVED_IDS]
        case.body["ids"] = found or ["known"]


def valid_links(case: schemathesis.Case, user: str) -> None:
    """Only own items can be superseded, and an item ends after it begins."""
    for record in records_of(case):
        record.pop("supersedes", None)
        if isinstance(record.get("derived_from"), list):
            ids = [pk for pk in record["derived_from"] if not document_id_problem(pk) and pk not in RESERVED_IDS]
            record["derived_from"] = ids
        if record.get("valid_from") and record.get("valid_to"):
            record["valid_to"] = None


def true_conditions(case: schemathesis.Case, user: str) -> None:
    """The tags of a record are hashes."""
    headers = case.headers or {}
    if "If-Match" in headers:
        headers["If-Match"] = "*"
    if "If-None-Match" in headers:
        headers["If-None-Match"] = '"another"'


RULES: tuple[Callable[[schemathesis.Case, str], None], ...] = (
    own_records,
    valid_ids,
    unchanged_identity,
    valid_times,
    valid_filters,
    valid_lists_of_ids,
    valid_links,
    true_conditions,
)


@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not RANDOM,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_response_matches_the_schema(case: schemathesis.Case, token: Token) -> None:
    """Requests that the schema and the rules above allow are accepted; no other is, and no response is undeclared."""
    user = token.user
    if case.meta and case.meta.generation.mode.is_positive:
        if case.path_parameters:
            case.path_parameters = dict.fromkeys(case.path_parameters, KNOWN[case.path.split("/")[2]])
        for amend in RULES:
            amend(case, user)
    with rolled_back():
        headers = {"Authorization": f"Token {token.key}"}
        response = case.call(headers=headers)
        case.validate_response(response, headers=headers)
