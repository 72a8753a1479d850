"""LangGraph's store over memory items: the contract of its reference stores, and traps seen in others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.utils import timezone
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    Op,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from memory.adapters.langgraph import DjangoStore
from memory.adapters.langgraph.namespaces import item_id
from memory.exceptions import ValidationError
from memory.models import MemoryItem, UserSession
from tests.adapters import DATABASE

pytestmark = DATABASE

ADA = ("users", "ada")


@pytest.fixture
def store() -> DjangoStore:
    return DjangoStore("ada")


def keys(found: list[Any]) -> list[str]:
    return [item.key for item in found]


def test_an_item_is_read_as_it_was_put(store: DjangoStore) -> None:
    """Value, key, namespace and times."""
    value = {
        "theme": "dark",
        "n": 1,
        "f": 0.5,
        "none": None,
        "deep": {"list": [1, [2, {"a": []}]], "": "x", "__k__": 1},
    }
    store.put(ADA, "prefs", value)
    item = store.get(ADA, "prefs")
    assert item is not None
    assert (item.value, item.key, item.namespace) == (value, "prefs", ADA)
    assert abs(item.created_at - timezone.now()) < timedelta(seconds=10)
    assert item.created_at == item.updated_at
    assert store.get(ADA, "other") is None
    assert store.get(("users",), "prefs") is None


def test_an_update_keeps_the_time_of_creation(store: DjangoStore) -> None:
    """And changes the value and the time of the update."""
    with time_machine.travel("2026-01-01T10:00:00Z", tick=False):
        store.put(ADA, "prefs", {"theme": "dark", "size": 1})
    with time_machine.travel("2026-01-02T10:00:00Z", tick=False):
        store.put(ADA, "prefs", {"theme": "light"})
    item = store.get(ADA, "prefs")
    assert item is not None
    assert item.value == {"theme": "light"}
    assert (item.created_at.day, item.updated_at.day) == (1, 2)
    assert MemoryItem.objects.count() == 1


def test_an_item_is_deleted(store: DjangoStore) -> None:
    """By `delete`, and by a put without a value; a missing one is no error."""
    store.put(ADA, "a", {"x": 1})
    store.put(ADA, "b", {"x": 1})
    store.delete(ADA, "a")
    store.batch([PutOp(ADA, "b", None)])
    store.delete(ADA, "missing")
    assert store.search(()) == []
    assert store.list_namespaces() == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((("a", "b"), "c"), (("a",), "b/c")),
        ((("a__b",), "c"), (("a", "b"), "c")),
        ((("a", "b__c"), "d"), (("a", "b"), "c__d")),
        ((("a/b",), "c"), (("a", "b"), "c")),
        ((("a%2Fb",), "c"), (("a/b",), "c")),
        ((("Ä",), "c"), (("A\u0308",), "c")),
        ((("A",), "c"), (("a",), "c")),
    ],
)
def test_names_never_collide(store: DjangoStore, one: tuple[Any, str], other: tuple[Any, str]) -> None:
    """Whatever characters namespaces and keys contain."""
    store.put(*one, {"which": "one"})
    store.put(*other, {"which": "other"})
    found = [store.get(*name) for name in (one, other)]
    assert [item and item.value["which"] for item in found] == ["one", "other"]
    assert [keys(store.search(name[0])) for name in (one, other)] == [[one[1]], [other[1]]] or one[0][0] in other[0]
    assert sorted(store.list_namespaces()) == sorted({one[0], other[0]})


def test_keys_may_be_long_and_strange(store: DjangoStore) -> None:
    """A key is not part of the document's id."""
    for key in ("k" * 5_000, ".", "..", "__x__", "a/b", "\u2028", "🦔", ""):
        store.put(ADA, key, {"key": key})
        item = store.get(ADA, key)
        assert item is not None
        assert item.key == item.value["key"] == key


def test_a_prefix_is_one_of_labels(store: DjangoStore) -> None:
    """`users/ada` does not find `users/adam`, nor another case."""
    for namespace in [("users",), ADA, ("users", "ada", "notes"), ("users", "adam"), ("users", "Ada"), ("user",)]:
        store.put(namespace, "k", {"x": 1})
    assert [item.namespace for item in store.search(ADA)] == [ADA, ("users", "ada", "notes")]
    assert len(store.search(("users",))) == 5
    assert len(store.search(())) == 6
    assert store.search(("us",)) == []


def test_a_filter_and_a_namespace_apply_before_the_limit(store: DjangoStore) -> None:
    """No hits vanish since others came first."""
    store.batch([PutOp(("other",), f"o{i}", {"color": "red", "text": "a red thing"}) for i in range(30)])
    store.batch([PutOp(ADA, f"b{i:02}", {"color": "blue", "text": "a red thing"}) for i in range(30)])
    store.put(ADA, "wanted", {"color": "red", "text": "a red thing"})
    assert keys(store.search(ADA, filter={"color": "red"}, limit=1)) == ["wanted"]
    assert keys(store.search(ADA, query="red thing", filter={"color": "red"}, limit=1)) == ["wanted"]


def test_pages_do_not_repeat_items(store: DjangoStore) -> None:
    """Neither in order nor by rank; together they are everything."""
    store.batch([PutOp(ADA, f"k{i:02}", {"text": f"note {i} of tea", "even": i % 2 == 0}) for i in range(25)])
    for options in ({}, {"query": "tea"}, {"filter": {"even": True}}, {"query": "tea", "filter": {"even": True}}):
        pages = [keys(store.search(ADA, limit=7, offset=start, **options)) for start in range(0, 28, 7)]  # type: ignore[arg-type]
        found = [key for page in pages for key in page]
        assert len(found) == len(set(found)) == (13 if "filter" in options else 25)
        assert [len(page) for page in pages[:1]] == [7]


def test_the_order_is_of_namespaces_and_creation(store: DjangoStore) -> None:
    """Not of keys, and an update does not move an item."""
    for key in ("10", "9", "1"):
        store.put(("b",), key, {"x": 1})
    store.put(("a",), "z", {"x": 1})
    store.put(("b",), "9", {"x": 2})
    assert keys(store.search(())) == ["z", "10", "9", "1"]


def test_search_ranks_by_the_query(store: DjangoStore) -> None:
    """The best first with a score; items that the ranking leaves out follow without one."""
    store.put(ADA, "cats", {"text": "Ada's cat is called Minka"})
    store.put(ADA, "food", {"text": "Her favourite dish is risotto with saffron"})
    store.put(ADA, "secret", {"text": "the cat sleeps"}, index=False)
    store.put(("users", "bob"), "cats", {"text": "Bob's cat is called Felix"})
    found = store.search(ADA, query="What is the name of the cat?")
    assert keys(found)[0] == "cats"
    assert found[0].score is not None
    assert sorted(keys(found)) == ["cats", "food", "secret"]
    assert {item.key: item.score for item in found}["secret"] is None
    assert keys(store.search(ADA, query="saffron", limit=1)) == ["food"]


def test_the_indexed_fields_are_searched(store: DjangoStore) -> None:
    """Those of the store, or those of the put."""
    store = DjangoStore("ada", fields=["title", "parts[*].text"])
    store.put(ADA, "a", {"title": "gardens", "body": "saffron", "parts": [{"text": "roses"}, {"text": "tulips"}]})
    store.put(ADA, "b", {"title": "kitchens", "body": "saffron"}, index=["body"])
    assert MemoryItem.objects.get(pk=item_id("ada", ADA, "a")).text_content == "gardens\nroses\ntulips"
    assert keys(store.search(ADA, query="saffron", limit=1)) == ["b"]
    assert keys(store.search(ADA, query="tulips", limit=1)) == ["a"]


def test_an_overwritten_item_is_not_found_by_its_old_words(store: DjangoStore) -> None:
    """Nor is one that is not indexed any more."""
    store.put(ADA, "pet", {"text": "The dog is called Rex"})
    [before] = store.search(ADA, query="dog Rex")
    store.put(ADA, "pet", {"text": "The house is painted yellow"})
    [after] = store.search(ADA, query="dog Rex")
    assert before.score is not None
    assert (after.score or 0) < before.score / 2
    store.put(ADA, "pet", {"text": "The dog is called Rex"}, index=False)
    assert [one.key for one in store.search(ADA, query="dog Rex") if one.score is not None] == []
    assert MemoryItem.objects.get().text_content is None


def test_items_with_one_text_are_all_found(store: DjangoStore) -> None:
    """A repeated text fails no batch, and hides no item."""
    store.batch([PutOp(ADA, f"k{i}", {"text": "The dog is called Rex"}) for i in range(3)])
    store.put(ADA, "other", {"text": "The house is yellow"})
    found = store.search(ADA, query="dog Rex", limit=3)
    assert sorted(keys(found)) == ["k0", "k1", "k2"]
    assert None not in [item.score for item in found]


def test_reads_of_a_batch_do_not_see_its_writes(store: DjangoStore) -> None:
    """As in the in-memory reference; the last write of a key wins."""
    ops: list[Op] = [
        GetOp(ADA, "a"),
        PutOp(ADA, "a", {"v": 2}),
        SearchOp(ADA),
        GetOp(ADA, "a"),
        PutOp(ADA, "b", {"v": 1}),
        PutOp(ADA, "b", {"v": 3}),
        PutOp(ADA, "gone", None),
        ListNamespacesOp(),
    ]
    reference = InMemoryStore()
    for one in (store, reference):
        one.put(ADA, "a", {"v": 1})
        one.put(ADA, "gone", {"v": 0})
    for one in (store, reference):
        results = one.batch(ops)
        assert [item.value for item in (results[0], results[3])] == [{"v": 1}, {"v": 1}]  # type: ignore[union-attr]
        assert {item.key: item.value for item in results[2]} == {"a": {"v": 1}, "gone": {"v": 0}}  # type: ignore[union-attr]
        assert results[1] is results[4] is results[5] is results[6] is None
        assert results[7] == [ADA]
        assert {item.key: item.value for item in one.search(ADA)} == {"a": {"v": 2}, "b": {"v": 3}}


def test_a_batch_writes_all_or_nothing(store: DjangoStore) -> None:
    """A value that storage cannot hold stores none of the others."""
    for value in ({"x": float("nan")}, {"x": "y" * 1_100_000}, {"x": {1: 2}}, {"x": object()}):
        with pytest.raises(ValidationError):
            store.batch([PutOp(ADA, "a", {"x": 1}), PutOp(ADA, "b", value)])
    assert store.search(ADA) == []


def test_bad_operations_are_refused(store: DjangoStore) -> None:
    """Namespaces as in LangGraph, negative limits, and what is no operation."""
    for namespace in ((), ("a.b",), ("",), ("langgraph",)):
        with pytest.raises(InvalidNamespaceError):
            store.put(namespace, "k", {})
    with pytest.raises(InvalidNamespaceError):
        store.batch([PutOp(("a.b",), "k", {})])
    for bad in ({"limit": -1}, {"offset": -1}):
        with pytest.raises(ValueError, match="negative"):
            store.search(ADA, **bad)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="negative"):
            store.list_namespaces(**bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Unknown operation"):
        store.batch(["get"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="Unsupported operator"):
        store.search(ADA, filter={"a": {"$in": [1]}})
    assert store.search(ADA, limit=0) == []


NAMESPACES = [
    ("a",),
    ("a", "b"),
    ("a", "b", "c"),
    ("a", "b", "d", "e"),
    ("a", "b", "d", "i"),
    ("a", "c", "f"),
    ("b", "c"),
]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prefix": ("a", "b")},
        {"prefix": ("a", "b"), "max_depth": 3},
        {"prefix": ("a", "*", "d")},
        {"prefix": ("*", "c")},
        {"suffix": ("c",)},
        {"suffix": ("*", "f")},
        {"prefix": ("a",), "suffix": ("c",)},
        {"max_depth": 1},
        {"max_depth": 2, "limit": 2, "offset": 1},
        {"limit": 3, "offset": 2},
        {"limit": 0},
    ],
)
def test_namespaces_are_listed_as_in_the_reference(store: DjangoStore, options: dict[str, Any]) -> None:
    """Prefixes, suffixes, wildcards, depth and pages."""
    reference = InMemoryStore()
    for one in (store, reference):
        one.batch([PutOp(namespace, "k", {"x": 1}) for namespace in NAMESPACES])
    assert store.list_namespaces(**options) == reference.list_namespaces(**options)


def test_expired_items_are_gone_and_reads_refresh(store: DjangoStore) -> None:
    """A TTL is of minutes after the last read or write."""
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        store.put(ADA, "kept", {"x": 1}, ttl=10)
        store.put(ADA, "read", {"x": 1}, ttl=10)
        store.put(ADA, "found", {"y": 1}, ttl=10)
        store.put(("temporary",), "gone", {"z": 1}, ttl=10)
        store.put(ADA, "forever", {"w": 1})
        clock.move_to(start + timedelta(minutes=9))
        store.get(ADA, "kept", refresh_ttl=False)
        store.get(ADA, "read")
        store.search(ADA, filter={"y": 1})
        store.search(ADA, filter={"x": 1}, refresh_ttl=False)
        clock.move_to(start + timedelta(minutes=11))
        assert sorted(keys(store.search(()))) == ["forever", "found", "read"]
        assert store.get(ADA, "kept") is None
        assert store.list_namespaces() == [ADA]
        clock.move_to(start + timedelta(minutes=22))
        assert keys(store.search(())) == ["forever"]


def test_the_default_ttl_is_that_of_the_store() -> None:
    """A put may override it, also with None."""
    store = DjangoStore("ada", ttl={"default_ttl": 10, "refresh_on_read": False})
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        store.put(ADA, "default", {"x": 1})
        store.put(ADA, "longer", {"x": 1}, ttl=60)
        store.put(ADA, "forever", {"x": 1}, ttl=None)
        clock.move_to(start + timedelta(minutes=9))
        assert store.get(ADA, "default") is not None
        clock.move_to(start + timedelta(minutes=11))
        assert sorted(keys(store.search(ADA))) == ["forever", "longer"]


def test_users_are_apart() -> None:
    """The same namespaces and keys in two stores: neither sees, lists, finds, changes or deletes the other's."""
    mine, theirs = DjangoStore("ada"), DjangoStore("bob")
    mine.put(ADA, "k", {"text": "my saffron"})
    theirs.put(ADA, "k", {"text": "their saffron"})
    theirs.put(("theirs",), "k", {"text": "saffron"})
    assert [item.value["text"] for item in mine.search((), query="saffron")] == ["my saffron"]
    assert mine.list_namespaces() == [ADA]
    mine.delete(ADA, "k")
    mine.delete(("theirs",), "k")
    assert mine.get(("theirs",), "k") is None
    assert len(theirs.search(())) == 2


@pytest.mark.parametrize("user_id", ["", None, 5])
def test_a_store_needs_a_user(user_id: Any) -> None:
    """There is no store of all users."""
    with pytest.raises(ValueError, match="user_id"):
        DjangoStore(user_id)


def test_the_async_methods_do_the_same(store: DjangoStore) -> None:
    """On threads, in the transaction of the caller if there is one."""

    async def use() -> list[Any]:
        await store.aput(ADA, "a", {"text": "saffron"})
        await store.aput(ADA, "b", {"text": "pepper"})
        await store.adelete(ADA, "b")
        found = await store.asearch(ADA, query="saffron")
        return [await store.aget(ADA, "a"), *found, *(await store.alist_namespaces())]

    got, found, namespace = async_to_sync(use)()
    assert got.value == found.value == {"text": "saffron"}
    assert namespace == ADA


def test_items_are_memories(store: DjangoStore) -> None:
    """The app's own search finds them; the admin shows the namespace as a session."""
    store.put(ADA, "dish", {"text": "Her favourite dish is risotto"})
    [item] = MemoryItem.objects.search("favourite dish", user_id="ada")
    assert (item.item_type, item.text_content, item.metadata["key"]) == (
        "store",
        "Her favourite dish is risotto",
        "dish",
    )
    assert [row.session_id for row in UserSession.objects.for_user("ada")] == ["store/users/ada/"]


def test_other_items_are_not_of_the_store(store: DjangoStore, make_item: Any) -> None:
    """Even in a session whose id is that of a namespace."""
    make_item(session_id="store/users/ada/", text_content="saffron")
    make_item(session_id="trip", text_content="saffron")
    store.put(ADA, "k", {"text": "saffron"})
    assert keys(store.search((), query="saffron")) == keys(store.search(())) == ["k"]
