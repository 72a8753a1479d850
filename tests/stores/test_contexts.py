"""The context of querysets and stores: its settings, and what it costs beside a search."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.test import override_settings

from memory.context import estimated_tokens
from memory.models import MemoryItem
from memory.querysets import contexts
from memory.stores import ConcreteMemoryManager, FirestoreMemoryManager
from tests.cache.conftest import use_redis as use_redis
from tests.cache.test_cost import ALIAS, Bill
from tests.cache.test_cost import bill as bill

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
both = pytest.mark.django_db(databases=["default", "memory"])


def items(count: int, session_id: str = "chat", **values: Any) -> list[MemoryItem]:
    """Unsaved items of Ada, a minute apart."""
    return [
        MemoryItem(
            user_id="ada",
            session_id=session_id,
            item_type="message",
            text_content=f"turn {number} about ferries",
            timestamp=START + number * timedelta(minutes=1),
            metadata={"name": "Ada", **values},
        )
        for number in range(count)
    ]


def count_letters(text: str) -> int:
    """A tokenizer."""
    return len(text)


def summarize(cut: Sequence[MemoryItem], tokens: int) -> str:
    """A summarizer."""
    return f"{cut[0].text_content} to {cut[-1].text_content}; {tokens}"


def fail(cut: Sequence[MemoryItem], tokens: int) -> str:
    """A summarizer that fails."""
    raise LookupError(len(cut))


def no_text(cut: Sequence[MemoryItem], tokens: int) -> Any:
    """A summarizer that returns nothing."""


@both
def test_queryset_and_store_make_the_same() -> None:
    """Sync and async."""
    MemoryItem.objects.bulk_create(items(5))
    manager = FirestoreMemoryManager()
    manager.initialize()

    async def acontext() -> Any:
        return await MemoryItem.objects.acontext("ada", "chat", "ferries", 60)

    made = [
        MemoryItem.objects.context("ada", "chat", "ferries", 60),
        async_to_sync(acontext)(),
        async_to_sync(manager.context)("ada", "chat", "ferries", 60),
    ]
    manager.close()
    assert made[0].text
    assert [(one.text, one.recent, one.recalled, one.cut) for one in made[1:]] == [
        (made[0].text, made[0].recent, made[0].recalled, made[0].cut)
    ] * 2


@both
def test_filters_of_the_queryset_apply() -> None:
    """To turns and to what is recalled; hidden items and those without text are no part of it."""
    MemoryItem.objects.bulk_create([*items(2), *items(1, "old"), *items(1, "old", hidden=True)])
    MemoryItem.objects.create(user_id="ada", session_id="chat", item_type="fact", text_content="Ferries sink.")
    MemoryItem.objects.create(user_id="ada", session_id="chat", item_type="event", text_content=" ")
    made = MemoryItem.objects.of_type("message").context("ada", None, "ferries")
    assert "sink" not in made.text
    assert "sink" in MemoryItem.objects.context("ada", None, "ferries").text
    hidden = MemoryItem.objects.filter(metadata__hidden=True).get()
    assert hidden not in [*made.recent, *made.recalled, *made.cut]


@both
def test_the_configured_tokenizer_counts(settings: Any) -> None:
    """Else that of the embedder, else an estimate."""
    MemoryItem.objects.bulk_create(items(5))
    known = settings.MEMORY
    settings.MEMORY = {**known, "TOKENIZER": f"{__name__}.count_letters"}
    made = MemoryItem.objects.context("ada", "chat", "x", 100)
    assert made.tokens == len(made.text) <= 100
    settings.MEMORY = {**known, "EMBEDDER": "memory.search.embedders.static.StaticEmbedder"}
    assert contexts.token_counter()("unbelievable ferries") == 6
    settings.MEMORY = {**known, "EMBEDDER": None}
    assert contexts.token_counter() is estimated_tokens


@both
def test_what_is_cut_is_given_to_the_configured_summarizer(settings: Any) -> None:
    """The items, oldest first."""
    MemoryItem.objects.bulk_create(items(20))
    settings.MEMORY = {**settings.MEMORY, "SUMMARIZER": f"{__name__}.summarize"}
    made = MemoryItem.objects.context("ada", "chat", "zebra", 300)
    assert [one.pk for one in made.cut] == [one.pk for one in sorted(made.cut, key=lambda one: one.timestamp)]
    assert made.summary == f"{made.cut[0].text_content} to {made.cut[-1].text_content}; 45"
    assert made.summary in made.text
    assert made.tokens <= 300


@both
@pytest.mark.parametrize("name", ["fail", "no_text"])
def test_a_summarizer_that_fails_is_logged(settings: Any, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """The context has no summary."""
    MemoryItem.objects.bulk_create(items(20))
    settings.MEMORY = {**settings.MEMORY, "SUMMARIZER": f"{__name__}.{name}"}
    made = MemoryItem.objects.context("ada", "chat", "zebra", 300)
    assert (made.summary, bool(made.recent)) == ("", True)
    assert "SUMMARIZER" in caplog.text


@both
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tokens": 0}, ValueError),
        ({"tokens": 1_000_001}, ValueError),
        ({"tokens": 2.0}, TypeError),
        ({"turns": 0}, ValueError),
        ({"turns": True}, TypeError),
        ({"limit": 0}, ValueError),
        ({"min_score": 2}, ValueError),
    ],
)
def test_wrong_options_are_errors(options: dict[str, Any], error: type[Exception]) -> None:
    """As those of a search."""
    with pytest.raises(error):
        MemoryItem.objects.context("ada", "chat", "x", **options)


@pytest.mark.redis
@pytest.mark.firestore_emulator
def test_a_context_costs_one_query_more_than_a_search(bill: Bill) -> None:
    """That of the turns; nothing more where the conversation is cached."""
    MemoryItem.objects.using(ALIAS).bulk_create(items(30))
    MemoryItem.objects.using(ALIAS).bulk_create(items(30, "old"))
    every = MemoryItem.objects.using(ALIAS)

    def calls(function: Any, *args: Any, **options: Any) -> tuple[dict[str, int], int]:
        function(*args, **options)  # the first one fills caches
        bill.clear()
        function(*args, **options)
        return dict(bill.calls), bill.read

    search, read = calls(every.search, "ferries", user_id="ada", limit=10)
    found, found_read = calls(every.context, "ada", "chat", "ferries")
    assert found == {**search, "RunQuery": search.get("RunQuery", 0) + 1}
    assert found_read == read + 20
    manager = ConcreteMemoryManager(using=ALIAS)
    manager.initialize()
    context = async_to_sync(manager.context)
    assert calls(context, "ada", "chat", "ferries") == (search, read)
    with override_settings(MEMORY={**django_settings.MEMORY, "CACHE": None}):
        assert calls(context, "ada", "chat", "ferries") == (found, found_read)
    manager.close()
