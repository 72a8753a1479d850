"""The statements of the app's verbs and, on Firestore, their calls and documents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils import timezone
from rest_framework.test import APIClient

from memory.models import AgentData, MemoryItem

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
