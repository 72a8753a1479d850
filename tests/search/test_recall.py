"""`.search()` on a queryset: whose items, which filters, what order, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memory.models import MemoryItem

pytestmark = pytest.mark.django_db(databases="__all__")

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEXTS = (
    "Hi Melanie, how was your weekend?",
    "Lovely! I took the kids to the lake.",
    "Did you get anything done for yourself?",
    "I painted a sunset over the water, in oil.",
    "The dentist wants to see me again on Tuesday.",
    "My brother adopted a greyhound called Biscuit.",
)


def tell(user_id: str = "ada", session_id: str | None = "s1", texts: Sequence[str] = TEXTS, **more: Any) -> None:
    """A conversation, a minute between its turns."""
    MemoryItem.objects.bulk_create(
        MemoryItem(
            id=f"{user_id}-{session_id}-{number}",
            user_id=user_id,
            session_id=session_id,
            item_type="message",
            timestamp=START + timedelta(minutes=number),
            text_content=text,
            metadata={"speaker": ("Ada", "Melanie")[number % 2]},
            **more,
        )
        for number, text in enumerate(texts)
    )


def texts(items: Sequence[MemoryItem]) -> list[str | None]:
    return [item.text_content for item in items]


def test_an_answer_is_found_first() -> None:
    """By its words and its meaning, with a score, best first."""
    tell()
    found = MemoryItem.objects.search("What did Melanie paint?", user_id="ada")
    assert found[0].text_content == TEXTS[3]
    scores = [item.score for item in found]  # type: ignore[attr-defined]
    assert scores == sorted(scores, reverse=True)
    assert asyncio.run(_pks("greyhound dog")) is not None


async def _pks(query: str) -> list[str]:
    return [query]
