"""The statements of the app's verbs and, on Firestore, their calls and documents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils import timezone
from rest_framework.test import APIClient

from memory import history
from memory.models import AgentData, MemoryItem, UserSession
from memory.stores import FirestoreMemoryManager

pytestmark = pytest.mark.django_db(databases=["default", "memory"], transaction=True)

Call = tuple[str, int, int]


class Cost:
    """The statements on the memory's database, and their calls: method, documents read, documents written."""

    def __init__(self) -> None:
        self._captured = CaptureQueriesContext(connections["memory"])

    def __enter__(self) -> Cost:
        self._captured.__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._captured.__exit__(*exc_info)

    @property
    def statements(self) -> int:
        """Their number."""
        return len(self._captured.captured_queries)

    @property
    def calls(self) -> list[Call]:
        """None on SQL databases."""
        rpcs = [rpc for entry in self._captured.captured_queries for rpc in entry.get("rpcs", ())]
        return [(rpc["method"], rpc["documents_read"], rpc["documents_written"]) for rpc in rpcs]

    def assert_calls(self, *calls: Call) -> None:
        """On Firestore, exactly these."""
        assert self.calls == (list(calls) if connections["memory"].vendor == "firestore" else [])


GET: Call = ("GetDocument", 1, 0)
BEGIN: Call = ("BeginTransaction", 0, 0)


@pytest.fixture
def ada(make_user: Callable[..., Any], client_for: Callable[[Any], APIClient]) -> APIClient:
    """The client of a user whose id is "ada"."""
    return client_for(make_user("ada"))


@pytest.mark.parametrize(
    "read",
    [
        lambda item: MemoryItem.objects.get(pk=item.pk),
        lambda item: MemoryItem.objects.get(id=item.pk, user_id="ada", session_id="s"),
        lambda item: MemoryItem.objects.for_user("ada").without_search_data().get(pk=item.pk),
        lambda item: MemoryItem.objects.filter(pk=item.pk).first(),
        lambda item: MemoryItem.objects.filter(pk=item.pk).exists(),
        lambda item: MemoryItem.objects.filter(pk=item.pk).count(),
        lambda item: item.refresh_from_db(),
        lambda item: item.refresh_from_db(fields=["text_content"]),
    ],
)
def test_a_live_item_by_its_key_is_one_read(make_item: Callable[..., MemoryItem], read: Callable[[Any], Any]) -> None:
    """`objects` excludes expired items, which is evaluated on the document."""
    item = make_item(session_id="s")
    with Cost() as cost:
        read(item)
    assert cost.statements == 1
    cost.assert_calls(GET)


def test_an_expired_item_is_read_and_not_returned(make_item: Callable[..., MemoryItem]) -> None:
    """Also in an API request."""
    item = make_item(expiration=timezone.now() - timedelta(seconds=1))
    with Cost() as cost, pytest.raises(MemoryItem.DoesNotExist):
        MemoryItem.objects.get(pk=item.pk)
    cost.assert_calls(GET)


def test_retrieving_over_the_api_is_one_read(ada: APIClient, make_item: Callable[..., MemoryItem]) -> None:
    """Of items, and of another user's."""
    mine, other = make_item(user_id="ada"), make_item(user_id="bob")
    for item, status in ((mine, 200), (other, 404)):
        with Cost() as cost:
            assert ada.get(f"/api/memory-items/{item.pk}/").status_code == status
        assert cost.statements == 1
        cost.assert_calls(GET)


def test_agent_data_by_its_key_is_one_read() -> None:
    """As items."""
    data = AgentData.objects.create(agent_id="a", data_type="t")
    with Cost() as cost:
        assert AgentData.objects.get(pk=data.pk) == data
    cost.assert_calls(GET)


@pytest.mark.parametrize("known", [False, True])
def test_creating_an_item_is_one_commit(make_item: Callable[..., MemoryItem], known: bool) -> None:
    """The item and the row of its session, whether the session is new or known: nothing is read."""
    if known:
        make_item(session_id="s")
    item = MemoryItem(user_id="ada", session_id="s", item_type="m")
    with Cost() as cost:
        item.save()
    cost.assert_calls(("Commit", 0, 2))
    with Cost() as cost:
        MemoryItem.objects.bulk_create(
            MemoryItem(user_id="ada", session_id=session, item_type="m") for session in ("s", "s", "t", None)
        )
    cost.assert_calls(("Commit", 0, 6))


@pytest.mark.parametrize("fields", [None, ["metadata"]])
def test_changing_an_item_is_a_lookup_and_a_commit(make_item: Callable[..., MemoryItem], fields: Any) -> None:
    """`save()` must know whether the row exists."""
    item = make_item(session_id="s")
    item.metadata = {"n": 1}
    with Cost() as cost:
        item.save(update_fields=fields)
    cost.assert_calls(("BatchGetDocuments", 1, 0), ("Commit", 0, 2))


def test_items_without_a_session_and_agent_data_are_one_write() -> None:
    """They have no other row."""
    for record in (MemoryItem(user_id="ada", item_type="m"), AgentData(agent_id="a", data_type="t")):
        with Cost() as cost:
            record.save()
        cost.assert_calls(("Commit", 0, 1))


@isolate_apps("memory")
def test_managers_of_other_databases_and_models_do_not_share_querysets(make_item: Callable[..., MemoryItem]) -> None:
    """Managers keep a queryset to copy."""
    make_item(id="one")
    assert [item.pk for item in MemoryItem.objects.db_manager("memory").all()] == ["one"]
    assert MemoryItem.objects.using("memory").db == "memory"
    assert MemoryItem.objects.db_manager("default").all().db == "default"
    assert MemoryItem.objects.all().db == "memory"

    class Kept(MemoryItem):
        class Meta:
            app_label = "memory"
            proxy = True

    assert Kept.objects.all().model is Kept
    assert MemoryItem.objects.all().model is MemoryItem


def items_of(session: str) -> Any:
    """A session's live items."""
    return MemoryItem.objects.for_user("ada").in_session(session)


def commit(writes: int) -> Call:
    """A commit of writes."""
    return ("Commit", 0, writes)


def query(documents: int) -> Call:
    """A query that returns documents; one that returns none is billed as one."""
    return ("RunQuery", documents, 0)


VERBS: dict[str, tuple[Callable[[Any, MemoryItem], Any], list[Call]]] = {
    "recent()": (lambda api, item: list(items_of("s").recent(20)), [query(2)]),
    "count()": (lambda api, item: items_of("s").count(), [("RunAggregationQuery", 1, 0)]),
    "exists()": (lambda api, item: items_of("s").exists(), [query(1)]),
    "first()": (lambda api, item: items_of("s").first(), [query(1)]),
    "in_bulk()": (lambda api, item: MemoryItem.objects.in_bulk([item.pk]), [GET]),
    "history": (lambda api, item: history.recent("ada", "s", 20, "memory"), [query(2)]),
    "recent() of sessions": (lambda api, item: list(UserSession.objects.for_user("ada").recent(5)), [query(1)]),
    "get() of a session": (lambda api, item: UserSession.objects.get(pk="ada:s"), [GET]),
    "update() of one field by key": (
        lambda api, item: MemoryItem.objects.filter(pk=item.pk).update(item_type="n"),
        [GET, commit(1)],
    ),
    "update() of one field": (lambda api, item: items_of("s").update(item_type="n"), [query(2), commit(2)]),
    "update() of a text": (
        lambda api, item: MemoryItem.objects.filter(pk=item.pk).update(text_content="n"),
        [BEGIN, GET, GET, commit(2)],
    ),
    "bulk_update()": (lambda api, item: MemoryItem.objects.bulk_update([item], ["metadata"]), [BEGIN, GET, commit(2)]),
    "delete() of an item": (
        lambda api, item: item.delete(),
        [("BatchGetDocuments", 1, 0), BEGIN, GET, query(2), query(2), commit(2)],
    ),
    "delete() by key": (
        lambda api, item: MemoryItem.objects.filter(pk=item.pk).delete(),
        [BEGIN, GET, GET, GET, query(2), query(2), commit(2)],
    ),
    "delete() of a session": (
        lambda api, item: UserSession.objects.get(pk="ada:s").delete(),
        [GET, BEGIN, GET, query(2), commit(3)],
    ),
    "purge()": (lambda api, item: MemoryItem.all_objects.purge(), [query(1)]),
    "get_or_create()": (lambda api, item: MemoryItem.objects.get_or_create(id="new", defaults=NEW), [GET, commit(2)]),
    "API list": (lambda api, item: api.get("/api/memory-items/?session_id=s"), [query(2)]),
    "API history": (lambda api, item: api.get("/api/sessions/ada:s/history/"), [GET, query(2)]),
    "API sessions": (lambda api, item: api.get("/api/sessions/"), [query(1)]),
    "API create": (lambda api, item: api.post("/api/memory-items/", NEW, format="json"), [commit(2)]),
    "API patch": (
        lambda api, item: api.patch(f"/api/memory-items/{item.pk}/", {"item_type": "n"}, format="json"),
        [BEGIN, GET, commit(2)],
    ),
    "API put": (
        lambda api, item: api.put(f"/api/memory-items/{item.pk}/", WHOLE, format="json"),
        [BEGIN, GET, commit(2)],
    ),
    "API delete": (
        lambda api, item: api.delete(f"/api/memory-items/{item.pk}/"),
        [GET, ("BatchGetDocuments", 1, 0), BEGIN, GET, query(2), query(2), commit(2)],
    ),
    "API bulk": (
        lambda api, item: api.post("/api/memory-items/bulk/", {"items": [NEW, NEW]}, format="json"),
        [commit(3)],
    ),
    "API agent data": (lambda api, item: api.post("/api/agent-data/", {"data_type": "t"}, format="json"), [commit(1)]),
    "API session": (lambda api, item: api.post("/api/sessions/", {"session_id": "t"}, format="json"), [commit(1)]),
    "store: add": (lambda api, item: stored("add_memory_item", MemoryItem(**NEW)), [commit(2)]),
    "store: add several": (
        lambda api, item: stored("add_memory_items", [MemoryItem(**NEW), MemoryItem(**NEW)]),
        [commit(3)],
    ),
    "store: get": (lambda api, item: stored("get_memory_item", item.pk), [GET]),
    "store: history": (lambda api, item: stored("get_conversation_history", "ada", "s"), [query(2)]),
    "store: duplicate": (lambda api, item: stored("check_duplicate", MemoryItem(**NEW)), [query(1)]),
    "store: agent data": (
        lambda api, item: stored("add_raw_agent_data", AgentData(agent_id="a", data_type="t")),
        [commit(1)],
    ),
    "store: get agent data": (lambda api, item: stored("get_raw_agent_data", "none"), [GET]),
    "store: semantic search": (lambda api, item: stored("semantic_search", "ada", [1.0, 0.0]), [query(2)]),
    "store: health": (lambda api, item: stored("health_check"), [query(1)]),
    "store: cleanup": (lambda api, item: stored("cleanup_expired_items"), [query(1), query(1)]),
}
WHOLE = {
    **{"user_id": "ada", "session_id": "s", "item_type": "m", "text_content": "A new text.", "persona_active": None},
    **{"timestamp": "2026-01-02T03:04:05Z", "embedding": None, "metadata": {}, "expiration": None},
}
NEW = {"user_id": "ada", "session_id": "s", "item_type": "m", "text_content": "A new text."}


class Hop(Exception):
    """What a store's thread is to run."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__()
        self.function = function


def stored(verb: str, *arguments: Any) -> Any:
    """The only work of a store's thread for a verb, on this thread's connection."""
    manager = FirestoreMemoryManager()
    manager._ready = True  # `initialize()` reads an item

    async def hop(function: Callable[[], Any]) -> Any:
        raise Hop(function)

    manager._threads.run = hop  # type: ignore[method-assign]
    with pytest.raises(Hop) as hopped:
        asyncio.run(getattr(manager, verb)(*arguments))
    return hopped.value.function()


@pytest.mark.parametrize("verb", VERBS)
def test_the_calls_of_each_verb(verb: str, ada: APIClient, make_item: Callable[..., MemoryItem], settings: Any) -> None:
    """Of a session with two items, without a cache or an embedder."""
    settings.MEMORY = {**settings.MEMORY, "CACHE": None, "EMBEDDER": None}
    now = timezone.now()
    make_item(session_id="s", timestamp=now - timedelta(minutes=1))
    item = make_item(session_id="s", timestamp=now)
    run, calls = VERBS[verb]
    with Cost() as cost:
        answer = run(ada, item)
    assert getattr(answer, "status_code", 200) < 300, answer.content
    cost.assert_calls(*calls)
