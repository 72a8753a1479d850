"""`.search()` on a queryset: users, filters, order, and invalid calls, on every engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db.models import Count, Q
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from memory.models import MemoryItem, UserSession
from memory.search.embedders import EmbedderError

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = START + timedelta(minutes=3)
TEXTS = (
    "Hi Melanie, how was your weekend?",
    "Lovely! I took the kids to the lake.",
    "Did you get anything done for yourself?",
    "I painted a sunset over the water, in oil.",
    "The dentist wants to see me again on Tuesday.",
    "My brother adopted a greyhound called Biscuit.",
)
PAINTED, DENTIST, DOG = TEXTS[3], TEXTS[4], TEXTS[5]
EMBEDDED_AT_THE_WRITE = override_settings(
    MEMORY={"DATABASE": "memory", "EMBEDDER": "memory.search.embedders.static.StaticEmbedder"}
)


def store_conversation(
    user_id: str = "ada", session_id: str | None = "s1", texts: Sequence[str] = TEXTS, **more: Any
) -> None:
    """A conversation, a minute between its turns."""
    MemoryItem.objects.bulk_create(
        MemoryItem(
            **{
                "id": f"{user_id}-{session_id}-{number}",
                "user_id": user_id,
                "session_id": session_id,
                "item_type": "message",
                "timestamp": START + timedelta(minutes=number),
                "text_content": text,
                "metadata": {"speaker": ("Ada", "Melanie")[number % 2], "number": number},
                **more,
            }
        )
        for number, text in enumerate(texts)
    )


def texts(items: Sequence[MemoryItem]) -> list[str | None]:
    return [item.text_content for item in items]


def first(query: str, **options: Any) -> str | None:
    """The text of the best answer in ada's memory."""
    return MemoryItem.objects.search(query, user_id="ada", **options)[0].text_content


def test_an_answer_is_found_first() -> None:
    """By its words and its meaning, with a score, best first; also awaited."""
    store_conversation()
    found = MemoryItem.objects.search("What did Melanie paint?", user_id="ada")
    assert found[0].text_content == PAINTED
    scores = [item.score for item in found]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1
    assert all(item.score_parts is None for item in found)
    assert first("Which dog does he have?") == DOG


def test_parts_add_up_to_the_score() -> None:
    """With `explain`: results are in the order of the sums."""
    store_conversation()
    found = MemoryItem.objects.search("sunset in oil", user_id="ada", explain=True)
    sums = [sum(item.score_parts.values()) for item in found]
    assert len(sums) > 1
    assert sums == sorted(sums, reverse=True)


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_search_is_awaitable() -> None:
    """`asearch` finds what `search` finds."""
    store_conversation()

    async def ask() -> list[MemoryItem]:
        return await MemoryItem.objects.for_user("ada").asearch("painting", limit=2)

    assert texts(async_to_sync(ask)()) == texts(MemoryItem.objects.search("painting", user_id="ada", limit=2))


def test_one_user_sees_nothing_of_another() -> None:
    """For any question, whatever other users have stored about it."""
    store_conversation()
    store_conversation("eve", texts=[*TEXTS, "I paint sunsets in oil, sunset after sunset, Melanie!"])
    for query in ("What did Melanie paint?", "sunset oil", "greyhound"):
        assert {item.user_id for item in MemoryItem.objects.search(query, user_id="ada")} == {"ada"}
        assert {item.user_id for item in MemoryItem.objects.for_user("eve").search(query)} == {"eve"}
    assert MemoryItem.objects.search("sunset", user_id="nobody") == []


@pytest.mark.parametrize(
    ("narrow", "allowed"),
    [
        (lambda q: q.in_session("s2"), lambda item: item.session_id == "s2"),
        (lambda q: q.filter(session_id__isnull=True), lambda item: item.session_id is None),
        (lambda q: q.of_type("fact"), lambda item: item.item_type == "fact"),
        (lambda q: q.between(LATER), lambda item: item.timestamp >= LATER),
        (lambda q: q.filter(metadata__speaker="Melanie"), lambda item: item.metadata["speaker"] == "Melanie"),
        (lambda q: q.filter(Q(item_type="fact") | Q(session_id="s1")), lambda i: i.session_id != "s2"),
        (lambda q: q.exclude(id="ada-s1-3"), lambda item: item.pk != "ada-s1-3"),
        (lambda q: q.filter(text_content__startswith="I painted"), lambda item: item.text_content == PAINTED),
        (lambda q: q.filter(metadata__number=3), lambda item: item.metadata["number"] == 3),
        (lambda q: q.order_by("timestamp").only("id"), lambda item: True),
    ],
)  # fmt: skip
def test_filters_hold_for_all_that_is_found(
    narrow: Callable[[Any], Any], allowed: Callable[[MemoryItem], bool]
) -> None:
    """Items that match the filters are found although better results do not match them."""
    store_conversation()
    store_conversation(session_id="s2")
    store_conversation(session_id=None, item_type="fact")
    found = narrow(MemoryItem.objects.for_user("ada")).search("What did she paint, a sunset?", limit=20)
    assert found
    assert all(allowed(item) for item in found)
    assert {item.pk for item in found} <= {item.pk for item in MemoryItem.objects.all() if allowed(item)}


def test_arguments_narrow_as_filters_do() -> None:
    """`session_id` and `item_type` besides `user_id`: the same results in the same order."""
    store_conversation()
    store_conversation(session_id="s2", item_type="fact")
    everything = MemoryItem.objects.for_user("ada")
    for name, value in (("session_id", "s2"), ("item_type", "fact")):
        found = MemoryItem.objects.search("sunset", user_id="ada", **{name: value})
        filtered = everything.filter(**{name: value}).search("sunset")
        assert [item.pk for item in found] == [item.pk for item in filtered]
        assert {getattr(item, name) for item in found} == {value}


def test_what_has_expired_is_never_found() -> None:
    """Neither by `objects` nor by `all_objects`, nor when it expires between two searches."""
    soon = timezone.now() + timedelta(hours=1)
    store_conversation(expiration=soon)
    store_conversation(session_id="gone", expiration=timezone.now() - timedelta(seconds=1))
    assert {item.session_id for item in MemoryItem.objects.search("sunset", user_id="ada", limit=20)} == {"s1"}
    assert {item.session_id for item in MemoryItem.all_objects.search("sunset", user_id="ada", limit=20)} == {"s1"}
    MemoryItem.all_objects.filter(id="ada-s1-3").update(expiration=timezone.now() - timedelta(seconds=1))
    assert PAINTED not in texts(MemoryItem.objects.search("sunset in oil", user_id="ada", limit=20))


def test_items_without_a_session_are_found() -> None:
    """Facts that belong to no conversation, each for itself."""
    store_conversation(session_id=None, item_type="fact")
    assert first("greyhound") == DOG
    assert first("What did she paint?", item_type="fact") == PAINTED


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda q: q.search("x"), ValueError, "exactly one user.*no user"),
        (lambda q: q.filter(user_id__in=["ada", "eve"]).search("x"), ValueError, "exactly one user.*no user"),
        (lambda q: q.filter(Q(user_id="ada") | Q(user_id="eve")).search("x"), ValueError, "exactly one user.*no user"),
        (lambda q: q.exclude(user_id="ada").search("x"), ValueError, "exactly one user.*no user"),
        (lambda q: q.for_user("ada").search("x", user_id="eve"), ValueError, "exactly one user.*several users"),
        (lambda q: q.search("x", user_id="ada", limit=0), ValueError, "1 to 100"),
        (lambda q: q.search("x", user_id="ada", limit=101), ValueError, "1 to 100"),
        (lambda q: q.search("x", user_id="ada", limit=2.5), TypeError, "must be an integer"),
        (lambda q: q.search("x", user_id="ada", limit="5"), TypeError, "must be an integer"),
        (lambda q: q.search("x", user_id="ada", limit=None), TypeError, "must be an integer"),
        (lambda q: q.search("x" * 10_001, user_id="ada"), ValueError, "10000 characters"),
        (lambda q: q.search(None, user_id="ada"), TypeError, "must be a string"),
        (lambda q: q.for_user("ada")[:5].search("x"), TypeError, "without slices"),
        (lambda q: q.for_user("ada").values("id").search("x"), TypeError, "values"),
        (lambda q: q.for_user("ada").annotate(n=Count("id")).filter(n=1).search("x"), TypeError, "grouping"),
    ],
)
def test_what_cannot_be_searched_says_so(ask: Callable[[Any], Any], error: type[Exception], says: str) -> None:
    """One user, a question, and a valid number of results are required; errors are raised before any read."""
    with pytest.raises(error, match=says):
        ask(MemoryItem.objects.all())


def test_nothing_is_found_in_nothing() -> None:
    """An empty memory, an empty queryset, a question that asks for nothing."""
    assert MemoryItem.objects.search("sunset", user_id="ada") == []
    store_conversation()
    assert MemoryItem.objects.for_user("ada").none().search("sunset") == []
    assert MemoryItem.objects.for_user("ada").filter(id__in=[]).search("sunset") == []
    for empty in ("", " \n", "\x00"):
        assert MemoryItem.objects.search(empty, user_id="ada") == []


ODD = st.text(max_size=60) | st.text(alphabet="🎉\x00'\"%_\\;()日本 สวัสดีaé", max_size=30)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(query=ODD, limit=st.integers(1, 100))
@example(query="\ud800", limit=1)
@example(query="word " * 2_000, limit=100)
@example(query="' OR 1=1 --", limit=10)
def test_odd_questions_are_answered(query: str, limit: int) -> None:
    """For any question: items of one user, no more than requested, each once."""
    if not MemoryItem.objects.exists():
        store_conversation(texts=[*TEXTS, "日本の夕焼け 🎉", "O'Brien said: 100%_\\", "\x00 nul"])
        store_conversation("eve")
    found = MemoryItem.objects.search(query, user_id="ada", limit=limit)
    assert len(found) <= limit
    assert len({item.pk for item in found}) == len(found)
    assert {item.user_id for item in found} <= {"ada"}


def test_what_is_written_is_what_is_found() -> None:
    """New texts, changed ones, moved and deleted items: by `save`, `update`, `bulk_update` and `delete`."""
    store_conversation()
    item = MemoryItem.objects.get(id="ada-s1-5")
    item.text_content = "My brother adopted a parrot."
    item.save()
    assert first("parrot") == item.text_content
    assert "greyhound" not in (first("greyhound") or "")
    MemoryItem.objects.filter(id="ada-s1-4").update(text_content="The plumber came on Friday.")
    assert first("plumber") == "The plumber came on Friday."
    item.text_content = "My brother adopted a hedgehog."
    MemoryItem.objects.bulk_update([item], ["text_content"])
    assert first("hedgehog") == item.text_content
    item.save(update_fields=["metadata"])
    assert first("hedgehog") == item.text_content
    MemoryItem.objects.filter(id=item.pk).update(user_id="eve")
    assert item.text_content not in texts(MemoryItem.objects.search("hedgehog", user_id="ada"))
    assert texts(MemoryItem.objects.search("hedgehog", user_id="eve")) == [item.text_content]
    MemoryItem.objects.for_user("eve").delete()
    UserSession.objects.all().delete()
    assert MemoryItem.objects.search("hedgehog", user_id="eve") == []
    assert MemoryItem.objects.search("sunset", user_id="ada") == []


@EMBEDDED_AT_THE_WRITE
def test_what_meets_a_row_is_found_as_it_is_written() -> None:
    """A `bulk_create` that updates existing rows, also the text alone, updates all that is derived from the text."""
    store_conversation()
    old = MemoryItem.objects.get(id="ada-s1-5")
    met = MemoryItem(id=old.pk, user_id="ada", session_id="s1", item_type="message", text_content="A wombat came by.")
    conflicts: Any = {"update_conflicts": True, "unique_fields": ["id"]}
    MemoryItem.objects.bulk_create([met], update_fields=["text_content"], **conflicts)
    assert first("wombat") == met.text_content
    found = MemoryItem.objects.get(pk=old.pk)
    assert found.timestamp == old.timestamp
    assert list(MemoryItem.objects.duplicates_of(met)) == [found]
    assert found.text_embedding == pytest.approx(met.text_embedding, abs=1e-6)


@EMBEDDED_AT_THE_WRITE
def test_fixtures_are_found(tmp_path: Any) -> None:
    """`dumpdata` omits search data; `loaddata` computes it again."""
    store_conversation()
    file = tmp_path / "items.json"
    call_command("dumpdata", "memory.memoryitem", output=str(file), database="memory", verbosity=0)
    assert '"text_embedding"' not in file.read_text()
    MemoryItem.objects.all().delete()
    call_command("loaddata", str(file), database="memory", verbosity=0)
    assert first("What did she paint?") == PAINTED
    stored = MemoryItem.objects.get(id="ada-s1-3")
    assert stored.text_embedding is not None
    assert stored.written is not None


@EMBEDDED_AT_THE_WRITE
def test_a_vector_is_that_of_the_text_alone() -> None:
    """It depends neither on the turns before it nor on how it is written."""
    store_conversation()
    alone = MemoryItem.objects.create(user_id="eve", item_type="message", text_content=PAINTED)
    stored = [MemoryItem.objects.get(pk=pk).text_embedding for pk in ("ada-s1-3", alone.pk)]
    assert stored[0] is not None
    assert stored[0] == pytest.approx(stored[1], abs=1e-6)


def test_ones_own_vector_is_left_alone() -> None:
    """`embedding` belongs to the caller: search neither computes, changes nor reads it."""
    store_conversation(embedding=[1.0, 2.0])
    assert MemoryItem.objects.get(id="ada-s1-3").embedding == [1.0, 2.0]
    assert first("What did she paint?") == PAINTED
    assert [item.pk for item in MemoryItem.objects.for_user("ada").nearest([1.0, 2.0], 1)] == ["ada-s1-0"]


@EMBEDDED_AT_THE_WRITE
def test_long_texts_are_found_by_their_words_and_their_meaning() -> None:
    """Also by words far from the beginning."""
    filler = "The committee discussed the budget of the harbour at length. " * 300
    store_conversation(texts=[filler + "Then the walrus sang an opera.", *TEXTS])
    assert first("walrus")[:13] == "The committee"  # type: ignore[index]
    stored = MemoryItem.objects.get(id="ada-s1-0")
    assert stored.text_embedding is not None


@override_settings(MEMORY={"DATABASE": "memory", "EMBEDDER": None})
def test_words_alone() -> None:
    """Without an embedder no item has a vector, and search uses words alone."""
    store_conversation()
    assert MemoryItem.objects.get(id="ada-s1-3").text_embedding is None
    assert first("sunset") == PAINTED


def failing() -> Any:
    """An embedder with a missing dependency."""
    raise EmbedderError("It needs a package.")


@override_settings(MEMORY={"DATABASE": "memory", "EMBEDDER": "tests.search.test_recall.failing"})
def test_an_embedder_that_cannot_be_made_fails_searches_and_no_writes() -> None:
    """Writes succeed; searches raise `EmbedderError`."""
    store_conversation()
    assert MemoryItem.objects.count() == len(TEXTS)
    with pytest.raises(EmbedderError, match="needs a package"):
        MemoryItem.objects.search("sunset", user_id="ada")


def test_another_language_has_other_stems() -> None:
    """`MEMORY["LANGUAGE"]` applies to texts and questions."""
    with override_settings(MEMORY={"DATABASE": "memory", "EMBEDDER": None, "LANGUAGE": "german"}):
        store_conversation(texts=["Gestern wurden die Häuser gestrichen.", "Morgen regnet es."])
        assert first("Haus streichen Häusern") == "Gestern wurden die Häuser gestrichen."
