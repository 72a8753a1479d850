"""Embedders that break their contract: writes succeed, searches raise, and no wrong vector is stored."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from memory.models import MemoryItem
from memory.search import background
from memory.search.embedders import EmbedderError
from memory.testing.embedders import DeterministicEmbedder

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

HERE = f"{__name__}."
LONG = "We paint the harbour. " * 200  # of several pieces


class Broken(DeterministicEmbedder):
    """A model that returns good vectors changed by `made`."""

    name = "broken"
    made: Callable[[Any], Any] = staticmethod(lambda vectors: vectors)

    def embed_documents(self, texts: Any) -> Any:
        """Something else."""
        return self.made(super().embed_documents(texts))

    def embed_query(self, text: str) -> Any:
        """Something else."""
        return self.made(DeterministicEmbedder().embed_query(text))


def away(vectors: Any) -> Any:
    """An error that a library may raise."""
    raise OSError("no route to secret-host")


WRONG = {
    "fails": away,
    "too few": lambda vectors: vectors[:-1],
    "too many": lambda vectors: np.concatenate([vectors, vectors]),
    "of another dimension": lambda vectors: vectors[..., :10],
    "deeper": lambda vectors: vectors[None],
    "nothing": lambda vectors: None,
    "texts": lambda vectors: ["a", "b"],
}


@pytest.fixture(params=WRONG)
def broken(request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`MEMORY["EMBEDDER"]` breaks its contract."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{HERE}Broken"}
    monkeypatch.setattr(Broken, "made", staticmethod(WRONG[request.param]))
    yield
    assert background.thread.wait(10)


@pytest.mark.parametrize("remote", [False, True])
def test_no_write_fails_and_nothing_wrong_is_stored(
    broken: None, remote: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single, bulk and changed items stay pending, and `memory_embed` exits with one sentence."""
    monkeypatch.setattr(Broken, "remote", remote, raising=False)
    MemoryItem.objects.create(id="a", user_id="ada", session_id="s", item_type="m", text_content="I painted a sunset.")
    texts = ["What did you do with your brushes?", LONG]
    some = [MemoryItem(user_id="ada", session_id="s", item_type="m", text_content=text) for text in texts]
    MemoryItem.objects.bulk_create(some)
    MemoryItem.objects.filter(pk="a").update(text_content="I painted the lake.")
    assert background.thread.wait(10)
    assert set(MemoryItem.objects.values_list("embedding_model", "text_embedding")) == {("", None)}
    with pytest.raises(CommandError, match=r"broken (failed|returned)"):
        call_command("memory_embed", stdout=io.StringIO(), stderr=io.StringIO())
    monkeypatch.setattr(Broken, "made", staticmethod(lambda vectors: vectors))
    call_command("memory_embed", stdout=io.StringIO(), stderr=io.StringIO())
    assert not MemoryItem.objects.filter(embedding_model="").exists()
    assert MemoryItem.objects.search("lake", user_id="ada", limit=1)[0].pk == "a"


def test_a_search_is_reported(broken: None, make_user: Any, client_for: Any) -> None:
    """An `EmbedderError`, a 503, and an admin warning beside keyword results; the library's message is omitted."""
    MemoryItem.objects.create(id="a", user_id="ada", item_type="m", text_content="I painted a sunset.")
    with pytest.raises(EmbedderError, match=r"broken (failed|returned)") as caught:
        MemoryItem.objects.search("sunset", user_id="ada")
    assert "secret" not in str(caught.value)
    client: APIClient = client_for(make_user("ada"))
    assert client.get("/api/memory-items/search/", {"q": "sunset"}).status_code == 503
    admin = Client()
    admin.force_login(make_user("root", is_staff=True, is_superuser=True))
    page = admin.get("/admin/memory/memoryitem/", {"q": "user:ada sunset"}).content.decode()
    assert "only keywords were searched" in page
    assert "I painted a sunset." in page


@pytest.mark.parametrize("factor", [np.nan, np.inf])
def test_non_numeric_vectors_are_rejected(
    factor: float, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The text with invalid numbers is found by its words, others also by their vectors; the failure is logged."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{HERE}Broken"}

    def made(vectors: Any) -> Any:
        return np.where(np.arange(len(vectors))[:, None] == 0, factor, vectors) if vectors.ndim > 1 else vectors

    monkeypatch.setattr(Broken, "made", staticmethod(made))
    texts = ["I painted a sunset.", "The ferry was late."]
    some = [MemoryItem(id=text, user_id="ada", item_type="m", text_content=text) for text in texts]
    MemoryItem.objects.bulk_create(some)
    assert "NaN or infinite values" in caplog.text
    assert MemoryItem.objects.get(id=texts[0]).text_embedding is None
    assert MemoryItem.objects.get(id=texts[1]).text_embedding is not None
    assert [MemoryItem.objects.search(text, user_id="ada", limit=1)[0].pk for text in texts] == texts


def test_lists_of_any_length_are_vectors(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedder may return lists, and vectors longer than 1: they are normalized."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{HERE}Broken"}
    monkeypatch.setattr(Broken, "made", staticmethod(lambda vectors: (vectors * 100).tolist()))
    item = MemoryItem.objects.create(user_id="ada", item_type="m", text_content="I painted a sunset.")
    assert np.linalg.norm(item.text_embedding) == pytest.approx(1.0, abs=1e-5)
    (found,) = MemoryItem.objects.search("a sunset", user_id="ada")
    assert 0 < found.score <= 1.0


def raises() -> Broken:
    """A factory that raises any error."""
    raise KeyError("API_KEY")


def lacks() -> object:
    """A factory that returns something else."""
    return object()


def too_large() -> DeterministicEmbedder:
    """A factory of vectors that no database accepts."""
    return DeterministicEmbedder(4_096)


@pytest.mark.parametrize(
    "path", [f"{HERE}raises", f"{HERE}lacks", f"{HERE}too_large", f"{HERE}absent", "builtins.dict"]
)
def test_a_path_that_makes_no_embedder_fails_no_write(
    path: str, settings: Any, make_user: Any, client_for: Any
) -> None:
    """Writes succeed; searches and the commands raise an error that names the path."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": path}
    MemoryItem.objects.create(id="a", user_id="ada", item_type="m", text_content="I painted a sunset.")
    MemoryItem.objects.filter(pk="a").update(text_content="I painted the lake.")
    assert MemoryItem.objects.filter(embedding_model="").count() == 1
    with pytest.raises(EmbedderError, match=path.replace(".", r"\.")):
        MemoryItem.objects.search("lake", user_id="ada")
    assert client_for(make_user("ada")).get("/api/memory-items/search/", {"q": "lake"}).status_code == 503
    for command in ("memory_embed", "memory_reembed"):
        options = {"to": path} if command == "memory_reembed" else {}
        with pytest.raises(CommandError, match=path.replace(".", r"\.")):
            call_command(command, skip_checks=True, stdout=io.StringIO(), **options)
