"""A search over items that are not indexed is bounded, says what it left out, and finds the best of them."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from memory.embedding import Vectors
from memory.models import MemoryItem
from memory.search import unindexed
from memory.search.embedders.multilingual import MultilingualEmbedder
from memory.search.packing import pack
from memory.search.reading import Memory, read_memory
from memory.search.relevance import asked
from memory.search.segment_cache import cache
from memory.search.tail import Maker, configured_maker

USING = "memory"
QUESTION = "Which instrument does Clara play?"
ANSWER = "Clara has played the violin since she was six."


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    cache.clear()


def write(texts: list[str], **values: Any) -> list[str]:
    """Items of these texts, a minute apart, and their ids."""
    began = timezone.now() - timedelta(days=30)
    items = [
        MemoryItem(
            user_id="ada",
            session_id="s",
            item_type="message",
            text_content=text,
            timestamp=began + timedelta(minutes=number),
            **values,
        )
        for number, text in enumerate(texts)
    ]
    MemoryItem.objects.bulk_create(items)
    return [item.pk for item in items]


def chatter(count: int, words: int = 30) -> list[str]:
    """Different texts of words that nobody asks for."""
    chosen = random.Random(7)  # noqa: S311 - no secret
    return [
        " ".join("".join(chosen.choices(string.ascii_lowercase, k=6)) for _ in range(words)) + f" {number}"
        for number in range(count)
    ]


def bound(monkeypatch: pytest.MonkeyPatch, characters: int) -> None:
    """Let searches read this many characters of texts."""
    monkeypatch.setattr(unindexed, "MOST_READ", characters)
    monkeypatch.setattr(unindexed, "MOST_CHOSEN", characters)


def read(question: str = QUESTION) -> Memory:
    """The memory as a search for this question reads it."""
    maker = configured_maker()
    return read_memory("ada", USING, maker, [asked(question, maker.embedder)])


def found(question: str = QUESTION, **options: Any) -> Any:
    return MemoryItem.objects.search(question, user_id="ada", **options)


@pytest.fixture
def texts_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are analysed, whole or in part."""
    seen: list[str] = []
    made = Maker.made

    def counted(self: Maker, sources: Any, partial: Any = ()) -> Any:
        seen.extend(one.text for one in sources)
        return made(self, sources, partial)

    monkeypatch.setattr(Maker, "made", counted)
    return seen


@pytest.mark.django_db(databases=["default", "memory"])
def test_few_items_are_searched_in_full() -> None:
    """Nothing waits, and the entries are those of an unbounded read."""
    write([*chatter(40), ANSWER])
    bounded, whole = read(), read_memory("ada", USING, configured_maker())
    assert bounded.waiting == whole.waiting == 0
    assert set(bounded.corpus.terms) == set(whole.corpus.terms)
    assert sorted(bounded.corpus.digest) == sorted(whole.corpus.digest)
    results = found()
    assert results[0].text_content == ANSWER
    assert results.waiting == 0


@pytest.mark.django_db(databases=["default", "memory"])
def test_of_many_texts_the_best_are_read(monkeypatch: pytest.MonkeyPatch, texts_read: list[str]) -> None:
    """The others count by the words that a glance finds, and by their vectors. They wait."""
    bound(monkeypatch, 5_000)
    write([*chatter(50), ANSWER, *chatter(100)[50:]])
    results = found()
    assert results[0].text_content == ANSWER
    assert ANSWER in texts_read
    assert sum(len(text) + unindexed.OF_EACH for text in texts_read) <= 5_000
    assert results.waiting == 101 - len(texts_read)


@pytest.mark.django_db(databases=["default", "memory"])
def test_a_text_that_is_only_glanced_at_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its words in another form, and with its own score and neighbours."""
    bound(monkeypatch, 0)
    write([*chatter(20), "They were playing INSTRUMENTS all night", *chatter(40)[20:]])
    results = found(explain=True)
    assert results[0].text_content == "They were playing INSTRUMENTS all night"
    assert results[0].score_parts
    assert results.waiting == 41


@pytest.mark.django_db(databases=["default", "memory"])
def test_a_glance_finds_a_number_in_the_digits_of_another_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the words of the question are written with ASCII digits."""
    bound(monkeypatch, 0)
    answer = write([*chatter(20), "رقم الغرفة ٤٧١١", *chatter(40)[20:]])[20]
    assert found("4711")[0].pk == answer


@pytest.mark.django_db(databases=["default", "memory"])
def test_of_a_long_text_the_beginning_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it does not fit in the bound: it waits, too."""
    bound(monkeypatch, 4_000)
    write([f"{ANSWER} {'word ' * 5_000}", *chatter(3)])
    results = found()
    assert any(one.text_content.startswith(ANSWER) for one in results[:2])
    assert results.waiting == 1


@pytest.mark.django_db(databases=["default", "memory"])
def test_another_question_reads_other_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read in part for one question is not kept for the next."""
    bound(monkeypatch, 2_500)
    write([*chatter(30), ANSWER, "Bruno paints boats with watercolours.", *chatter(60)[30:]])
    assert found()[0].text_content == ANSWER
    assert found("What does Bruno paint?")[0].text_content == "Bruno paints boats with watercolours."
    assert found()[0].text_content == ANSWER


@pytest.mark.django_db(databases=["default", "memory"])
def test_what_was_asked_before_does_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more texts than are read whole, those of an earlier search do not get more than their share."""
    bound(monkeypatch, 5_000)
    monkeypatch.setattr(unindexed, "MOST_EMBEDDED", 100)
    write(["Bruno paints boats with watercolours.", *chatter(5, 8)])
    found("What does Bruno paint?")
    write([*chatter(35, 8)[5:], "Clara plays the piano.", ANSWER, "Clara played the drum before."])
    after = [(one.pk, one.score) for one in found(limit=20)]
    cache.clear()
    assert after == [(one.pk, one.score) for one in found(limit=20)]


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_items_beyond_the_bound_wait(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Without an index the newest are read. Once it is made, nothing waits."""
    settings.MEMORY = {**settings.MEMORY, "INDEX_AFTER": None}
    monkeypatch.setattr(unindexed, "MOST_ITEMS", 20)
    write([ANSWER, *chatter(29)])
    memory = read()
    assert memory.waiting == 10
    assert memory.tail == 30
    assert len(memory.corpus) == 20
    results = found(limit=100)
    assert ANSWER not in [item.text_content for item in results]
    assert results.waiting == 10
    pack("ada", USING)
    results = found()
    assert results[0].text_content == ANSWER
    assert results.waiting == 0


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_of_a_long_tail_the_newest_are_read(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """And those written first. What is indexed counts as searched."""
    settings.MEMORY = {**settings.MEMORY, "INDEX_AFTER": None}
    write(chatter(5))
    pack("ada", USING)
    monkeypatch.setattr(unindexed, "MOST_ITEMS", 20)
    write(chatter(65)[5:])
    newest = MemoryItem.objects.create(user_id="ada", session_id="s", item_type="message", text_content=ANSWER)
    memory = read()
    assert newest.pk in memory.corpus.ids
    assert 61 - 20 <= memory.waiting <= 61 - 14  # the indexed ones may be read again
    assert found()[0].pk == newest.pk
    pack("ada", USING, lease=0)
    assert read().waiting == 0
    assert len(read().corpus) == 66


@pytest.mark.django_db(databases=["default", "memory"])
@pytest.mark.parametrize("values", [{}, {"metadata": {"numbers": list(range(2_000))}}])
def test_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    """Those of texts and of metadata."""
    monkeypatch.setattr(unindexed, "MOST_BYTES", 200_000)
    write([f"{number} {'x' * (20 if values else 60_000)}" for number in range(30)], **values)
    memory = read()
    assert 1 <= len(memory.corpus) <= 5
    assert memory.waiting >= 30 - len(memory.corpus)
    assert memory.tail == 30


@pytest.mark.django_db(databases=["default", "memory"])
@pytest.mark.embedded("the emulator takes long to store these texts; benchmarks/bounds.py measures it there")
def test_of_two_thousand_short_texts_few_are_read_and_embedded(
    monkeypatch: pytest.MonkeyPatch, texts_read: list[str]
) -> None:
    """Whatever the limit of results; `benchmarks/bounds.py` measures the time."""
    write([f"apple banana {text}" for text in chatter(2_000, words=50)])
    embedded: list[str] = []
    embed = MultilingualEmbedder.embed_documents

    def counted(self: MultilingualEmbedder, texts: Sequence[str]) -> Vectors:
        embedded.extend(texts)
        return embed(self, texts)

    monkeypatch.setattr(MultilingualEmbedder, "embed_documents", counted)
    results = found("apple banana cherry", limit=100)
    assert len(results) == 100
    assert 50 < len(texts_read) < 150
    assert 0 < sum(map(len, embedded)) < unindexed.MOST_EMBEDDED + 1_000  # those of the question are embedded, too
    assert results.waiting == 2_000 - len(texts_read)
