"""CrewAI's storage backend: its contract beside CrewAI's own storage, and what is ours."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from crewai.memory.storage.backend import EmbeddingDimensionMismatchError, StorageBackend
from crewai.memory.storage.lancedb_storage import LanceDBStorage
from crewai.memory.types import MemoryRecord
from crewai.memory.unified_memory import Memory

from memory.adapters.crewai import DjangoStorage
from memory.exceptions import ValidationError
from memory.models import MemoryItem
from tests.adapters import DATABASE

pytestmark = [DATABASE, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # CrewAI's own

FIRST = datetime(2026, 5, 1, 12)  # noqa: DTZ001  (CrewAI's times have no zone)
EAST, NORTH = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """CrewAI reports its use otherwise."""
    monkeypatch.setenv("CREWAI_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")


@pytest.fixture(params=["ours", "CrewAI's own"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> StorageBackend:
    """A storage of the framework, and ours."""
    return DjangoStorage("ada") if request.param == "ours" else LanceDBStorage(tmp_path / "lance", vector_dim=3)


@pytest.fixture
def ours() -> DjangoStorage:
    """Our storage."""
    return DjangoStorage("ada")


def record(content: str, scope: str = "/", vector: Any = EAST, **more: Any) -> MemoryRecord:
    """A record with a vector that another embedder made."""
    made = {"content": content, "scope": scope, "embedding": vector, "created_at": FIRST, **more}
    return MemoryRecord(**made)


def contents(found: Any) -> list[str]:
    """The texts of records, or of records with scores."""
    return [one[0].content if isinstance(one, tuple) else one.content for one in found]


def test_a_record_comes_back_as_it_was(storage: StorageBackend) -> None:
    """All fields; the vector to single precision."""
    saved = record(
        "Ada likes risotto", "/food/italian", [0.25, 0.5, 0.0], categories=["taste"], metadata={"n": 1, "tags": ["a"]},
        importance=0.75, source="ada", private=True,
    )  # fmt: skip
    storage.save([saved])
    found = storage.get_record(saved.id)
    assert found is not None
    assert found.model_dump() == saved.model_dump()
    assert found.embedding is not None
    assert np.allclose(found.embedding, [0.25, 0.5, 0.0])
    assert storage.get_record("none") is None


def test_the_nearest_come_first(storage: StorageBackend) -> None:
    """With scores that fall, above the least score."""
    storage.save([record("east", vector=EAST), record("north", vector=NORTH), record("between", vector=[0.8, 0.6, 0])])
    found = storage.search(EAST, limit=3)
    assert contents(found) == ["east", "between", "north"]
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert contents(storage.search(EAST, limit=1)) == ["east"]
    assert contents(storage.search(EAST, min_score=0.99)) == ["east"]


def test_a_scope_has_what_is_below_it(storage: StorageBackend) -> None:
    """For all methods."""
    storage.save([record("one", "/team/a"), record("two", "/team/b/c"), record("three", "/other"), record("root")])
    assert sorted(contents(storage.search(EAST, scope_prefix="/team"))) == ["one", "two"]
    assert sorted(contents(storage.list_records("/team"))) == ["one", "two"]
    assert storage.count("/team") == 2
    assert storage.count() == 4
    assert storage.list_scopes("/") == ["/other", "/team"]
    assert storage.list_scopes("/team") == ["/team/a", "/team/b"]
    assert storage.list_scopes("/team/a") == []
    assert storage.get_scope_info("/team").child_scopes == ["/team/a", "/team/b"]
    storage.reset("/team")
    assert sorted(contents(storage.list_records())) == ["root", "three"]
    storage.reset()
    assert storage.count() == 0


def test_categories_and_metadata_filter(storage: StorageBackend) -> None:
    """Any of the categories, all of the metadata."""
    storage.save([
        record("one", categories=["a", "b"], metadata={"k": 1, "l": 2}),
        record("two", categories=["b"], metadata={"k": 1}),
        record("three"),
    ])  # fmt: skip
    assert sorted(contents(storage.search(EAST, categories=["b", "x"]))) == ["one", "two"]
    assert contents(storage.search(EAST, metadata_filter={"k": 1, "l": 2})) == ["one"]
    assert storage.list_categories() == {"a": 1, "b": 2}
    assert storage.delete(categories=["a"]) == 1
    assert storage.delete(metadata_filter={"k": 1}) == 1
    assert contents(storage.list_records()) == ["three"]


def test_records_are_listed_newest_first(storage: StorageBackend) -> None:
    """In pages; the scope's times are those of its records."""
    storage.save([record(str(day), "/log", created_at=FIRST + timedelta(days=day)) for day in range(5)])
    assert contents(storage.list_records("/log", limit=2)) == ["4", "3"]
    assert contents(storage.list_records("/log", limit=2, offset=4)) == ["0"]
    assert storage.list_records(limit=0) == storage.list_records(offset=-1) == []
    info = storage.get_scope_info("/log")
    assert (info.path, info.record_count) == ("/log", 5)
    assert (info.oldest_record, info.newest_record) == (FIRST, FIRST + timedelta(days=4))


def test_deleting_returns_the_number(storage: StorageBackend) -> None:
    """By id, by age, and all."""
    old, new = record("old"), record("new", created_at=FIRST + timedelta(days=2))
    storage.save([old, new, record("third", created_at=FIRST + timedelta(days=3))])
    assert storage.delete(older_than=FIRST + timedelta(days=1)) == 1
    assert storage.delete(record_ids=[new.id, "none"]) == 1
    assert storage.delete() == 1
    assert storage.count() == 0


def test_an_update_replaces_the_record(storage: StorageBackend) -> None:
    """Also its scope and its vector; one that is not stored is stored."""
    first = record("Ada lives in Turin", "/a", EAST)
    storage.save([first])
    storage.update(first.model_copy(update={"content": "Ada lives in Bari", "scope": "/b", "embedding": NORTH}))
    found = storage.get_record(first.id)
    assert found is not None
    assert (found.content, found.scope, storage.count()) == ("Ada lives in Bari", "/b", 1)
    assert storage.search(NORTH, limit=1)[0][1] == pytest.approx(1.0)
    storage.update(record("another"))
    assert storage.count() == 2


def test_vectors_of_another_dimension_are_refused(storage: StorageBackend) -> None:
    """By CrewAI's error."""
    storage.save([record("one", vector=EAST)])
    with pytest.raises(EmbeddingDimensionMismatchError):
        storage.search([1.0, 0.0])


def test_async_methods(storage: StorageBackend) -> None:
    """Do the same."""

    async def calls() -> tuple[Any, int]:
        await storage.asave([record("one")])
        return await storage.asearch(EAST), await storage.adelete()

    found, deleted = async_to_sync(calls)()
    assert contents(found) == ["one"]
    assert (deleted, storage.count()) == (1, 0)


def test_a_scope_is_no_part_of_another_name(ours: DjangoStorage) -> None:
    """`/te` has nothing of `/team`; LanceDB's has."""
    ours.save([record("one", "/team"), record("two", "/te%/a_b")])
    assert ours.search(EAST, scope_prefix="/te") == []
    assert ours.count("/te") == 0
    assert contents(ours.list_records("te%/")) == ["two"]
    assert ours.list_scopes("/te%") == ["/te%/a_b"]


def test_a_filter_applies_before_the_limit(ours: DjangoStorage) -> None:
    """However many nearer records there are without the category."""
    near = [record(f"near {place}") for place in range(60)]
    ours.save([*near, record("far", vector=NORTH, categories=["rare"])])
    assert contents(ours.search(EAST, categories=["rare"], limit=2)) == ["far"]


def test_a_record_that_is_saved_again_is_replaced(ours: DjangoStorage) -> None:
    """A writer repeats a call whose answer was lost."""
    one = record("one")
    ours.save([one, record("two")])
    ours.save([one.model_copy(update={"content": "changed"}), record("three")])
    assert sorted(contents(ours.list_records())) == ["changed", "three", "two"]


# CrewAI's memory writes on threads of its own, which do not see the transaction of a test.
THREADED = pytest.mark.django_db(transaction=True, databases=["default", "memory"])


@pytest.fixture
def remembering(ours: DjangoStorage) -> Memory:
    """CrewAI's memory with our storage and the app's embedder; no language model is called."""
    return Memory(storage=ours, embedder=ours.embedder, llm="none", consolidation_threshold=1.0)


def remember(memory: Memory, text: str, scope: str = "/food", **more: Any) -> None:
    """Store a text with all that a language model would find out."""
    memory.remember(text, scope=scope, **{"categories": ["c"], "importance": 0.5, "metadata": {}, **more})


@THREADED
def test_recall_is_by_words_and_meaning(remembering: Memory, ours: DjangoStorage) -> None:
    """Through CrewAI's own class; the vectors are not stored with the items."""
    remember(remembering, "Ada's favourite dish is risotto with saffron")
    remember(remembering, "The invoice has the number 4711", "/work")
    for place in range(20):
        remember(remembering, f"It rained on day {place}", "/weather")
    assert remembering.recall("Which invoice is 4711?", depth="shallow", limit=1)[0].record.scope == "/work"
    [best] = remembering.recall("What does Ada like to eat?", scope="/food", depth="shallow", limit=1)
    assert "risotto" in best.record.content
    assert {item.embedding for item in MemoryItem.objects.filter(user_id="ada")} == {None}
    assert remembering.tree().splitlines()[0] == "/ (22 records)"


@THREADED
def test_other_code_finds_the_records(remembering: Memory) -> None:
    """They are items of the user, found by the app's search."""
    remember(remembering, "Ada's favourite dish is risotto with saffron")
    [best] = MemoryItem.objects.search("favourite dish", user_id="ada", limit=1)
    assert (best.item_type, best.session_id, best.importance) == ("memory", "crewai/food/", 0.5)
    assert remembering.forget(scope="/food") == 1
    assert MemoryItem.objects.filter(user_id="ada").count() == 0


@THREADED
def test_a_text_that_the_model_does_not_know_is_found_by_its_words(remembering: Memory) -> None:
    """Its vector is like no other: two such texts are not the same."""
    remember(remembering, "नीला छाता दरवाज़े के पास है")
    remember(remembering, "लाल साइकिल छत पर है")
    [best] = remembering.recall("साइकिल", depth="shallow", limit=1)
    assert "साइकिल" in best.record.content


def test_a_vector_whose_text_is_forgotten_is_compared(ours: DjangoStorage) -> None:
    """With those of the texts."""
    texts = ["Ada likes risotto", "The train was late"]
    ours.save([record(text, vector=vector) for text, vector in zip(texts, ours.embedder(texts), strict=True)])
    [vector] = ours.embedder(["Ada likes risotto"])
    again = DjangoStorage("ada")
    [(best, score), _] = again.search(vector)
    assert (best.content, score) == ("Ada likes risotto", pytest.approx(1.0))


def test_more_than_a_vector_may_have_is_refused(ours: DjangoStorage) -> None:
    """On every database, as on Firestore; nothing is stored."""
    with pytest.raises(ValidationError):
        ours.save([record("one", vector=[1.0] * 3072)])
    assert ours.count() == 0
