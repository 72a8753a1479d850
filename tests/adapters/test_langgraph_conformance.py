"""LangGraph's own conformance suite for checkpointers, unmodified, with all its capabilities."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from asgiref.sync import async_to_sync
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES

from memory.adapters.langgraph import DjangoSaver
from tests.adapters import DATABASE, record

pytestmark = DATABASE


@checkpointer_test(name="DjangoSaver")
async def saver() -> AsyncGenerator[DjangoSaver, None]:
    yield DjangoSaver("ada")


@pytest.mark.parametrize("capability", sorted(one.value for one in ALL_CAPABILITIES))
def test_a_capability_conforms(capability: str) -> None:
    """All tests of the capability pass, and none is skipped."""
    report = async_to_sync(validate)(saver, capabilities={capability})
    result = report.results[capability]
    record("langgraph-checkpoint-conformance", capability, result.tests_passed, result.tests_failed, 0)
    assert result.detected
    assert result.failures in ([], None)
    assert result.passed
    assert result.tests_passed > 0
