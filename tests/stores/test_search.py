"""Search through the stores: the stub matches a database, and a failing model raises like failing storage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from memory import exceptions
from memory.models import MemoryItem
from memory.search.embedders import EmbedderError
from memory.search.labelled import Conversation, read_conversations
from memory.search.packing import pack
from memory.search.stored import items_of
from memory.stores import ConcreteMemoryManager, MemoryManager, MemoryManagerStub
from memory.testing.embedders import DeterministicEmbedder
from tests.search.data import build

pytestmark = pytest.mark.django_db(databases=["default", "memory"])


class Away(DeterministicEmbedder):
    """A remote model that does not respond."""

    remote = True

    def embed_query(self, text: str) -> Any:
        """Fails."""
        raise EmbedderError("away failed (Timeout): try again later.")


@pytest.fixture(scope="module")
def conversation() -> Conversation:
    """A labelled one."""
    return read_conversations((build.FOLDER / "tuning.json").read_text("utf-8"))[0]


def remembering(manager: MemoryManager, conversation: Conversation) -> MemoryManager:
    """The manager, with the conversation in it."""
    manager.initialize()
    items = items_of(conversation.passages, "ada")
    async_to_sync(manager.add_memory_items)([*items, MemoryItem(user_id="ada", item_type="event")])
    return manager


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)  # an index is not written in one
def test_the_stub_finds_what_a_database_finds(conversation: Conversation) -> None:
    """The same items, order and scores, so that results of tests with the stub hold for indexed databases."""
    database = remembering(ConcreteMemoryManager(), conversation)
    pack("ada", "memory")
    assert_same(database, remembering(MemoryManagerStub(), conversation), conversation)


def test_the_stub_finds_what_a_database_without_an_index_finds(conversation: Conversation) -> None:
    """As long as the memory is small: all of it is embedded."""
    few = replace(conversation, passages=conversation.passages[:100])
    assert_same(remembering(ConcreteMemoryManager(), few), remembering(MemoryManagerStub(), few), few)


def assert_same(database: MemoryManager, stub: MemoryManager, conversation: Conversation) -> None:
    """The same results for the first questions."""
    for label in conversation.labels[:20]:
        expected, found = (async_to_sync(one.search)("ada", label.question) for one in (database, stub))
        assert [item.pk for item in found] == [item.pk for item in expected], label.question
        assert [item.score for item in found] == pytest.approx([item.score for item in expected], abs=1e-4)
    database.close()


def test_a_model_that_is_away_is_a_connection_error(settings: Any) -> None:
    """A later call may succeed; the model's message is in the cause."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{__name__}.Away"}
    manager = ConcreteMemoryManager()
    manager.initialize()
    with pytest.raises(exceptions.ConnectionError, match="embedder") as raised:
        async_to_sync(manager.search)("ada", "what did she paint?")
    assert isinstance(raised.value.__cause__, EmbedderError)
    manager.close()


class Failing(DeterministicEmbedder):
    """A local model that fails."""

    def embed_query(self, text: str) -> Any:
        """Fails."""
        raise RuntimeError("out of memory")


@pytest.mark.parametrize("store", [ConcreteMemoryManager, MemoryManagerStub])
@pytest.mark.parametrize(
    ("name", "error", "says"),
    [("Failing", exceptions.ConnectionError, "try again"), ("absent", exceptions.StorageError, "manage.py check")],
)
def test_every_store_names_the_model_in_its_errors(
    store: type[MemoryManager], name: str, error: type[Exception], says: str, settings: Any
) -> None:
    """Any error of the model, or a missing model, raises one of the errors that the contract names."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{__name__}.{name}"}
    manager = store()
    manager.initialize()
    with pytest.raises(error, match=says) as raised:
        async_to_sync(manager.search)("ada", "what did she paint?")
    assert type(raised.value) is error
    assert isinstance(raised.value.__cause__, EmbedderError)
    manager.close()


def test_the_stub_asks_no_model_elsewhere(settings: Any) -> None:
    """With a remote model the stub compares words: tests need no network."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{__name__}.Away"}
    stub = MemoryManagerStub()
    stub.initialize()
    async_to_sync(stub.add_memory_item)(MemoryItem(user_id="ada", item_type="fact", text_content="a lighthouse"))
    assert len(async_to_sync(stub.search)("ada", "lighthouses")) == 1
