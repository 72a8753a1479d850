"""Faults that other packages have on valid input, and that this one must not have. Those of adapters: `adapters/`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db.models import Avg, Count, Sum

from memory.models import IdempotencyKey, MemoryItem
from memory.testing.embedders import DeterministicEmbedder

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.mark.parametrize(
    "time",
    [
        datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1901, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1),
    ],
)
def test_a_time_before_1970_stays_when_it_is_read_and_written(time: datetime) -> None:
    """Google's client moves it by a second at each rewrite."""
    item = MemoryItem.objects.create(user_id="ada", session_id="s", item_type="m", timestamp=time)
    for _ in range(3):
        item = MemoryItem.objects.get(pk=item.pk)
        assert item.timestamp == time
        item.save()
    assert [found.pk for found in MemoryItem.objects.filter(user_id="ada", timestamp=time)] == [item.pk]


def test_aggregates_of_nothing_are_null() -> None:
    """Google's client returns 0.0 for an average of nothing. A count is 0."""
    found = IdempotencyKey.objects.aggregate(Avg("status"), Sum("status"), Count("pk"))
    assert found == {"status__avg": None, "status__sum": None, "pk__count": 0}


class NoMeaning(DeterministicEmbedder):
    """A model whose vector of a blank text is NaN or zero, as those of libraries that divide by its length."""

    name = "no-meaning"
    blank = np.nan

    def embed_documents(self, texts: Any) -> Any:
        """The vectors, without one for a blank text."""
        vectors = super().embed_documents(texts)
        return np.where(np.array([not text.strip() for text in texts])[:, None], self.blank, vectors)


@pytest.mark.parametrize("blank", [np.nan, 0.0])
def test_a_blank_text_fails_no_write_and_no_ranking(
    blank: float, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Firestore refuses a vector of NaN, and ranks by zeros at NaN: neither is stored or compared."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{__name__}.NoMeaning"}
    monkeypatch.setattr(NoMeaning, "blank", blank)
    texts = ["I painted a sunset.", "   ", "\n", "The ferry was late."]
    MemoryItem.objects.bulk_create(MemoryItem(user_id="ada", item_type="m", text_content=text) for text in texts)
    found = MemoryItem.objects.search("sunset", user_id="ada", limit=10)
    assert found[0].text_content == texts[0]
    assert all(0 <= item.score <= 1 for item in found)
    assert MemoryItem.objects.count() == len(texts)
