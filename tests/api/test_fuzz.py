"""Schemathesis over the whole schema, with two principals: no 5xx, no response outside of the schema.

All built-in checks run, except for `positive_data_acceptance`: it requires every request that the schema allows to be
accepted, and OpenAPI cannot express what `BEYOND_OPENAPI` lists. Instead, a request that the schema allows may be
rejected only with those codes.

`MEMORY_FUZZ_EXAMPLES=1000 pytest tests/api/test_fuzz.py` runs more examples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import schemathesis
from django.core import signals
from django.core.cache import cache
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, settings
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from memory.access.models import AccessToken
from memory.models import AgentData, MemoryItem
from orchestra.wsgi import application

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

EXAMPLES = int(os.environ.get("MEMORY_FUZZ_EXAMPLES", "15"))
BEYOND_OPENAPI: Mapping[str, str] = {
    "not_yours": "the allowed owners depend on the principal",
    "taken": "the existing ids depend on the stored records",
    "repeated": "ids must be unique within one request",
    "immutable": "an id cannot change, and a session's is derived from other fields",
    "invalid_id": "ids are limited in bytes, not in characters, and some are reserved",
    "too_large": "a document is limited as a whole",
    "out_of_range": "RFC 3339 allows times in the years 0 and 10000 of UTC",
    "invalid_json": "the depth is limited",
    "null_characters_not_allowed": "the values of an object are arbitrary otherwise",
    "invalid_cursor": "a cursor is opaque",
    "required": "metadata_value requires metadata_key",
    "too_long": "a key in a filter is limited in bytes",
}
# Ids of existing records for the paths.
KNOWN = {"memory-items": "known", "agent-data": "known", "sessions": "ada:chat-1"}

load_all_checks()
api = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)


@pytest.fixture(params=["ada", "operator"])
def token(request: pytest.FixtureRequest, make_user: Callable[..., Any]) -> str:
    """A token of a user with records, and of one who may act for any user."""
    permissions = ("act_for_any_user",) if request.param == "operator" else ()
    MemoryItem.objects.create(id="known", user_id="ada", session_id="chat-1", item_type="message", text_content="hello")
    AgentData.objects.create(id="known", agent_id="ada", data_type="plan")
    return AccessToken.objects.issue(make_user(request.param, permissions=permissions))[1]


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


@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_response_matches_the_schema(case: schemathesis.Case, token: str) -> None:
    """Requests that the schema allows are rejected only with the codes above."""
    collection = case.path.split("/")[2]
    if case.path_parameters and case.meta and case.meta.generation.mode.is_positive:
        case.path_parameters["id"] = KNOWN[collection]
    with rolled_back():
        headers = {"Authorization": f"Token {token}"}
        response = case.call(headers=headers)
        case.validate_response(response, headers=headers, excluded_checks=[positive_data_acceptance])
    if case.meta and case.meta.generation.mode.is_positive and response.status_code == 400:
        problems = response.json()["error"]["fields"].values()
        assert {problem["code"] for found in problems for problem in found} <= BEYOND_OPENAPI.keys(), response.json()
