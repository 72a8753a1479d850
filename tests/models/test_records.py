"""The records on any engine: validation, effects of writes, and expiration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError, connections, transaction
from django.db.models import F, Max, Value
from django.db.models.functions import Concat
from django.utils import timezone

from memory.backends.firestore.errors import Contention
from memory.backends.firestore.transactions.unit_of_work import UnitOfWork
from memory.exceptions import ValidationError
from memory.models import AgentData, MemoryItem, UserSession

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VALID = {"user_id": "ada", "session_id": "s", "item_type": "message"}
DEEP: dict[str, Any] = {}
for _ in range(20):
    DEEP = {"k": DEEP}

REFUSED = [
    ("id", {"id": "a/b"}),
    ("id", {"id": "__reserved__"}),
    ("id", {"id": ""}),
    ("id", {"id": "é" * 751}),
    ("user_id", {"user_id": ""}),
    ("user_id", {"user_id": "x" * 256}),
    ("user_id", {"user_id": "\ud800"}),
    ("session_id", {"user_id": "😀" * 250, "session_id": "😀" * 250}),
    ("item_type", {"item_type": None}),
    ("text_content", {"text_content": "x" * 1_048_488}),
    ("text_content", {"text_content": "x" * 600_000, "metadata": {"y": "y" * 500_000}}),
    ("text_content", {"text_content": "\udfff"}),
    ("metadata", {"metadata": {"y": "y" * 1_048_576}}),
    ("metadata", {"metadata": []}),
    ("metadata", {"metadata": DEEP}),
    ("metadata", {"metadata": {"x": float("nan")}}),
    ("metadata", {"metadata": {1: "a"}}),
    ("embedding", {"embedding": []}),
    ("embedding", {"embedding": [0.0] * 2049}),
    ("embedding", {"embedding": [float("inf")]}),
    ("embedding", {"embedding": ["1"]}),
    ("embedding", {"embedding": "no list"}),
    ("timestamp", {"timestamp": "yesterday"}),
    ("expiration", {"expiration": "never"}),
]


each_refused = pytest.mark.parametrize(
    ("field", "values"), REFUSED, ids=lambda value: value if isinstance(value, str) else ""
)
each_refused_change = pytest.mark.parametrize(
    ("field", "values"),
    [row for row in REFUSED if row[0] != "id"],  # an id is for ever
    ids=lambda value: value if isinstance(value, str) else "",
)


class TestRefusals:
    """Values that Firestore would refuse are refused on every engine, by field, before anything is written."""

    @each_refused
    def test_save(self, field: str, values: dict[str, Any]) -> None:
        """`create()` and `save()`."""
        with pytest.raises(ValidationError) as caught:
            MemoryItem.objects.create(**{**VALID, **values})
        assert field in caught.value.message_dict
        assert not MemoryItem.all_objects.exists()
        assert not UserSession.objects.exists()

    @each_refused
    def test_bulk_create(self, field: str, values: dict[str, Any]) -> None:
        """One invalid record prevents the whole write."""
        with pytest.raises(ValidationError) as caught:
            MemoryItem.objects.bulk_create([MemoryItem(**VALID), MemoryItem(**{**VALID, **values})])
        assert field in caught.value.message_dict
        assert not MemoryItem.all_objects.exists()

    @each_refused
    def test_full_clean(self, field: str, values: dict[str, Any]) -> None:
        """As forms call it."""
        with pytest.raises(DjangoValidationError) as caught:
            MemoryItem(**{**VALID, **values}).full_clean()
        assert field in caught.value.message_dict

    @each_refused_change
    def test_update_and_bulk_update(self, field: str, values: dict[str, Any]) -> None:
        """Invalid changes of stored records raise, and the records keep their values."""
        before = MemoryItem.objects.create(**VALID)
        with pytest.raises(DjangoValidationError) as caught:
            MemoryItem.objects.update(**values)
        assert field in caught.value.message_dict
        with pytest.raises(DjangoValidationError):
            MemoryItem.objects.bulk_update([MemoryItem(**{**VALID, "id": before.id, **values})], list(values))
        after = MemoryItem.objects.get()
        assert [getattr(after, name) for name in values] == [getattr(before, name) for name in values]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"metadata": {"a": [1, [2], []], "": {"b": {}}, "big": 2**70}},
        {"embedding": [0.5] * 100},
        {"session_id": "s"},
    ],
    ids=["plain", "odd metadata", "vector", "session"],
)
def test_a_record_at_the_limit_is_kept(values: dict[str, Any]) -> None:
    """The largest record that is accepted is stored, changed and read back; one byte more is refused."""

    def item(size: int) -> MemoryItem:
        return MemoryItem(id="i" * 32, user_id="ada", item_type="m", text_content="x" * size, **values)

    with pytest.raises(ValidationError) as caught:
        item(1_048_480).check_limits()
    params = caught.value.error_dict["text_content"][0].params
    room = 1_048_480 - (params["total"] - params["most"])
    item(room).save(force_insert=True)
    stored = MemoryItem.objects.get(pk="i" * 32)
    assert stored.text_content == "x" * room
    stored.persona_active = None
    stored.save()
    with pytest.raises(ValidationError):
        item(room + 1).save()


def test_update_counts_the_rest_of_the_document(make_item: Callable[..., MemoryItem]) -> None:
    """A change within the limits is refused if the record has no room left for it."""
    make_item(text_content="x" * 1_000_000)
    with pytest.raises(ValidationError) as caught:
        MemoryItem.objects.update(metadata={"y": "y" * 100_000})
    assert "text_content" in caught.value.message_dict
    assert MemoryItem.objects.get().metadata == {}


def test_values_round_trip(make_item: Callable[..., MemoryItem]) -> None:
    """Microseconds, doubles, Unicode, NUL and odd keys come back as they were stored."""
    stored = make_item(
        id="id with ü, \x00 and 😀",
        timestamp=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        text_content="line\nNUL \x00 emoji 😀",
        embedding=[0.1, -1e300, 5e-324],
        metadata={"": [], "a.b": {"`": None}, "big": 2**53 + 1, "nested": [[1], [[2]]]},
    )
    found = MemoryItem.objects.get(pk=stored.pk)
    for name in ("id", "timestamp", "text_content", "embedding", "metadata", "session_id"):
        assert getattr(found, name) == getattr(stored, name)


def test_a_taken_id_is_an_integrity_error(make_item: Callable[..., MemoryItem]) -> None:
    """A new record never overwrites an existing one."""
    make_item(id="taken", text_content="first")
    with pytest.raises(IntegrityError):
        make_item(id="taken", text_content="second")


def test_serializers_keep_vectors(make_item: Callable[..., MemoryItem]) -> None:
    """`dumpdata` and `loaddata` carry every field."""
    stored = make_item(embedding=[0.25, 1e-9], metadata={"a": [1]})
    (loaded,) = serializers.deserialize("json", serializers.serialize("json", [stored]))
    assert loaded.object.embedding == [0.25, 1e-9]
    assert loaded.object.metadata == {"a": [1]}


class TestExpiration:
    """An expired record is returned by no read path."""

    @pytest.fixture
    def expired(self, make_item: Callable[..., MemoryItem]) -> MemoryItem:
        """An item that expired a second ago, in a session with a live one."""
        make_item(session_id="s", id="live", expiration=timezone.now() + timedelta(hours=1))
        return make_item(session_id="s", id="gone", expiration=timezone.now() - timedelta(seconds=1))

    @pytest.mark.embedded  # of SQLite's planner
    def test_the_newest_are_read_in_order_of_time(self, make_item: Callable[..., MemoryItem]) -> None:
        """The index of expirations is not used: all items that never expire would be read and sorted for one row."""
        make_item()
        assert "memory_items_time" in MemoryItem.objects.recent(1).explain()
        assert "memory_items_user_time" in MemoryItem.objects.for_user("ada").recent(1).explain()

    def test_querysets(self, expired: MemoryItem) -> None:
        """Filters, `get`, counts, aggregates, `in_bulk`, histories and duplicates."""
        assert list(MemoryItem.objects.values_list("pk", flat=True)) == ["live"]
        assert MemoryItem.objects.count() == 1
        assert list(MemoryItem.objects.in_bulk(["live", "gone"])) == ["live"]
        assert not MemoryItem.all_objects.duplicates_of(expired).exists()
        assert [item.pk for item in UserSession.objects.get().items()] == ["live"]
        with pytest.raises(MemoryItem.DoesNotExist):
            MemoryItem.objects.get(pk="gone")

    def test_refresh(self, expired: MemoryItem) -> None:
        """`refresh_from_db` of an instance in memory."""
        with pytest.raises(MemoryItem.DoesNotExist):
            expired.refresh_from_db()

    def test_a_queryset_built_earlier(
        self, make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A queryset looks at the clock when it runs, not when it is built."""
        built = MemoryItem.objects.all()
        make_item(expiration=timezone.now() + timedelta(hours=1))
        assert len(built.all()) == 1
        later = timezone.now() + timedelta(hours=2)
        monkeypatch.setattr(timezone, "now", lambda: later)
        assert len(built.all()) == 0

    def test_it_can_be_purged_and_saved(self, expired: MemoryItem) -> None:
        """`all_objects` sees it; saving it with a later end brings it back."""
        assert [item.pk for item in MemoryItem.all_objects.expired()] == ["gone"]
        expired.expiration = None
        expired.save()
        assert MemoryItem.objects.count() == 2


class TestSessions:
    """A session's row is made with its first item, and its times follow its items'."""

    def test_first_item(self, make_item: Callable[..., MemoryItem]) -> None:
        """`save()` makes the row; items without a session make none."""
        make_item(session_id=None)
        assert not UserSession.objects.exists()
        make_item(session_id="s", timestamp=NOON)
        session = UserSession.objects.get()
        assert (session.user_id, session.session_id, session.pk) == ("ada", "s", "ada:s")
        assert (session.started_at, session.last_activity) == (NOON, NOON)

    def test_times_only_widen(self, make_item: Callable[..., MemoryItem]) -> None:
        """Items may come in any order."""
        for hours in (0, 2, -3, 1):
            make_item(session_id="s", timestamp=NOON + timedelta(hours=hours))
        session = UserSession.objects.get()
        assert session.started_at == NOON - timedelta(hours=3)
        assert session.last_activity == NOON + timedelta(hours=2)

    def test_bulk_create(self) -> None:
        """One row for each user and session, in any order; metadata of known sessions is kept."""
        UserSession.objects.create(user_id="ada", session_id="s1", metadata={"title": "kept"}, last_activity=NOON)
        MemoryItem.objects.bulk_create(
            MemoryItem(user_id=user, session_id=session, item_type="m", timestamp=NOON + timedelta(minutes=minute))
            for minute in range(3)
            for user in ("ada", "bob")
            for session in ("s1", "s2", None)
        )
        assert {session.pk for session in UserSession.objects.all()} == {"ada:s1", "ada:s2", "bob:s1", "bob:s2"}
        assert {session.last_activity for session in UserSession.objects.all()} == {NOON + timedelta(minutes=2)}
        assert UserSession.objects.get(pk="ada:s1").metadata == {"title": "kept"}

    def test_update_moves_items(self, make_item: Callable[..., MemoryItem]) -> None:
        """Items that `update()` or `bulk_update()` move to another session make its row."""
        item = make_item(session_id="s", timestamp=NOON)
        MemoryItem.objects.update(session_id="t")
        item.session_id = "u"
        MemoryItem.objects.bulk_update([item], ["session_id"])
        assert {session.session_id for session in UserSession.objects.all()} == {"s", "t", "u"}

    @pytest.mark.parametrize(
        ("one", "other"),
        [(("a:b", "c"), ("a", "b:c")), (("a/b", "c"), ("a%2Fb", "c")), (("__a", "b"), ("%5F_a", "b"))],
    )
    def test_ids_never_collide(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        """Whatever separators the names contain, two sessions have different ids."""
        assert UserSession.make_id(*one) != UserSession.make_id(*other)
        assert [UserSession.parts_of(UserSession.make_id(*both)) for both in (one, other)] == [one, other]

    @pytest.mark.parametrize("pk", ["ada", "a:b:c", "a%3a:b", "a%41:b", "__a:b", "%FF:b", "a/b:c", ""])
    def test_what_is_no_sessions_id_has_no_parts(self, pk: str) -> None:
        """Only ids of `make_id` are split, so that no session is looked up as another."""
        assert UserSession.parts_of(pk) is None

    def test_names_that_would_make_a_reserved_id(self, make_item: Callable[..., MemoryItem]) -> None:
        """Slashes and leading underscores are fine in names."""
        make_item(user_id="__ada", session_id="b__")
        make_item(user_id="auth0|1/2", session_id="x:y")
        assert UserSession.objects.count() == 2

    def test_a_session_keeps_its_names(self, make_item: Callable[..., MemoryItem]) -> None:
        """Renaming a row would lose its conversation, so it is refused."""
        make_item(session_id="s")
        session = UserSession.objects.get()
        session.session_id = "t"
        with pytest.raises(ValidationError):
            session.save()

    def test_deleting_takes_the_conversation(self, make_item: Callable[..., MemoryItem]) -> None:
        """A session goes with its items, expired ones too; other sessions and users stay."""
        for user, name in (("ada", "s"), ("ada", "t"), ("bob", "s"), ("ada", None)):
            make_item(user_id=user, session_id=name)
        make_item(session_id="s", expiration=NOON)
        assert UserSession.objects.get(pk="ada:s").delete()[1] == {"memory.UserSession": 1, "memory.MemoryItem": 2}
        assert UserSession.objects.for_user("ada").delete()[0] == 2
        assert {(item.user_id, item.session_id) for item in MemoryItem.all_objects.all()} == {
            ("bob", "s"),
            ("ada", None),
        }


class TestContentHash:
    """The hash follows the text, by every write path."""

    def test_duplicates(self, make_item: Callable[..., MemoryItem]) -> None:
        """The same text of the same user and type; not another user's, another type's, or no text."""
        stored = make_item(text_content="Ada likes tea")
        for values, duplicate in (
            ({}, True),
            ({"session_id": "elsewhere"}, True),
            ({"user_id": "bob"}, False),
            ({"item_type": "fact"}, False),
            ({"text_content": "ada likes tea"}, False),
            ({"text_content": None}, False),
        ):
            item = MemoryItem(
                **{"user_id": "ada", "item_type": "message", "text_content": stored.text_content, **values}
            )
            assert MemoryItem.objects.duplicates_of(item).exists() is duplicate, values

    def test_what_is_not_valid_is_no_duplicate(self, make_item: Callable[..., MemoryItem]) -> None:
        """A text that was superseded, or is not valid yet, may be said again."""
        now = timezone.now()
        old = make_item(text_content="Ada lives in Ghent.")
        new = make_item(text_content="Ada lives in Lyon.", supersedes=[old.pk])
        make_item(text_content="Ada lives in Rome.", valid_from=now + timedelta(days=1))
        make_item(text_content="Ada lives in Oslo.", valid_to=now + timedelta(days=1))
        texts = {
            one: MemoryItem(user_id="ada", item_type="message", text_content=f"Ada lives in {one}.")
            for one in ("Ghent", "Lyon", "Rome", "Oslo")
        }
        found = {one: MemoryItem.objects.duplicates_of(item).exists() for one, item in texts.items()}
        assert found == {"Ghent": False, "Lyon": True, "Rome": False, "Oslo": True}
        new.delete()
        assert not MemoryItem.objects.duplicates_of(texts["Ghent"]).exists()

    @pytest.mark.parametrize("path", ["save", "update_fields", "update", "expression", "bulk_update"])
    def test_write_paths(self, path: str, make_item: Callable[..., MemoryItem]) -> None:
        """However the text changes, the item is found by the new one."""
        item = make_item(text_content="old")
        item.text_content = "old, new"
        match path:
            case "save":
                item.save()
            case "update_fields":
                item.save(update_fields=["text_content"])
            case "update":
                assert MemoryItem.objects.update(text_content="old, new") == 1
            case "expression":
                assert MemoryItem.objects.update(text_content=Concat(F("text_content"), Value(", new"))) == 1
            case "bulk_update":
                assert MemoryItem.objects.bulk_update([item], ["text_content"]) == 1
        assert MemoryItem.objects.get().text_content == "old, new"
        assert MemoryItem.objects.duplicates_of(item).exists()


class TestVocabulary:
    """The querysets' words, sync and async."""

    def test_items(self, make_item: Callable[..., MemoryItem]) -> None:
        """Users, sessions, types, times, newest first; the id settles ties."""
        for name, hours in (("a", 0), ("b", 1), ("c", 1), ("d", 2)):
            make_item(id=name, session_id="s", timestamp=NOON + timedelta(hours=hours))
        make_item(id="other", user_id="bob", item_type="fact")
        mine = MemoryItem.objects.for_user("ada")
        assert [item.pk for item in mine.recent(3)] == ["d", "c", "b"]
        assert [item.pk for item in mine.in_session("s").newest_first()] == ["d", "c", "b", "a"]
        assert not mine.in_session(None).exists()
        assert [item.pk for item in MemoryItem.objects.of_type("fact", "event")] == ["other"]
        between = mine.between(NOON + timedelta(hours=1), NOON + timedelta(hours=2)).newest_first()
        assert [item.pk for item in between] == ["c", "b"]
        assert mine.between().count() == 4

    def test_agent_data(self, make_agent_data: Callable[..., AgentData]) -> None:
        """Agent data has the same methods and limits."""
        make_agent_data(id="a", timestamp=NOON)
        make_agent_data(id="b", agent_id="other", data_type="log")
        assert [data.pk for data in AgentData.objects.for_agent("planner").recent(5)] == ["a"]
        assert [data.pk for data in AgentData.objects.of_type("log")] == ["b"]
        with pytest.raises(ValidationError) as caught:
            make_agent_data(content="x" * 1_048_576)
        assert "content" in caught.value.message_dict

    @pytest.mark.django_db(databases=["default", "memory"], transaction=True)
    def test_async(self) -> None:
        """`acreate`, `aget`, `async for`, `acount`, `abulk_create`, `aupdate` and `adelete`."""

        async def story() -> tuple[list[str], int, int]:
            await MemoryItem.objects.acreate(**VALID, id="a", timestamp=NOON)
            await MemoryItem.objects.abulk_create([MemoryItem(**VALID, id="b", timestamp=NOON + timedelta(1))])
            assert (await MemoryItem.objects.aget(pk="a")).user_id == "ada"
            assert await MemoryItem.objects.aupdate(text_content="changed") == 2
            seen = [item.pk async for item in MemoryItem.objects.for_user("ada").recent(20)]
            count = await MemoryItem.objects.acount()
            await MemoryItem.objects.filter(pk="a").adelete()
            return seen, count, await MemoryItem.objects.acount()

        assert asyncio.run(story()) == (["b", "a"], 2, 1)

    def test_update_of_a_slice_is_refused(self, make_item: Callable[..., MemoryItem]) -> None:
        """Like Django."""
        make_item()
        with pytest.raises(TypeError, match="slice"):
            MemoryItem.objects.recent(1).update(text_content="x")

    def test_update_reaches_every_record(self) -> None:
        """More records than one batch, one of which no longer matches after its own change."""
        MemoryItem.objects.bulk_create(
            MemoryItem(user_id="ada", item_type="m", text_content="old") for _ in range(1_001)
        )
        items = MemoryItem.objects.without_index()
        assert items.filter(text_content="old").update(text_content="new", metadata={"n": 1}) == 1_001
        assert items.filter(text_content="new").count() == 1_001


def test_a_sessions_times_move_in_one_update(
    make_item: Callable[..., MemoryItem], django_assert_num_queries: Any
) -> None:
    """Items earlier and later than all that are there widen it at both ends: in a bulk, still one write of its row."""
    make_item(session_id="s", timestamp=NOON)
    days = [NOON + timedelta(days=number) for number in (-2, -1, 1, 2)]
    items = [MemoryItem(user_id="ada", session_id="s", item_type="m", timestamp=day) for day in days]
    with django_assert_num_queries(2, using="memory"):
        MemoryItem.objects.bulk_create(items)
    row = UserSession.objects.get()
    assert (row.started_at, row.last_activity) == (days[0], days[-1])


@pytest.mark.parametrize(
    "delete",
    [
        lambda items: [item.delete() for item in items],
        lambda items: MemoryItem.objects.filter(pk__in=[item.pk for item in items]).delete(),
    ],
)
@pytest.mark.parametrize(("gone", "first", "last"), [((2,), 0, 1), ((0,), 1, 2), ((1,), 0, 2), ((1, 2), 0, 0)])
def test_deleting_items_corrects_the_times_of_their_session(
    make_item: Callable[..., MemoryItem], delete: Callable[[Any], Any], gone: tuple[int, ...], first: int, last: int
) -> None:
    """They are those of the first and the last item that is left."""
    times = [NOON + timedelta(hours=number) for number in range(3)]
    items = [make_item(session_id="s", timestamp=time) for time in times]
    other = make_item(session_id="t", timestamp=NOON)
    delete([items[number] for number in gone])
    row = UserSession.objects.get(pk="ada:s")
    assert MemoryItem.objects.in_session("s").count() == 3 - len(gone)
    assert (row.started_at, row.last_activity) == (times[first], times[last])
    assert UserSession.objects.get(pk="ada:t").last_activity == other.timestamp


def test_a_session_without_items_keeps_its_times(make_item: Callable[..., MemoryItem]) -> None:
    """Those of the items that were deleted last."""
    item = make_item(session_id="s", timestamp=NOON)
    item.delete()
    row = UserSession.objects.get()
    assert (row.started_at, row.last_activity) == (NOON, NOON)


def test_a_purge_corrects_the_times_of_sessions(make_item: Callable[..., MemoryItem]) -> None:
    """Of those whose last item has expired."""
    make_item(session_id="s", timestamp=NOON)
    expired = timezone.now() - timedelta(seconds=1)
    make_item(session_id="s", timestamp=NOON + timedelta(hours=1), expiration=expired)
    assert MemoryItem.all_objects.purge() == 1
    assert UserSession.objects.get().last_activity == NOON


def test_an_item_keeps_the_metadata_of_its_session(make_item: Callable[..., MemoryItem]) -> None:
    """Also in the transaction that changed them; a session that an item created has none."""
    make_item(session_id="s", timestamp=NOON)
    session = UserSession.objects.get()
    assert session.metadata == {}
    for found in (UserSession.objects.filter(metadata={}), UserSession.objects.exclude(metadata={"title": "x"})):
        assert list(found.values_list("metadata", flat=True)) == [{}]
    with transaction.atomic(using="memory"):
        make_item(session_id="s", timestamp=NOON + timedelta(hours=1))
        session.metadata = {"title": "Concert"}
        session.save(update_fields=["metadata"])
        make_item(session_id="s", timestamp=NOON - timedelta(hours=1))
        inside = UserSession.objects.get()
    for found in (inside, UserSession.objects.get()):
        assert found.metadata == {"title": "Concert"}
        assert (found.started_at, found.last_activity) == (NOON - timedelta(hours=1), NOON + timedelta(hours=1))


def test_sessions_are_found_and_sorted_by_their_times(make_item: Callable[..., MemoryItem]) -> None:
    """Those that items created and those that were saved."""
    make_item(session_id="a", timestamp=NOON)
    UserSession.objects.create(user_id="ada", session_id="b", started_at=NOON, last_activity=NOON + timedelta(hours=1))
    make_item(session_id="c", timestamp=NOON + timedelta(hours=2))
    sessions = UserSession.objects.for_user("ada")
    assert [row.session_id for row in sessions.newest_first()] == ["c", "b", "a"]
    later = sessions.filter(last_activity__gt=NOON).order_by("last_activity")
    assert [row.session_id for row in later] == ["b", "c"]
    assert sessions.filter(last_activity__date=NOON.date()).count() == 3
    assert sessions.aggregate(Max("last_activity"))["last_activity__max"] == NOON + timedelta(hours=2)


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_parallel_writers_of_a_session_do_not_meet(make_item: Callable[..., MemoryItem]) -> None:
    """None of fifty fails, and the session's times are those of all items."""
    if connections["memory"].vendor == "sqlite":
        pytest.skip("an SQLite in memory has one connection; tests/api/test_parallel_writers.py uses a file")
    times = [NOON + timedelta(minutes=number) for number in range(50)]

    def write(time: datetime) -> None:
        try:
            make_item(session_id="s", timestamp=time)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(write, times))
    row = UserSession.objects.get()
    assert (row.started_at, row.last_activity) == (times[0], times[-1])
    assert MemoryItem.objects.in_session("s").count() == 50


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_a_write_that_met_others_begins_from_the_same_record(
    make_item: Callable[..., MemoryItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key and whether it is new are what they were, though Django has changed both before the commit."""
    commit, met = UnitOfWork.commit, []

    def contended(self: UnitOfWork) -> None:
        if len(met) < 2 and list(self._buffer.writes()):
            met.append(self)
            self.rollback()
            raise Contention("others were here")
        commit(self)

    item = make_item(session_id="s")
    monkeypatch.setattr(UnitOfWork, "commit", contended)
    # Then a deletion is a transaction.
    monkeypatch.setattr(MemoryItem, "is_cached", classmethod(lambda model, using: True))
    assert item.delete()[0] == 1
    assert len(met) == (2 if connections["memory"].vendor == "firestore" else 0)
    assert not MemoryItem.all_objects.exists()
    met.clear()
    item.pk = "again"
    item._state.adding = True
    item.save(force_insert=True)
    assert MemoryItem.all_objects.get().pk == "again"
    assert not item._state.adding
    assert len(met) == (2 if connections["memory"].vendor == "firestore" else 0)


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_more_than_a_transaction_can_hold_is_written_in_several(make_item: Callable[..., MemoryItem]) -> None:
    """Outside of one: no engine's limit on a transaction is one on what can be created together."""
    make_item(session_id="s")
    items = [
        MemoryItem(user_id="ada", session_id="s", item_type="m", text_content=f"{number}" + "x" * 900_000)
        for number in range(6)
    ]
    assert MemoryItem.objects.bulk_create(iter(items)) == items
    assert MemoryItem.objects.for_user("ada").count() == 7


@pytest.mark.django_db(databases=["default", "memory"], transaction=True)
def test_saving_costs_a_constant_number_of_queries(
    make_item: Callable[..., MemoryItem], django_assert_num_queries: Any
) -> None:
    """An item of a known session: its insert, the session's upsert.

    The begin and the commit of the transaction are counted, on both engines.
    """
    make_item(session_id="s", timestamp=NOON)
    with django_assert_num_queries(4, using="memory"):
        make_item(session_id="s", timestamp=NOON + timedelta(1))
    with django_assert_num_queries(3, using="memory"):
        make_item(session_id=None)
