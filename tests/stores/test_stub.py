"""The stub returns the same as a database, for any data and any call."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory.models import MemoryItem
from memory.stores import FirestoreMemoryManager, MemoryManagerStub, PersonaConfig

TIMES = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=number) for number in range(4)]
NAMES = st.sampled_from(["a", "b", "B", "ä", "1"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.5, 1.0, "", "1", "a", "true"]))
KEYS = st.sampled_from(["k", "k.k", "k__k", "'", '"', "0"])
ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "session_id": st.none() | NAMES,
            "item_type": NAMES,
            "persona_active": st.none() | NAMES,
            "text_content": st.none() | st.sampled_from(["", "a", "A"]),
            "timestamp": st.sampled_from(TIMES),
            "expiration": st.sampled_from([None, TIMES[0], datetime(9999, 1, 1, tzinfo=UTC)]),
            "embedding": st.none() | st.lists(st.sampled_from([-1.0, 0.0, 1.0, 3.0]), min_size=1, max_size=2),
            "metadata": st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=2), max_size=2),
        }
    ),
    max_size=8,
)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "item_type": NAMES,
        "item_type__in": st.lists(NAMES, max_size=2),
        "persona_active": st.none() | NAMES,
        "persona_active__isnull": st.booleans(),
        "session_id__in": st.lists(NAMES, max_size=2),
        "timestamp__gt": st.sampled_from(TIMES),
        "timestamp__lte": st.sampled_from(TIMES),
        "metadata__k": SCALARS,
        "metadata__k__k": SCALARS,
        "metadata__'": SCALARS,
        "metadata__0": SCALARS,
    },
)
numbers = itertools.count()


@pytest.mark.django_db(databases=["default", "memory"])
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    rows=ITEMS,
    session=st.none() | NAMES,
    limit=st.integers(1, 9),
    filters=FILTERS,
    vector=st.lists(st.sampled_from([-1.0, 0.0, 2.0]), min_size=1, max_size=2),
    persona=st.none() | NAMES,
)
def test_the_stub_and_a_database_agree(
    rows: list[dict[str, Any]],
    session: str | None,
    limit: int,
    filters: dict[str, Any],
    vector: list[float],
    persona: str | None,
) -> None:
    """On histories, filters, searches, duplicates and expiration."""
    user = f"user-{next(numbers)}"
    answers = []
    for manager in (MemoryManagerStub(), FirestoreMemoryManager()):
        manager.initialize()
        items = [MemoryItem(id=f"{user}-{number}", user_id=user, **row) for number, row in enumerate(rows)]
        async_to_sync(manager.add_memory_items)(items)
        history = async_to_sync(manager.get_conversation_history)(user, session, limit, filters)
        context = None if persona is None else PersonaConfig(persona)
        found = async_to_sync(manager.semantic_search)(user, vector, context, top_k=100)
        duplicates = [async_to_sync(manager.check_duplicate)(item) for item in items]
        answers.append(
            (
                [item.pk for item in history],
                sorted((round(item.distance, 9), item.pk) for item in found),  # type: ignore[attr-defined]
                duplicates,
            )
        )
        manager.close()
    assert answers[0] == answers[1]
