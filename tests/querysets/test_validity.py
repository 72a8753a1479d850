"""Items that supersede others: what is written, refused, and valid at a time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from memory.conf import memory_settings
from memory.exceptions import ValidationError
from memory.history import recent
from memory.models import MemoryItem
from memory.stores import ConcreteMemoryManager, FirestoreMemoryManager, MemoryManager
from tests import databases
from tests.faults.meter import Meter

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

DAY = timedelta(days=1)


@pytest.fixture
def pair(make_item: Callable[..., MemoryItem]) -> tuple[MemoryItem, MemoryItem]:
    """An item of last week, and one of yesterday that supersedes it."""
    now = timezone.now()
    old = make_item(text_content="Ada lives in Ghent.", timestamp=now - 7 * DAY)
    new = make_item(text_content="Ada lives in Lyon.", timestamp=now - DAY, supersedes=[old.pk])
    old.refresh_from_db()
    return old, new


def valid(*args: Any) -> list[str]:
    return [item.pk for item in MemoryItem.objects.as_of(*args).newest_first()]


def test_an_item_ends_the_validity_of_what_it_supersedes(pair: tuple[MemoryItem, MemoryItem]) -> None:
    """From its own time on; before it the older one is valid, and the newer is not."""
    old, new = pair
    assert (old.valid_to, old.superseded_by) == (new.timestamp, new.pk)
    assert new.valid_from == new.timestamp
    assert valid() == [new.pk]
    assert valid(new.timestamp) == [new.pk]
    assert valid(new.timestamp - timedelta(microseconds=1)) == [old.pk]
    assert (old.is_valid(), new.is_valid(), old.is_valid(new.timestamp - DAY)) == (False, True, True)


def test_an_id_that_is_removed_is_open_again(pair: tuple[MemoryItem, MemoryItem]) -> None:
    """Also by a bulk write."""
    old, new = pair
    MemoryItem.objects.filter(pk=new.pk).update(supersedes=[])
    old.refresh_from_db()
    assert (old.valid_to, old.superseded_by) == (None, None)
    assert set(valid()) == {old.pk, new.pk}
    found = MemoryItem.objects.get(pk=new.pk)
    found.supersedes = [old.pk]
    MemoryItem.objects.bulk_update([found], ["supersedes"])
    assert valid() == [new.pk]


def test_a_bulk_create_may_have_both(make_item: Callable[..., MemoryItem]) -> None:
    """In one transaction, in any order."""
    old = MemoryItem(user_id="ada", item_type="fact", text_content="old")
    new = MemoryItem(user_id="ada", item_type="fact", text_content="new", supersedes=[old.pk])
    MemoryItem.objects.bulk_create([new, old])
    assert valid() == [new.pk]


@pytest.mark.parametrize("kind", ["itself", "missing", "of another user", "circular", "circular by others"])
def test_what_is_refused(kind: str, pair: tuple[MemoryItem, MemoryItem], make_item: Callable[..., MemoryItem]) -> None:
    """And nothing is written."""
    old, new = pair
    newest = make_item(supersedes=[new.pk])
    others = make_item(user_id="bob")
    item = {"circular by others": old, "circular": new}.get(kind, make_item())
    item.refresh_from_db()
    item.supersedes = {
        "itself": [item.pk],
        "missing": ["nobody"],
        "of another user": [others.pk],
    }.get(kind, [newest.pk])
    before = list(MemoryItem.objects.order_by("pk").values())
    with pytest.raises(ValidationError) as caught, transaction.atomic(using=item._state.db):
        item.save()
    assert list(caught.value.message_dict) == ["supersedes"]
    assert list(MemoryItem.objects.order_by("pk").values("pk", "supersedes", "valid_to")) == [
        {"pk": row["id"], "supersedes": row["supersedes"], "valid_to": row["valid_to"]} for row in before
    ]


def ids(items: Iterable[Any]) -> list[str]:
    return [item["id"] if isinstance(item, dict) else item.pk for item in items]


@pytest.mark.parametrize("manager", [ConcreteMemoryManager, FirestoreMemoryManager])
def test_histories_answer_as_of_now(manager: type[MemoryManager], make_item: Callable[..., MemoryItem]) -> None:
    """Of one session and of all, from both ends and by a filter, full however many are left out; or all, if asked."""
    now = timezone.now()
    for number in range(12):
        make_item(id=f"i{number:02}", session_id="s", timestamp=now - number * DAY, metadata={"n": number})
    for number in range(1, 9):  # the newest but one to the ninth are not valid any more, or not yet
        MemoryItem.objects.filter(pk=f"i{number:02}").update(
            **({"valid_to": now - DAY} if number % 2 else {"valid_from": now + DAY})
        )
    valid_ids = ["i00", "i09", "i10", "i11"]
    store = manager()
    store.initialize()
    history = async_to_sync(store.get_conversation_history)
    for session in ("s", None):
        assert ids(history("ada", session)) == valid_ids
        assert ids(history("ada", session, limit=2)) == valid_ids[:2]
        assert ids(history("ada", session, limit=2, oldest_first=True)) == valid_ids[:1:-1]
        assert ids(history("ada", session, limit=3, superseded=True)) == ["i00", "i01", "i02"]
        assert ids(history("ada", session, limit=2, as_of=now - 2 * DAY)) == ["i00", "i01"]
        assert ids(history("ada", session, filters={"metadata__n": 1})) == []
        assert ids(history("ada", session, filters={"metadata__n": 1}, superseded=True)) == ["i01"]
        assert ids(recent("ada", session, 3)) == valid_ids[:3]
        assert len(recent("ada", session, 3, superseded=True)) == 3
    store.close()


def test_nearest_items_are_valid_now(make_item: Callable[..., MemoryItem]) -> None:
    """As many as are asked for, however many nearer ones are left out."""
    if connections[memory_settings.database].vendor == "postgresql":
        pytest.skip("The vectors of items are compared on SQLite and Firestore.")
    now = timezone.now()
    for number in range(15):
        ended = now if number < 12 else None
        make_item(id=f"i{number:02}", embedding=[1.0, number / 100], valid_to=ended)
    store = FirestoreMemoryManager()
    store.initialize()
    assert ids(async_to_sync(store.semantic_search)("ada", [1.0, 0.0], top_k=2)) == ["i12", "i13"]
    store.close()


@pytest.mark.parametrize("path", ["/api/memory-items/", "/api/sessions/ada:s/history/"])
def test_pages_answer_as_of_now(
    path: str, make_item: Callable[..., MemoryItem], make_user: Callable[..., Any], client: Client
) -> None:
    """Page after page, in full pages; `as_of` is a time, `now` or `all`."""
    now = timezone.now()
    for number in range(9):
        ended = now - DAY if number % 3 else None
        make_item(id=f"i{number}", session_id="s", timestamp=now - number * DAY, valid_to=ended)
    client.force_login(make_user("ada"))
    first = client.get(path, {"limit": 2}).json()
    assert ids(first["results"]) == ["i0", "i3"]
    second = client.get(first["next"]).json()
    assert (ids(second["results"]), second["next"]) == (["i6"], None)
    assert ids(client.get(second["previous"]).json()["results"]) == ["i0", "i3"]
    assert ids(client.get(path, {"as_of": "now"}).json()["results"]) == ["i0", "i3", "i6"]
    everything = client.get(path, {"as_of": "all", "limit": 5}).json()
    assert ids(everything["results"]) == ["i0", "i1", "i2", "i3", "i4"]
    assert ids(client.get(everything["next"]).json()["results"]) == ["i5", "i6", "i7", "i8"]
    assert len(client.get(path, {"as_of": (now - 2 * DAY).isoformat()}).json()["results"]) == 9
    refused = client.get(path, {"as_of": "soon"})
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["as_of"])


def test_a_context_has_turns_that_are_valid(pair: tuple[MemoryItem, MemoryItem]) -> None:
    """From the queryset, and from a store."""
    old, new = pair
    MemoryItem.objects.update(session_id="s")
    store = ConcreteMemoryManager()
    store.initialize()
    for made in (MemoryItem.objects.context("ada", "s", "Hello?"), async_to_sync(store.context)("ada", "s", "Hello?")):
        assert ids(made.recent) == [new.pk]
        assert old.text_content not in made.text
    store.close()


def test_a_context_recalls_what_is_valid(
    pair: tuple[MemoryItem, MemoryItem], make_item: Callable[..., MemoryItem]
) -> None:
    """What was superseded is not in it."""
    make_item(session_id="s", text_content="Hello.")
    made = MemoryItem.objects.context("ada", "s", "Where does Ada live?")
    assert "Lyon" in made.text
    assert "Ghent" not in made.text


def test_an_item_cannot_end_before_it_begins(make_item: Callable[..., MemoryItem]) -> None:
    """`valid_to` before `valid_from`."""
    now = timezone.now()
    with pytest.raises(ValidationError, match="before the time"):
        make_item(valid_from=now, valid_to=now - DAY)


def test_an_export_keeps_all_of_it(pair: tuple[MemoryItem, MemoryItem], tmp_path: Any) -> None:
    """Whatever the order of the lines: the newer item may come first."""
    old, new = pair
    new.source, new.derived_from, new.importance = "a letter", [old.pk], 0.5
    new.save()
    file = tmp_path / "memory.jsonl"
    call_command("memory_export", output=str(file))
    before = list(MemoryItem.objects.order_by("pk").values("pk", *NAMES))
    lines = file.read_text().splitlines()
    for order in (lines, lines[::-1]):
        MemoryItem.objects.all().delete()
        file.write_text("\n".join(order) + "\n")
        call_command("memory_import", str(file), verbosity=0)
        assert list(MemoryItem.objects.order_by("pk").values("pk", *NAMES)) == before


def test_an_import_rejects_wrong_links(make_item: Callable[..., MemoryItem], tmp_path: Any) -> None:
    """Of another user, and circular ones; the other lines are stored."""
    make_item(id="his", user_id="bob")
    lines = [
        {"id": "a", "supersedes": ["b"]},
        {"id": "b", "supersedes": ["a"]},
        {"id": "c", "supersedes": ["his"]},
        {"id": "d", "supersedes": ["gone"]},
        {"id": "e"},
    ]
    common = {"model": "MemoryItem", "user_id": "ada", "item_type": "fact", "timestamp": "2026-01-01T00:00:00Z"}
    file = tmp_path / "memory.jsonl"
    file.write_text("".join(f"{json.dumps({**common, **line})}\n" for line in lines))
    with suppress(CommandError):  # some lines are rejected
        call_command("memory_import", str(file), rejects_dir=tmp_path, verbosity=0)
    stored = set(MemoryItem.objects.for_user("ada").values_list("pk", flat=True))
    assert {"d", "e"} <= stored
    assert len(stored) == 3
    [rejects] = [path for path in tmp_path.iterdir() if path != file]
    assert len(rejects.read_text().splitlines()) == 2
    assert not MemoryItem.objects.filter(pk="his", valid_to__isnull=False).exists()


NAMES = ("supersedes", "superseded_by", "valid_from", "valid_to", "source", "derived_from", "importance")


def test_use_is_noted_once_a_day(make_item: Callable[..., MemoryItem], django_assert_num_queries: Any) -> None:
    """Within a day neither a read nor a write."""
    item, now = make_item(), timezone.now()
    assert MemoryItem.objects.touch([item], now) == 1
    with django_assert_num_queries(0):
        assert MemoryItem.objects.touch([item], now + DAY / 2) == 0
    found = MemoryItem.objects.get(pk=item.pk)
    assert found.touched == now
    stale = MemoryItem(pk=item.pk)  # as read before the first use: the database knows better
    assert MemoryItem.objects.touch([stale], now + DAY / 2) == 0
    assert MemoryItem.objects.touch([found], now + DAY) == 1


@pytest.fixture
def meter(firestore_emulator: str, django_db_blocker: DjangoDbBlocker) -> Iterator[Meter]:
    """The calls between the engine and an empty database of Firestore."""
    project = f"valid-{uuid.uuid4().hex[:12]}"
    with (
        django_db_blocker.unblock(),
        Meter(firestore_emulator) as meter,
        databases.firestore("metered", meter.address, project, timeout=60),
    ):
        yield meter


def cost(meter: Meter, read: Callable[[], Any]) -> tuple[int, int]:
    """Documents and calls of a read."""
    meter.bill.clear()
    read()
    return meter.bill.read, sum(meter.bill.calls.values())


@pytest.mark.firestore_emulator
def test_as_of_costs_the_calls_of_a_plain_read(meter: Meter) -> None:
    """A list, a count, one by key, and a search: a list reads at most five documents more, for what it leaves out."""
    now = timezone.now()
    rows = MemoryItem.objects.using("metered")
    rows.bulk_create(
        MemoryItem(id=f"i{n:02}", user_id="ada", item_type="fact", text_content=f"tea {n}", timestamp=now - n * DAY)
        for n in range(1, 31)
    )
    MemoryItem(id="new", user_id="ada", item_type="fact", text_content="coffee", supersedes=["i25"]).save(
        using="metered"
    )
    items = rows.for_user("ada")
    plain = cost(meter, lambda: list(items.recent(10)))
    times = (None, now - 3 * DAY)  # then "new" was not valid
    # Both together: a call that ends early is counted until the server stops.
    documents, calls = cost(meter, lambda: [list(items.as_of(at).recent(10)) for at in times])
    assert (plain[1], calls) == (1, 2)
    assert 20 <= documents <= 2 * (plain[0] + 5)
    for end in (
        lambda some: list(some.recent(10)),
        lambda some: some.filter(pk="i01").first(),
        lambda some: some.count(),
        lambda some: some.recent(1).exists(),
    ):
        plain, valid = cost(meter, lambda end=end: end(items)), cost(meter, lambda end=end: end(items.as_of()))  # type: ignore[misc]
        assert valid[1] == plain[1] == 1
    searched = [cost(meter, lambda at=at: rows.search("tea", user_id="ada", as_of=at))[1] for at in (None, now - DAY)]  # type: ignore[misc]
    assert searched[0] == searched[1]


@pytest.mark.firestore_emulator
def test_a_history_as_of_now_costs_what_a_plain_one_costs(meter: Meter) -> None:
    """Not a document more while all is valid. What comes after is read by a second call, without what was read."""
    now = timezone.now()
    rows = MemoryItem.objects.using("metered")
    rows.bulk_create(
        MemoryItem(id=f"i{n:02}", user_id="ada", item_type="fact", timestamp=now - n * DAY) for n in range(1, 41)
    )
    for superseded in (True, False):
        read = partial(recent, "ada", None, 10, "metered", superseded=superseded)
        assert cost(meter, read) == (10, 1)
    rows.filter(pk="i03").update(valid_to=now)
    documents, calls = cost(meter, lambda: recent("ada", None, 10, "metered"))
    assert calls == 2
    assert documents <= 20


@pytest.mark.firestore_emulator
def test_a_policy_by_count_costs_a_count_of_each_owner(meter: Meter, settings: Any) -> None:
    """Of the one that a read names, or of those whose records it reads, whatever their number; and where it ends."""
    now, rows = timezone.now(), MemoryItem.objects.using("metered")
    rows.bulk_create(
        MemoryItem(id=f"i{n:02}", user_id=f"u{n % 3}", item_type="fact", timestamp=now - n * DAY) for n in range(1, 25)
    )

    def read(user_id: str | None = None) -> tuple[int, int]:
        items = MemoryItem.objects.using("metered").all()
        return cost(meter, lambda: list((items if user_id is None else items.for_user(user_id)).recent(6)))

    assert read() == read("u1") == (6, 1)
    settings.MEMORY = {**settings.MEMORY, "RETENTION": [{"count": 100}]}
    assert read("u1") == (7, 2)  # a count is billed as one document
    assert read()[1] == 1 + 3
    settings.MEMORY = {**settings.MEMORY, "RETENTION": [{"count": 7}]}  # each has eight
    assert read("u1")[1] == 3
    assert read()[1] == 1 + 2 * 3


@pytest.mark.firestore_emulator
def test_use_is_written_once_a_day_on_firestore(meter: Meter) -> None:
    """One document for an item; nothing for those that were noted."""
    rows = MemoryItem.objects.using("metered")
    rows.create(user_id="ada", item_type="fact", text_content="Ada drinks tea.")
    for expected in (["memory_items"], []):
        meter.bill.clear()
        assert len(rows.search("tea", user_id="ada", touch=True)) == 1
        assert meter.bill.written == expected


@pytest.mark.firestore_emulator
def test_the_migration_writes_no_document(meter: Meter, settings: Any) -> None:
    """Items of the earlier version lack the fields, and are valid always."""
    settings.MEMORY = {**settings.MEMORY, "DATABASE": "metered"}  # which the router asks
    executor = MigrationExecutor(connections["metered"])
    executor.migrate([("memory", "0010_erasures")])
    before = executor.loader.project_state([("memory", "0010_erasures")]).apps.get_model("memory", "MemoryItem")
    before._base_manager.using("metered").create(id="old", user_id="ada", item_type="fact", text_content="tea")
    executor.loader.build_graph()
    meter.bill.clear()
    executor.migrate([("memory", "0011_validity_and_keys")])
    assert set(meter.bill.written) <= {"django_migrations"}
    rows = MemoryItem.objects.using("metered")
    assert [row.pk for row in rows.as_of().filter(source=None, supersedes=[])] == ["old"]
    assert rows.for_user("ada").as_of().count() == 1
    old = rows.get(pk="old")
    assert (old.supersedes, old.derived_from, old.valid_to, old.importance) == ([], [], None, None)
    MemoryItem(id="new", user_id="ada", item_type="fact", text_content="coffee", supersedes=["old"]).save(
        using="metered"
    )
    assert [row.pk for row in rows.for_user("ada").as_of()] == ["new"]
