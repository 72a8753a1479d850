"""Vectors computed after the write: by a task, by this process' thread, or by command; failures undo no write."""

from __future__ import annotations

import io
import logging
import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import override_settings

from memory.conf import memory_settings
from memory.embedding import model_name
from memory.models import MemoryItem
from memory.search import background, pending
from memory.search.embedders import EmbedderError, Vectors
from memory.search.reading import read_base
from memory.testing.embedders import DeterministicEmbedder

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


class Remote(DeterministicEmbedder):
    """A remote model: its calls are recorded, and each runs `meanwhile` first."""

    name = "remote"
    remote = True
    calls: ClassVar[list[list[str]]] = []
    meanwhile: ClassVar[Callable[[], object]] = lambda: None

    def embed_documents(self, texts: Any) -> Vectors:
        """Embed like the base class, after `meanwhile`."""
        self.calls.append(list(texts))
        type(self).meanwhile()
        return super().embed_documents(texts)


class Deferred(DeterministicEmbedder):
    """A model that embeds when items are indexed; its calls are recorded."""

    name = "deferred"
    deferred = True
    calls: ClassVar[list[str]] = []

    def embed_documents(self, texts: Any) -> Vectors:
        """Embed like the base class."""
        self.calls.extend(texts)
        return super().embed_documents(texts)


class Other(DeterministicEmbedder):
    """Another local model, with another dimension."""

    name = "other"

    def __init__(self) -> None:
        super().__init__(32)


ROOT = Path(__file__).parent.parent.parent
REMOTE, OTHER, DEFERRED = (model_name(one()) for one in (Remote, Other, Deferred))
HERE = f"{__name__}."


@pytest.fixture(autouse=True)
def _remote(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{HERE}Remote"}
    monkeypatch.setattr(Remote, "calls", [])
    monkeypatch.setattr(Remote, "meanwhile", lambda: None)


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is embedded automatically; the ids that would have been."""
    handed: list[str] = []
    monkeypatch.setattr(background.thread, "put", lambda ids, using: handed.extend(ids))
    return handed


def embed(command: str = "memory_embed", **options: Any) -> str:
    """The command's output."""
    out = io.StringIO()
    call_command(command, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def models() -> dict[str, str]:
    """By item, the model of its vector, which it has if and only if it has a model's name and a text."""
    found = {item.pk: item for item in MemoryItem.all_objects.all()}
    for item in found.values():
        assert (item.text_embedding is not None) == bool(item.embedding_model and item.text_content), item
    return {pk: item.embedding_model for pk, item in found.items()}


def failing() -> None:
    """An unavailable model."""
    raise EmbedderError("remote failed (Timeout): try again later.")


# By command


def test_what_waits_is_completed(make_item: Callable[..., MemoryItem], by_hand: list[str]) -> None:
    """In batches; a second run finds nothing to do, and the model embeds each text once."""
    for number in range(5):
        make_item(id=f"i{number}")
    make_item(id="silent", text_content=None)
    assert by_hand == [f"i{number}" for number in range(5)]
    assert models() == {**{f"i{number}": "" for number in range(5)}, "silent": REMOTE}
    assert "5 items indexed" in embed(batch_size=2)
    assert set(models().values()) == {REMOTE}
    assert [len(call) for call in Remote.calls] == [2, 2, 1]
    assert "0 items indexed" in embed()
    assert len(Remote.calls) == 3
    assert MemoryItem.objects.search("text 3", user_id="ada")[0].pk == "i2"


def test_counting_completes_nothing(make_item: Callable[..., MemoryItem], by_hand: list[str]) -> None:
    """`--check` is an error while items are pending, for deployments and monitors."""
    make_item(id="a")
    with pytest.raises(CommandError, match="1 items are pending"):
        embed(check=True)
    assert models() == {"a": ""}
    embed()
    assert embed(check=True) == "No items are pending.\n"


@pytest.mark.parametrize("command", ["memory_embed", "memory_reembed"])
def test_an_unknown_database_is_one_sentence(command: str) -> None:
    """The error is one sentence, not a traceback."""
    options = {"to": f"{HERE}Other"} if command == "memory_reembed" else {}
    with pytest.raises(CommandError, match=r"--database nowhere: unknown alias"):
        embed(command, database="nowhere", **options)


def test_one_users_items(make_item: Callable[..., MemoryItem], by_hand: list[str]) -> None:
    """`--user` selects the items of one user."""
    make_item(id="a")
    make_item(id="b", user_id="bob")
    embed(user="bob")
    assert models() == {"a": "", "b": REMOTE}


def test_it_goes_on_where_it_was_cut_off(
    make_item: Callable[..., MemoryItem], by_hand: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing model ends the run with one sentence; stored vectors stay, and are not computed again."""
    for number in range(6):
        make_item(id=f"i{number}")
    monkeypatch.setattr(Remote, "meanwhile", lambda: failing() if len(Remote.calls) == 3 else None)
    with pytest.raises(CommandError, match=r"remote failed.*run the command again"):
        embed(batch_size=2)
    assert sorted(models().values()) == ["", "", *[REMOTE] * 4]
    monkeypatch.setattr(Remote, "meanwhile", lambda: None)
    assert "2 items indexed" in embed(batch_size=2)
    assert set(models().values()) == {REMOTE}


def test_what_changes_or_goes_meanwhile_is_not_overwritten(
    make_item: Callable[..., MemoryItem], by_hand: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new text gets its own vector, other fields keep concurrent changes, and deleted items stay deleted."""
    changed, gone, moved = (make_item(id=name) for name in ("changed", "gone", "moved"))

    def meanwhile() -> None:
        monkeypatch.setattr(Remote, "meanwhile", lambda: None)
        MemoryItem.objects.filter(pk=changed.pk).update(text_content="quite another text")
        MemoryItem.objects.filter(pk=gone.pk).delete()
        MemoryItem.objects.filter(pk=moved.pk).update(persona_active="critic", metadata={"kept": True})

    monkeypatch.setattr(Remote, "meanwhile", meanwhile)
    embed()
    assert models() == {"changed": REMOTE, "moved": REMOTE}
    found = MemoryItem.objects.get(pk="changed")
    assert found.text_content == "quite another text"
    assert found.text_embedding == pytest.approx(Remote().embed_documents(["quite another text"])[0].tolist(), abs=1e-6)
    moved = MemoryItem.objects.get(pk="moved")
    assert (moved.persona_active, moved.metadata) == ("critic", {"kept": True})
    assert [len(call) for call in Remote.calls[:2]] == [3, 1]


def test_vectors_of_earlier_versions_are_replaced(make_item: Callable[..., MemoryItem], by_hand: list[str]) -> None:
    """They were mixed with those of earlier turns, and are told apart by the name of their model."""
    make_item(id="old")
    embed()
    MemoryItem.objects.filter(pk="old").update(embedding_model=f"{REMOTE}+context1", text_embedding=[1.0] * 64)
    with pytest.raises(CommandError, match="1 items are pending"):
        embed(check=True)
    embed()
    assert models() == {"old": REMOTE}
    assert MemoryItem.objects.get(pk="old").text_embedding != [1.0] * 64


# When indexed


@pytest.fixture
def deferred(settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that the model embeds, when items are indexed by hand."""
    monkeypatch.setattr(Deferred, "calls", [])
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{HERE}Deferred", "INDEX_AFTER": None}
    return Deferred.calls


def vectors_in_the_index() -> int:
    """The vectors of ada's entries."""
    return len(read_base("ada", memory_settings.database, DEFERRED)[1].segment.corpus.vectors)


def test_a_deferred_model_embeds_when_items_are_indexed(
    make_item: Callable[..., MemoryItem], by_hand: list[str], deferred: list[str]
) -> None:
    """A write embeds nothing, its items have no vectors and wait for none; the index has one for each piece."""
    make_item(id="short", text_content="a walk by the river")
    long = "\n".join(" ".join(f"word{number}" for number in range(start, start + 50)) for start in (0, 50, 100))
    make_item(id="long", text_content=long)
    MemoryItem.objects.bulk_create(
        [MemoryItem(id="many", user_id="ada", item_type="m", text_content="a boat on the lake")]
    )
    assert deferred == by_hand == []
    stored = MemoryItem.all_objects.defer(None)
    assert {(one.text_embedding, one.embedding_model) for one in stored} == {(None, DEFERRED)}
    assert embed(check=True) == "No items are pending.\n"
    assert "0 items indexed" in embed()
    call_command("memory_index", stdout=io.StringIO(), stderr=io.StringIO())
    assert len(deferred) == vectors_in_the_index() == 6
    del deferred[:]
    assert MemoryItem.objects.search("a boat on the lake", user_id="ada")[0].pk == "many"
    assert long not in deferred


def test_a_search_before_the_index_embeds_what_it_reads(
    make_item: Callable[..., MemoryItem], deferred: list[str]
) -> None:
    """So the first search finds by meaning, too; the vectors are kept for the next one."""
    make_item(id="a", text_content="a walk by the river")
    for _ in range(2):
        [found] = MemoryItem.objects.search("river walk", user_id="ada", explain=True)
        assert found.pk == "a"
    assert deferred.count("a walk by the river") == 1


def test_stored_vectors_of_another_model_are_not_compared(
    make_item: Callable[..., MemoryItem], by_hand: list[str], settings: Any, deferred: list[str]
) -> None:
    """Neither those of items nor those of the index, which is made anew; an item that is saved drops its vector."""
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{HERE}Other"}
    old, other = make_item(id="old"), make_item(id="other", text_content="quite another text")
    call_command("memory_index", stdout=io.StringIO(), stderr=io.StringIO())
    assert models() == {"old": OTHER, "other": OTHER}
    settings.MEMORY = {**settings.MEMORY, "EMBEDDER": f"{HERE}Deferred"}
    assert vectors_in_the_index() == 0
    assert MemoryItem.objects.search("quite another text", user_id="ada")[0].pk == other.pk
    call_command("memory_index", stdout=io.StringIO(), stderr=io.StringIO())
    assert vectors_in_the_index() == 2
    old.save()
    stored = MemoryItem.all_objects.defer(None).get(pk="old")
    assert (stored.text_embedding, stored.embedding_model) == (None, DEFERRED)


def memory() -> dict[str, Any]:
    """The current settings."""
    from django.conf import settings

    return dict(settings.MEMORY)


def test_a_memory_moves_to_another_model(
    make_item: Callable[..., MemoryItem], by_hand: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searches find all items before, during and after it; items that the old model embeds meanwhile follow."""
    for number in range(6):
        make_item(id=f"i{number}", text_content=f"lighthouse number {number}")
    embed()
    everything = {f"i{number}" for number in range(6)}

    def found() -> set[str]:
        return {item.pk for item in MemoryItem.objects.search("the lighthouse", user_id="ada")}

    batches = pending.batches
    between = []

    def watched(items: Any, size: int) -> Iterator[Any]:
        for batch in batches(items, size):
            between.append((found(), sorted(models().values())))
            yield batch

    monkeypatch.setattr(pending, "batches", watched)
    said = embed("memory_reembed", to=f"{HERE}Other", batch_size=2)
    assert "6 items indexed" in said
    assert f"'{HERE}Other'" in said
    assert [names.count(OTHER) for _, names in between] == [0, 2, 4]
    assert all(seen == everything for seen, _ in between)
    assert found() == everything
    make_item(id="late")
    with override_settings(MEMORY={**memory(), "EMBEDDER": f"{HERE}Other"}):
        assert found() - {"late"} == everything
        assert "1 items indexed" in embed()
        assert set(models().values()) == {OTHER}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere.Embedder", "nowhere"),
        ("memory.search.embedders.google.GoogleEmbedder", "credentials or project"),
        ("collections.OrderedDict", "is not an embedder"),
    ],
)
def test_a_model_that_cannot_be_had_is_one_sentence(path: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the option, its value, and the reason."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CommandError, match=rf"--to.*{path}.*{said}"):
        embed("memory_reembed", to=path)


@pytest.mark.parametrize("size", ["0", "501", "ten", "-1"])
def test_a_batch_has_a_size(size: str) -> None:
    """From 1 to 500."""
    with pytest.raises(CommandError, match="batch-size"):
        call_command("memory_embed", f"--batch-size={size}")


# Automatically


def test_a_write_is_followed_by_its_vector(make_item: Callable[..., MemoryItem]) -> None:
    """By every write path that changes a text."""
    make_item(id="saved")
    MemoryItem.objects.bulk_create(
        [MemoryItem(id=f"b{n}", user_id="ada", item_type="m", text_content="x") for n in "12"]
    )
    assert background.thread.wait(20)
    assert models() == {"saved": REMOTE, "b1": REMOTE, "b2": REMOTE}
    MemoryItem.objects.filter(pk="saved").update(text_content="another text")
    assert background.thread.wait(20)
    assert MemoryItem.objects.get(pk="saved").text_embedding == pytest.approx(
        Remote().embed_documents(["another text"])[0].tolist(), abs=1e-6
    )


def test_a_model_that_is_slow_or_away_holds_nothing_up(
    make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The write returns while the model is running; items that it fails for are left to the command."""
    thinking = threading.Event()

    def slow_and_away() -> None:
        assert thinking.wait(20)
        failing()

    monkeypatch.setattr(Remote, "meanwhile", slow_and_away)
    make_item(id="a")
    assert models() == {"a": ""}
    thinking.set()
    assert background.thread.wait(20)
    assert models() == {"a": ""}
    assert "memory_embed" in caplog.text
    monkeypatch.setattr(Remote, "meanwhile", lambda: None)
    make_item(id="b")  # the thread lives on
    assert background.thread.wait(20)
    assert models() == {"a": "", "b": REMOTE}
    embed()
    assert models() == {"a": REMOTE, "b": REMOTE}


def test_the_queue_is_bounded(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items beyond the limit are dropped and logged, and nothing waits for them."""
    done: list[str] = []
    gate = threading.Event()
    thread = background.BackgroundThread(
        "test", lambda ids, using: gate.wait(20) and done.extend(ids), "memory_embed", most=3
    )
    thread.put(["first"], "memory")
    for _ in range(200):  # until the thread has taken it
        if not thread._queue:
            break
        threading.Event().wait(0.01)
    thread.put(list("abcde"), "memory")
    assert "2 wait for manage.py memory_embed: the queue is full" in caplog.text
    gate.set()
    assert thread.wait(20)
    assert done == ["first", "a", "b", "c"]
    thread.end()


def test_a_process_that_ends_drops_what_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process waits a moment for the current batch, and starts no other."""
    gate = threading.Event()
    monkeypatch.setattr(background, "LAST_SECONDS", 0.05)
    thread = background.BackgroundThread("test", lambda ids, using: gate.wait(20), "memory_embed")
    thread.put(["a"], "memory")
    thread.end()
    thread.put(["b"], "memory")
    assert not thread._queue
    gate.set()
    assert thread.wait(20)


ENDING = """
import sys, time
sys.path.insert(0, {root!r})
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "memory"], USE_TZ=True,
    DATABASES={{"default": {{"ENGINE": "memory.backends.sqlite", "NAME": {file!r}}}}},
    MEMORY={{"CACHE": None, "EMBEDDER": "tests.search.test_embedding.Remote"}},
)
import django
django.setup()
from django.core.management import call_command
from memory.models import MemoryItem
from tests.search.test_embedding import Remote
call_command("migrate", verbosity=0)
Remote.meanwhile = lambda: time.sleep({seconds})
MemoryItem.objects.create(id="a", user_id="ada", item_type="m", text_content="x")
time.sleep(0.3)
"""


@pytest.mark.embedded("a process of its own, with a database file of its own")
@pytest.mark.parametrize(("seconds", "expected"), [(1, REMOTE), (60, "")])
def test_a_process_ends_whatever_the_model_does(tmp_path: Path, seconds: int, expected: str) -> None:
    """A batch that is nearly done is written; a slow one does not delay the exit, and its items stay pending."""
    script = ENDING.format(root=str(ROOT), file=str(tmp_path / "db.sqlite3"), seconds=seconds)
    done = subprocess.run([sys.executable, "-c", script], timeout=40, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    with sqlite3.connect(tmp_path / "db.sqlite3") as database:
        assert database.execute("SELECT embedding_model FROM memory_items").fetchall() == [(expected,)]
    database.close()


def _in_a_fork(answer: Any) -> None:
    answer.put((background.thread._thread is None, len(background.thread._queue)))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the test is about the case that it warns of
def test_a_fork_has_a_thread_of_its_own(make_item: Callable[..., MemoryItem]) -> None:
    """A forked server process inherits neither the thread nor its queue."""
    make_item(id="a")
    assert background.thread.wait(20)
    assert background.thread._thread is not None
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    child = context.Process(target=_in_a_fork, args=(answer,))
    child.start()
    child.join(20)
    assert answer.get() == (True, 0)


# By the project's tasks


def test_a_project_with_tasks_gets_a_task(settings: Any, make_item: Callable[..., MemoryItem]) -> None:
    """Enqueued after the commit, with ids alone; running it completes the items."""
    package = "django.tasks" if find_spec("django.tasks") else "django_tasks"
    if package == "django_tasks":
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, package]
    settings.TASKS = {"default": {"BACKEND": f"{package}.backends.dummy.DummyBackend"}}
    default_task_backend = import_module(package).default_task_backend
    default_task_backend.clear()
    MemoryItem.objects.bulk_create(
        [MemoryItem(id=f"i{n}", user_id="ada", item_type="m", text_content=f"text {n}") for n in range(150)]
    )
    assert background.thread.wait(0)
    results = default_task_backend.results
    assert [len(result.args[0]) for result in results] == [100, 50]
    assert set(models().values()) == {""}
    for result in results:
        result.task.call(*result.args, **result.kwargs)
    assert set(models().values()) == {REMOTE}


@pytest.mark.parametrize("backend", ["django.tasks.backends.immediate.ImmediateBackend", ""])
def test_tasks_that_run_in_place_are_not_used(settings: Any, backend: str) -> None:
    """Django's default backend runs a task in place, so the write would wait for the model."""
    settings.TASKS = {"default": {"BACKEND": backend}}
    assert background.task() is None


def test_a_queue_that_is_away_fails_no_write(
    settings: Any,
    make_item: Callable[..., MemoryItem],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The item is stored, the failure logged, and the vector left to the command."""

    def away(ids: Any, using: str) -> None:
        raise ConnectionError("the queue is away")

    monkeypatch.setattr(background, "task", lambda: away)
    with caplog.at_level(logging.ERROR):
        make_item(id="a")
    assert models() == {"a": ""}
    assert "the queue is away" in caplog.text
    embed()
    assert models() == {"a": REMOTE}


def test_a_rolled_back_write_is_not_embedded(by_hand: list[str]) -> None:
    """Uncommitted items are not enqueued."""
    with pytest.raises(KeyError), transaction.atomic(using=memory_settings.database):
        _create_and_fail()
    assert by_hand == []


def _create_and_fail() -> None:
    MemoryItem.objects.create(user_id="ada", item_type="m", text_content="x")
    raise KeyError


def missing() -> Remote:
    """An embedder whose package is not installed."""
    raise EmbedderError('GoogleEmbedder needs google-genai: pip install "orchestra-memory[google]".')


def test_a_model_that_cannot_be_made_fails_no_write(
    make_item: Callable[..., MemoryItem], by_hand: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Writes succeed and stay pending; a search and the command raise an error that names the missing package."""
    with override_settings(MEMORY={**memory(), "EMBEDDER": f"{HERE}missing"}):
        make_item(id="a")
        MemoryItem.objects.filter(pk="a").update(text_content="a lighthouse")
        assert "needs google-genai" in caplog.text
        with pytest.raises(EmbedderError, match="needs google-genai"):
            MemoryItem.objects.search("lighthouse", user_id="ada")
        with pytest.raises(CommandError, match="needs google-genai"):
            embed()
    assert models() == {"a": ""}
    assert "1 items indexed" in embed()
