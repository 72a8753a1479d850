"""Schemathesis over the whole schema, with two principals: no 5xx, no answer outside the schema.

Every built-in check runs but one: `positive_data_acceptance` wants whatever the schema allows to be accepted, and
OpenAPI cannot say what `BEYOND_OPENAPI` lists. A stricter rule takes its place: a request that the schema allows may be
refused for those reasons only.

`MEMORY_FUZZ_EXAMPLES=1000 pytest tests/api/test_fuzz.py` looks harder.
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
from rest_framework.authtoken.models import Token
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from memory.models import AgentData, MemoryItem
from orchestra.wsgi import application

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

EXAMPLES = int(os.environ.get("MEMORY_FUZZ_EXAMPLES", "15"))
BEYOND_OPENAPI: Mapping[str, str] = {
    "not_yours": "whose records one may write depends on who asks",
    "taken": "which ids are free depends on what is stored",
    "repeated": "ids must differ between the rows of one request",
    "immutable": "a record keeps its id, a session's follows from two other fields",
    "invalid_id": "ids are limited in bytes, not in characters, and some are reserved",
    "too_large": "a document is limited as a whole",
    "out_of_range": "RFC 3339 has times that are in the year 0 or 10000 of UTC",
    "invalid_json": "depth is limited",
    "null_characters_not_allowed": "what a map holds is free otherwise",
    "invalid_cursor": "a cursor is opaque",
    "required": "a value of metadata needs its key",
}
# Ids of the records that the requests are about.
KNOWN = {"memory-items": "known", "agent-data": "known", "sessions": "ada:chat-1"}

load_all_checks()
api = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)


@pytest.fixture(params=["ada", "operator"])
def token(request: pytest.FixtureRequest, make_user: Callable[..., Any]) -> str:
    """A token of one who has records, and of one who may act for anybody."""
    permissions = ("act_for_any_user",) if request.param == "operator" else ()
    MemoryItem.objects.create(id="known", user_id="ada", session_id="chat-1", item_type="message", text_content="hello")
    AgentData.objects.create(id="known", agent_id="ada", data_type="plan")
    return str(Token.objects.create(user=make_user(request.param, permissions=permissions)).key)


@contextmanager
def connections_kept() -> Iterator[None]:
    """Django's handlers of a request's start and end, which close connections, are away."""
    both = (signals.request_started, signals.request_finished)
    for signal in both:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in both:
            signal.connect(close_old_connections)


@contextmanager
def undone() -> Iterator[None]:
    """What happens inside leaves no trace: each example finds the same records, and no counted requests.

    Requests leave connections alone, as those of Django's test client do: to close one is to end its transaction.
    """
    cache.clear()
    with ExitStack() as stack:
        stack.enter_context(connections_kept())
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
def test_every_answer_is_in_the_schema(case: schemathesis.Case, token: str) -> None:
    """And nothing that the schema allows is refused, but for the reasons above."""
    collection = case.path.split("/")[2]
    if case.path_parameters and case.meta and case.meta.generation.mode.is_positive:
        case.path_parameters["id"] = KNOWN[collection]
    with undone():
        headers = {"Authorization": f"Token {token}"}
        response = case.call(headers=headers)
        case.validate_response(response, headers=headers, excluded_checks=[positive_data_acceptance])
    if case.meta and case.meta.generation.mode.is_positive and response.status_code == 400:
        problems = response.json()["error"]["fields"].values()
        assert {problem["code"] for found in problems for problem in found} <= BEYOND_OPENAPI.keys(), response.json()
