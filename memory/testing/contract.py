"""The contract of a `MemoryManager` as a pytest suite, for all stores including custom ones.

    class TestMyManager(MemoryManagerContract):
        @pytest.fixture
        def manager(self):
            manager = MyManager()
            manager.initialize()
            yield manager
            manager.close()

Users and agents have unique ids (fixture `namespace`), so the suite can run on a storage in use. It deletes expired
records there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from memory import exceptions
from memory.models import AgentData, MemoryItem
from memory.stores import MemoryManager, PersonaConfig

T = TypeVar("T")

START = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIELDS = tuple(field.name for field in MemoryItem._meta.concrete_fields if field.name not in MemoryItem.UNREAD_FIELDS)


def wait(function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
    """Call an awaitable method from a synchronous test."""
    return async_to_sync(function)(*args, **kwargs)


def fields_of(item: MemoryItem | None) -> dict[str, Any]:
    """The values of an item by field."""
    assert item is not None, "the item does not exist"
    return {name: getattr(item, name) for name in FIELDS}


class MemoryManagerContract:
    """Subclasses define a fixture `manager` that returns an initialized manager."""

    @pytest.fixture
    def namespace(self) -> str:
        """A unique prefix of user and agent ids."""
        return f"contract-{uuid.uuid4().hex}"

    @pytest.fixture
    def user(self, namespace: str) -> str:
        """The id of a user."""
        return f"{namespace}-user"

    @pytest.fixture
    def data(self, namespace: str) -> Callable[..., AgentData]:
        """A factory of unsaved agent data."""

        def make(**values: Any) -> AgentData:
            return AgentData(**{"agent_id": f"{namespace}-agent", "data_type": "plan", **values})

        return make

    @pytest.fixture
    def item(self, user: str) -> Callable[..., MemoryItem]:
        """A factory of unsaved items of the user."""

        def make(**values: Any) -> MemoryItem:
            return MemoryItem(**{"user_id": user, "item_type": "message", "text_content": "text", **values})

        return make

    @pytest.fixture
    def conversation(self, manager: MemoryManager, item: Callable[..., MemoryItem]) -> list[MemoryItem]:
        """Five stored items, an hour apart, oldest first: three in session a, one in b, one without session."""
        sessions = ("a", "b", "a", None, "a")
        items = [
            item(session_id=session, text_content=f"text {number}", timestamp=START + number * HOUR)
            for number, session in enumerate(sessions)
        ]
        wait(manager.add_memory_items, items)
        return items

    # Items

    def test_an_item_supersedes_others(self, manager: MemoryManager, user: str) -> None:
        """A history and a search answer as of a time; an item of another user cannot be superseded."""
        old = MemoryItem(user_id=user, item_type="fact", text_content="She lives in Ghent.", timestamp=START)
        wait(manager.add_memory_item, old)
        new = MemoryItem(
            user_id=user,
            item_type="fact",
            text_content="She lives in Lyon.",
            timestamp=START + HOUR,
            supersedes=[old.pk],
        )
        wait(manager.add_memory_item, new)
        stored = wait(manager.get_memory_item, old.pk)
        assert stored is not None
        assert (stored.superseded_by, stored.valid_to) == (new.pk, START + HOUR)
        for at, expected in ((START, old.pk), (START + HOUR, new.pk)):
            history = wait(manager.get_conversation_history, user, as_of=at)
            assert [item.pk for item in history] == [expected]
        for superseded, left in ((False, [new.pk]), (True, [new.pk, old.pk])):
            history = wait(manager.get_conversation_history, user, superseded=superseded)
            assert [item.pk for item in history] == left
        for at, expected in ((START, old.pk), (START + HOUR, new.pk)):
            found: list[Any] = wait(manager.search, user, "Where does she live?", as_of=at)
            assert (found[0].pk, found[0].valid) == (expected, True)
        foreign = MemoryItem(user_id=f"{user}-2", item_type="fact", supersedes=[old.pk])
        with pytest.raises(exceptions.ValidationError):
            wait(manager.add_memory_item, foreign)
        with pytest.raises(exceptions.ValidationError):
            wait(manager.get_conversation_history, user, as_of="now")

    def test_importance_recency_and_use(self, manager: MemoryManager, user: str) -> None:
        """They order results; use is noted."""
        items = [
            MemoryItem(user_id=user, item_type="fact", text_content=f"She paints {what}.", importance=weight)
            for what, weight in (("houses", 0.0), ("boats", 1.0), ("trees", None))
        ]
        wait(manager.add_memory_items, items)
        found = wait(manager.search, user, "She paints", importance=1.0, recency=0.5, touch=True)
        assert len(found) == 3
        assert found[0].text_content == "She paints boats."
        used = wait(manager.get_memory_item, found[0].pk)
        assert used is not None
        assert used.touched is not None

    def test_an_item_comes_back_as_it_was_stored(self, manager: MemoryManager, item: Callable[..., MemoryItem]) -> None:
        """All fields keep their precision, and texts and keys of any script."""
        stored = item(
            session_id="s",
            timestamp=START,
            persona_active="guide",
            text_content="grüße 😀\x00\nline",
            embedding=[0.1, -2.5e-300, 3.0],
            metadata={"role": "user", "a.b `c`": [1, {"x": None}], "数": 2**53, "π": 0.1},
            expiration=timezone.now() + HOUR,
        )
        item_id = wait(manager.add_memory_item, stored)
        assert item_id == stored.id
        assert fields_of(wait(manager.get_memory_item, item_id)) == fields_of(stored)

    def test_an_item_of_which_little_is_given_comes_back_with_defaults(self, manager: MemoryManager, user: str) -> None:
        """User and type are required; the defaults are an id, the current time, an empty map and None."""
        before = timezone.now()
        item_id = wait(manager.add_memory_item, MemoryItem(user_id=user, item_type="fact"))
        found = wait(manager.get_memory_item, item_id)
        assert found is not None
        assert before <= found.timestamp <= timezone.now()
        assert (found.session_id, found.persona_active, found.text_content) == (None, None, None)
        assert (found.embedding, found.metadata, found.expiration) == (None, {}, None)

    def test_an_unknown_id_is_none(self, manager: MemoryManager) -> None:
        """An unknown id returns None."""
        assert wait(manager.get_memory_item, uuid.uuid4().hex) is None

    def test_what_is_returned_is_the_callers_own(self, manager: MemoryManager, item: Callable[..., MemoryItem]) -> None:
        """Changing an item after storing or reading it does not change stored data."""
        stored = item(metadata={"tags": ["a"]})
        item_id = wait(manager.add_memory_item, stored)
        stored.metadata["tags"].append("b")
        found = wait(manager.get_memory_item, item_id)
        assert found is not None
        found.metadata["tags"].append("c")
        found.text_content = "changed"
        again = wait(manager.get_memory_item, item_id)
        assert again is not None
        assert (again.metadata, again.text_content) == ({"tags": ["a"]}, "text")

    def test_many_items_at_once(self, manager: MemoryManager, item: Callable[..., MemoryItem]) -> None:
        """Ids are returned in the order of the items; an empty list is allowed."""
        items = [item(text_content=str(number)) for number in range(25)]
        assert wait(manager.add_memory_items, iter(items)) == [record.id for record in items]
        assert wait(manager.add_memory_items, []) == []
        found = wait(manager.get_memory_item, items[7].id)
        assert found is not None
        assert found.text_content == "7"

    def test_an_id_that_is_taken_is_refused(self, manager: MemoryManager, item: Callable[..., MemoryItem]) -> None:
        """A new item never replaces another, and the rest of its batch is not stored."""
        first = item(text_content="first")
        wait(manager.add_memory_item, first)
        other = item()
        with pytest.raises(exceptions.StorageError):
            wait(manager.add_memory_items, [other, item(id=first.id, text_content="second")])
        kept = wait(manager.get_memory_item, first.id)
        assert kept is not None
        assert kept.text_content == "first"
        assert wait(manager.get_memory_item, other.id) is None

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"item_type": ""}, "item_type"),
            ({"user_id": ""}, "user_id"),
            ({"id": "a/b"}, "id"),
            ({"metadata": [1]}, "metadata"),
            ({"metadata": {"x": float("nan")}}, "metadata"),
            ({"embedding": ["a"]}, "embedding"),
            ({"embedding": [0.0] * 2049}, "embedding"),
            ({"text_content": "x" * 1_100_000}, "text_content"),
            ({"text_content": "\ud800"}, "text_content"),
            ({"timestamp": datetime(2026, 1, 1)}, "timestamp"),  # noqa: DTZ001  (the error under test)
        ],
    )
    def test_what_storage_would_refuse_is_a_validation_error(
        self, manager: MemoryManager, item: Callable[..., MemoryItem], values: dict[str, Any], field: str
    ) -> None:
        """The error names the field, and nothing of the batch is stored."""
        good = item()
        with pytest.raises(exceptions.ValidationError) as raised:
            wait(manager.add_memory_items, [good, item(**values)])
        assert field in raised.value.message_dict
        assert wait(manager.get_memory_item, good.id) is None

    @pytest.mark.parametrize("wrong", [None, "text", {"user_id": "ada"}, 5])
    def test_what_is_no_item_is_a_validation_error(self, manager: MemoryManager, wrong: Any) -> None:
        """Other types are rejected."""
        with pytest.raises(exceptions.ValidationError):
            wait(manager.add_memory_item, wrong)
        with pytest.raises(exceptions.ValidationError):
            wait(manager.add_raw_agent_data, wrong)

    def test_many_items_are_read_in_the_order_of_their_ids(
        self, manager: MemoryManager, item: Callable[..., MemoryItem]
    ) -> None:
        """None for ids that do not exist or have expired; an id may be repeated."""
        items = [item(text_content=str(number)) for number in range(3)]
        old = item(expiration=timezone.now() - HOUR)
        wait(manager.add_memory_items, [*items, old])
        ids = [items[2].id, uuid.uuid4().hex, items[0].id, old.id, items[2].id]
        found = wait(manager.get_memory_items, iter(ids))
        assert [record and record.text_content for record in found] == ["2", None, "0", None, "2"]
        assert wait(manager.get_memory_items, []) == []

    # Changes

    def test_fields_of_an_item_are_changed(self, manager: MemoryManager, item: Callable[..., MemoryItem]) -> None:
        """The item is returned as it is stored; other fields stay."""
        stored = item(timestamp=START, metadata={"role": "user"}, session_id="s")
        wait(manager.add_memory_item, stored)
        changes = {"text_content": "new", "item_type": "fact", "embedding": [1.0, 2.0], "session_id": "t"}
        changed = wait(manager.update_memory_item, stored.id, changes)
        assert fields_of(changed) == fields_of(wait(manager.get_memory_item, stored.id))
        expected = {**fields_of(stored), **changes}
        assert {name: fields_of(changed)[name] for name in ("id", "user_id", "timestamp", "metadata", *changes)} == {
            name: expected[name] for name in ("id", "user_id", "timestamp", "metadata", *changes)
        }
        assert wait(manager.check_duplicate, item(item_type="fact", text_content="new")) is True

    def test_what_is_known_of_an_item_is_changed(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """Importance, source, validity; what it supersedes ends, and what it does not any more is valid again."""
        old, new = item(timestamp=START), item(timestamp=START + HOUR)
        wait(manager.add_memory_items, [old, new])
        plain = {"importance": 0.7, "source": "a letter", "derived_from": [old.pk], "valid_to": START + 5 * HOUR}
        changed = wait(manager.update_memory_item, new.pk, {**plain, "supersedes": [old.pk]})
        assert changed is not None
        assert {name: getattr(changed, name) for name in plain} == plain
        ended = wait(manager.get_memory_item, old.pk)
        assert ended is not None
        assert (ended.superseded_by, ended.valid_to) == (new.pk, START + HOUR)
        wait(manager.update_memory_item, new.pk, {"supersedes": []})
        opened = wait(manager.get_memory_item, old.pk)
        assert opened is not None
        assert (opened.superseded_by, opened.valid_to) == (None, None)
        for wrong in ({"superseded_by": "x"}, {"importance": 2}, {"supersedes": ["nobody"]}, {"supersedes": [new.pk]}):
            with pytest.raises(exceptions.ValidationError):
                wait(manager.update_memory_item, new.pk, wrong)

    def test_a_changed_item_is_found_by_its_new_text_only(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """In history and search."""
        stored = item(text_content="a lighthouse", session_id="s")
        wait(manager.add_memory_item, stored)
        wait(manager.get_conversation_history, user, "s")
        wait(manager.update_memory_item, stored.id, {"text_content": "a ferry"})
        [found] = wait(manager.get_conversation_history, user, "s")
        assert found.text_content == "a ferry"
        assert [record.text_content for record in wait(manager.search, user, "ferry")] == ["a ferry"]

    def test_metadata_is_replaced_or_merged(self, manager: MemoryManager, item: Callable[..., MemoryItem]) -> None:
        """Merged maps keep other keys at every level; None removes a key."""
        stored = item(metadata={"a": 1, "b": {"x": 1, "y": [1]}, "c": 3})
        wait(manager.add_memory_item, stored)
        patch = {"b": {"y": [2], "z": {"n": None, "m": 1}}, "c": None, "d": "new"}
        merged = wait(manager.update_memory_item, stored.id, {"metadata": patch}, merge_metadata=True)
        assert merged is not None
        assert merged.metadata == {"a": 1, "b": {"x": 1, "y": [2], "z": {"m": 1}}, "d": "new"}
        replaced = wait(manager.update_memory_item, stored.id, {"metadata": {"e": None}})
        assert replaced is not None
        assert replaced.metadata == {"e": None}
        replaced.metadata["e"] = 5
        assert fields_of(wait(manager.get_memory_item, stored.id))["metadata"] == {"e": None}

    def test_what_is_not_there_is_neither_changed_nor_deleted(
        self, manager: MemoryManager, item: Callable[..., MemoryItem]
    ) -> None:
        """Unknown and expired items."""
        old = item(expiration=timezone.now() - HOUR)
        wait(manager.add_memory_item, old)
        for pk in (old.id, uuid.uuid4().hex):
            assert wait(manager.update_memory_item, pk, {"text_content": "new"}) is None
            assert wait(manager.delete_memory_item, pk) is False

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"user_id": "eve"}, "user_id"),
            ({"id": "x"}, "id"),
            ({"content_hash": "x"}, "content_hash"),
            ({"pk": "x"}, "pk"),
            ({"score": 1}, "score"),
            ({"item_type": ""}, "item_type"),
            ({"metadata": [1]}, "metadata"),
            ({"timestamp": datetime(2026, 1, 1)}, "timestamp"),  # noqa: DTZ001  (the error under test)
            ({"text_content": "x" * 1_100_000}, "text_content"),
            ({5: 5}, "5"),
            ({}, "changes"),
            (None, "changes"),
            ("text_content", "changes"),
        ],
    )
    def test_a_change_that_makes_no_sense_is_refused(
        self, manager: MemoryManager, item: Callable[..., MemoryItem], changes: Any, field: str
    ) -> None:
        """The error names the field, and the item stays as it is."""
        stored = item()
        wait(manager.add_memory_item, stored)
        for merges in (False, True):
            with pytest.raises(exceptions.ValidationError) as raised:
                wait(manager.update_memory_item, stored.id, changes, merge_metadata=merges)
            assert field in raised.value.message_dict
        assert fields_of(wait(manager.get_memory_item, stored.id)) == fields_of(stored)

    def test_an_item_is_deleted_once(self, manager: MemoryManager, user: str, conversation: list[MemoryItem]) -> None:
        """It is in no history afterwards, and others stay."""
        assert wait(manager.delete_memory_item, conversation[2].id) is True
        assert wait(manager.delete_memory_item, conversation[2].id) is False
        found = wait(manager.get_conversation_history, user, "a")
        assert [record.text_content for record in found] == ["text 4", "text 0"]

    @pytest.mark.parametrize(
        ("options", "left"),
        [
            ({"session_id": "a"}, ["1", "3"]),
            ({"session_id": "none"}, ["0", "1", "2", "3", "4"]),
            ({"filters": {"timestamp__lt": START + 2 * HOUR}}, ["2", "3", "4"]),
            ({"filters": {"session_id": None}}, ["0", "1", "2", "4"]),
            ({"filters": {"session_id__isnull": False}}, ["3"]),
            ({"filters": {"item_type": "message", "timestamp__gte": START + 3 * HOUR}}, ["0", "1", "2"]),
            ({"filters": {"metadata__n": 2}}, ["0", "1", "3", "4"]),
            ({"session_id": "a", "filters": {"metadata__n": 1}}, ["0", "1", "2", "3", "4"]),
            ({"session_id": "a", "filters": {"metadata__n": 4}}, ["0", "1", "2", "3"]),
            ({"filters": {"item_type__in": []}}, ["0", "1", "2", "3", "4"]),
        ],
    )
    def test_what_matches_is_forgotten(
        self,
        manager: MemoryManager,
        user: str,
        item: Callable[..., MemoryItem],
        conversation: list[MemoryItem],
        options: dict[str, Any],
        left: list[str],
    ) -> None:
        """The items that the history has for the same filters, expired ones too; no other user's."""
        for number, record in enumerate(conversation):
            wait(manager.update_memory_item, record.id, {"metadata": {"n": number}})
        wait(manager.add_memory_item, item(user_id=f"{user}-other", session_id="a", timestamp=START))
        matching = wait(manager.get_conversation_history, user, **options)
        assert wait(manager.forget, user, **options) == len(matching)
        found = wait(manager.get_conversation_history, user)
        assert [record.text_content for record in found] == [f"text {number}" for number in left[::-1]]
        assert len(wait(manager.get_conversation_history, f"{user}-other")) == 1

    def test_expired_items_are_forgotten_too(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """They count."""
        old = {"expiration": timezone.now() - HOUR}
        wait(manager.add_memory_items, [item(session_id="s", **old), item(item_type="fact", **old), item()])
        assert wait(manager.forget, user, "s") == 1
        assert wait(manager.forget, user, filters={"item_type": "fact"}) == 1

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({}, "filters"),
            ({"filters": {}}, "filters"),
            ({"filters": {"user_id": "eve"}}, "user_id"),
            ({"session_id": ""}, "session_id"),
            ({"user_id": "", "session_id": "s"}, "user_id"),
        ],
    )
    def test_forgetting_needs_a_session_or_filters(
        self, manager: MemoryManager, user: str, conversation: list[MemoryItem], options: dict[str, Any], field: str
    ) -> None:
        """Nothing is deleted by an argument that is missing or unknown."""
        with pytest.raises(exceptions.ValidationError) as raised:
            wait(manager.forget, **{"user_id": user, **options})
        assert field in raised.value.message_dict
        assert len(wait(manager.get_conversation_history, user)) == len(conversation)

    def test_a_deleted_user_leaves_nothing(
        self,
        manager: MemoryManager,
        user: str,
        item: Callable[..., MemoryItem],
        conversation: list[MemoryItem],
    ) -> None:
        """Items, expired ones too, and sessions are deleted; those of others stay."""
        gone = item(expiration=timezone.now() - HOUR, session_id="old")
        wait(manager.add_memory_items, [gone, item(user_id=f"{user}-other", session_id="a")])
        wait(manager.search, user, "text")
        assert wait(manager.delete_user, user) == len(conversation) + 1
        assert wait(manager.get_conversation_history, user) == []
        assert wait(manager.list_sessions, user) == []
        assert wait(manager.search, user, "text") == []
        assert wait(manager.delete_user, user) == 0
        assert [record.session_id for record in wait(manager.list_sessions, f"{user}-other")] == ["a"]
        assert len(wait(manager.get_conversation_history, f"{user}-other")) == 1

    # Sessions

    def test_sessions_are_listed_by_activity(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem], conversation: list[MemoryItem]
    ) -> None:
        """Newest activity first, with the times of their first and last items; page after page."""
        ties = [item(session_id=name, timestamp=START + HOUR) for name in ("d", "e", "c")]
        wait(manager.add_memory_items, [*ties, item(user_id=f"{user}-other", session_id="x")])
        found = wait(manager.list_sessions, user)
        assert [record.session_id for record in found] == ["a", "e", "d", "c", "b"]
        times = {record.session_id: (record.started_at, record.last_activity) for record in found}
        assert (times["a"], times["b"]) == ((START, START + 4 * HOUR), (START + HOUR, START + HOUR))
        paged: list[str] = []
        last = None
        while page := wait(manager.list_sessions, user, limit=2, before=last):
            paged += [record.session_id for record in page]
            last = page[-1]
        assert paged == ["a", "e", "d", "c", "b"]
        assert wait(manager.list_sessions, f"{user}-none") == []

    def test_a_session_follows_its_items(
        self, manager: MemoryManager, user: str, conversation: list[MemoryItem]
    ) -> None:
        """Its times narrow with the items that are deleted; it is deleted as a whole only."""

        def times(session: str) -> list[tuple[datetime, datetime]]:
            found = wait(manager.list_sessions, user)
            return [(record.started_at, record.last_activity) for record in found if record.session_id == session]

        wait(manager.delete_memory_item, conversation[4].id)
        assert times("a") == [(START, START + 2 * HOUR)]
        wait(manager.forget, user, "b", filters={"item_type": "message"})
        assert times("b") == [(START + HOUR, START + HOUR)]
        wait(manager.forget, user, "b")
        assert times("b") == []

    @pytest.mark.parametrize(
        "arguments",
        [{"user_id": ""}, {"before": "a"}] + [{"limit": limit} for limit in (0, 1_001, True, None)],
    )
    def test_a_list_of_sessions_that_makes_no_sense_is_refused(
        self, manager: MemoryManager, user: str, arguments: dict[str, Any]
    ) -> None:
        """The argument is named."""
        with pytest.raises(exceptions.ValidationError) as raised:
            wait(manager.list_sessions, **{"user_id": user, **arguments})
        assert raised.value.message_dict.keys() == arguments.keys()

    # History

    def test_history_from_the_beginning(
        self, manager: MemoryManager, user: str, conversation: list[MemoryItem]
    ) -> None:
        """The oldest items, oldest first; filters and sessions apply."""

        def texts(*args: Any, **options: Any) -> list[str | None]:
            found = wait(manager.get_conversation_history, *args, oldest_first=True, **options)
            return [record.text_content for record in found]

        assert texts(user) == [f"text {number}" for number in range(5)]
        assert texts(user, "a", limit=2) == ["text 0", "text 2"]
        later = {"timestamp__gt": START, "item_type": "message"}
        assert texts(user, "a", limit=1, filters=later) == ["text 2"]
        assert texts(user, filters={"metadata__n": 1}) == []
        with pytest.raises(exceptions.ValidationError):
            texts(user, limit=0)
        with pytest.raises(exceptions.ValidationError):
            wait(manager.get_conversation_history, user, oldest_first="yes")

    def test_history_is_newest_first(self, manager: MemoryManager, user: str, conversation: list[MemoryItem]) -> None:
        """Without a session, all items of the user."""
        found = wait(manager.get_conversation_history, user)
        assert [record.id for record in found] == [record.id for record in reversed(conversation)]

    def test_history_of_a_session(self, manager: MemoryManager, user: str, conversation: list[MemoryItem]) -> None:
        """Only items of the session; an unknown session is empty."""
        found = wait(manager.get_conversation_history, user, "a")
        assert [record.text_content for record in found] == ["text 4", "text 2", "text 0"]
        assert wait(manager.get_conversation_history, user, session_id="none") == []

    def test_history_is_limited(self, manager: MemoryManager, user: str, conversation: list[MemoryItem]) -> None:
        """The newest `limit` items, 20 by default."""
        assert [record.text_content for record in wait(manager.get_conversation_history, user, limit=2)] == [
            "text 4",
            "text 3",
        ]
        wait(manager.add_memory_items, [MemoryItem(user_id=user, item_type="event") for _ in range(20)])
        assert len(wait(manager.get_conversation_history, user)) == 20
        assert len(wait(manager.get_conversation_history, user, limit=1000)) == 25

    def test_items_of_one_moment_are_ordered_by_id(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """The order is deterministic."""
        ids = sorted(uuid.uuid4().hex for _ in range(6))
        wait(manager.add_memory_items, [item(id=pk, session_id="s", timestamp=START) for pk in ids[::-2] + ids[::2]])
        assert [record.id for record in wait(manager.get_conversation_history, user, "s")] == ids[::-1]

    def test_another_users_items_are_never_returned(
        self, manager: MemoryManager, user: str, conversation: list[MemoryItem]
    ) -> None:
        """Also for a session with the same name."""
        assert wait(manager.get_conversation_history, f"{user}-other", "a") == []
        assert wait(manager.get_conversation_history, f"{user}-other") == []

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"item_type": "fact"}, ["1", "3"]),
            ({"item_type__in": ["fact", "event"]}, ["0", "1", "3"]),
            ({"item_type__in": []}, []),
            ({"persona_active": "guide"}, ["1", "2"]),
            ({"persona_active": None}, ["0"]),
            ({"persona_active__isnull": False}, ["1", "2", "3"]),
            ({"persona_active__in": ["guide", "critic"]}, ["1", "2", "3"]),
            ({"session_id": None}, ["0", "1"]),
            ({"session_id__in": ["s"]}, ["2", "3"]),
            ({"timestamp__gte": START + HOUR, "timestamp__lt": START + 3 * HOUR}, ["1", "2"]),
            ({"timestamp__gt": START + HOUR, "item_type": "fact"}, ["3"]),
            ({"timestamp__lte": START}, ["0"]),
            ({"timestamp": START}, ["0"]),
            ({}, ["0", "1", "2", "3"]),
            (None, ["0", "1", "2", "3"]),
        ],
    )
    def test_history_can_be_filtered(
        self,
        manager: MemoryManager,
        user: str,
        item: Callable[..., MemoryItem],
        filters: dict[str, Any] | None,
        expected: list[str],
    ) -> None:
        """Type, persona, session and time are combined with AND."""
        rows = (
            ("event", None, None),
            ("fact", "guide", None),
            ("message", "guide", "s"),
            ("fact", "critic", "s"),
        )
        items = [
            item(item_type=kind, persona_active=persona, session_id=session, timestamp=START + number * HOUR)
            for number, (kind, persona, session) in enumerate(rows)
        ]
        for number, record in enumerate(items):
            record.text_content = str(number)
        wait(manager.add_memory_items, items)
        found = wait(manager.get_conversation_history, user, filters=filters)
        assert [record.text_content for record in found] == expected[::-1]

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"metadata__role": "user"}, {"a", "b"}),
            ({"metadata__a.b `c`__d": 5}, {"a"}),
            ({"metadata__a.b `c`__d": 5.0}, {"a"}),
            ({"metadata__a.b `c`__d": "5"}, {"b"}),
            ({"metadata__flag": True}, {"a"}),
            ({"metadata__flag": 1}, {"b"}),
            ({"metadata__none": None}, {"b"}),
            ({"metadata__role": "user", "metadata__flag": 1}, {"b"}),
            ({"metadata__missing": "x"}, set()),
        ],
    )
    def test_history_can_be_filtered_by_metadata(
        self,
        manager: MemoryManager,
        user: str,
        item: Callable[..., MemoryItem],
        filters: dict[str, Any],
        expected: set[str],
    ) -> None:
        """Values are compared by JSON type; null differs from a missing key."""
        maps = {
            "a": {"role": "user", "a.b `c`__d": 5, "flag": True},
            "b": {"role": "user", "a.b `c`__d": "5", "flag": 1, "none": None},
            "c": {"role": ["user"], "flag": {"x": True}},
            "d": {},
        }
        wait(manager.add_memory_items, [item(text_content=text, metadata=data) for text, data in maps.items()])
        assert {
            record.text_content for record in wait(manager.get_conversation_history, user, filters=filters)
        } == expected

    @pytest.mark.parametrize(
        "filters",
        [
            {"user_id": "eve"},
            {"text_content__regex": ".*"},
            {"item_type__contains": "m"},
            {"item_type": 5},
            {"item_type": None},
            {"item_type__in": "message"},
            {"persona_active__isnull": "no"},
            {"timestamp__gte": "2026-01-01"},
            {"timestamp__gte": datetime(2026, 1, 1)},  # noqa: DTZ001  (the error under test)
            {"metadata": {"role": "user"}},
            {"metadata__": "user"},
            {"metadata__role": ["user"]},
            {"metadata__role": float("nan")},
            {"metadata__size": 2**63},
            {"metadata__role": "\ud800"},
            {5: 5},
            [("item_type", "message")],
            "item_type",
        ],
    )
    def test_a_filter_that_is_not_in_the_whitelist_is_refused(
        self, manager: MemoryManager, user: str, filters: Any
    ) -> None:
        """Unknown lookups and invalid values are rejected."""
        with pytest.raises(exceptions.ValidationError):
            wait(manager.get_conversation_history, user, filters=filters)

    @pytest.mark.parametrize(
        "arguments",
        [{"user_id": ""}, {"user_id": None}, {"session_id": ""}, {"session_id": 5}]
        + [{"limit": limit} for limit in (0, -1, True, 2.0, None)],
    )
    def test_wrong_arguments_are_validation_errors(
        self, manager: MemoryManager, user: str, arguments: dict[str, Any]
    ) -> None:
        """The error names the argument."""
        with pytest.raises(exceptions.ValidationError) as raised:
            wait(manager.get_conversation_history, **{"user_id": user, **arguments})
        assert raised.value.message_dict.keys() == arguments.keys()

    # Search

    def test_the_nearest_come_first(self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]) -> None:
        """Cosine distance; items without a vector or with another dimension are skipped."""
        vectors = {"same": [2.0, 0.0], "near": [1.0, 1.0], "across": [0.0, 1.0], "back": [-1.0, 0.0]}
        items = [item(text_content=name, embedding=vector) for name, vector in vectors.items()]
        wait(manager.add_memory_items, [*items[::-1], item(embedding=[1.0, 0.0, 0.0]), item()])
        found = wait(manager.semantic_search, user, [1.0, 0.0])
        assert [record.text_content for record in found] == list(vectors)
        assert [record.distance for record in found] == pytest.approx([0.0, 1 - 0.5**0.5, 1.0, 2.0], abs=1e-6)  # type: ignore[attr-defined]
        assert [record.text_content for record in wait(manager.semantic_search, user, (1.0, 0.0), top_k=2)] == [
            "same",
            "near",
        ]

    def test_a_search_stays_with_the_user(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """Items of other users are not found."""
        wait(manager.add_memory_item, item(embedding=[1.0, 0.0]))
        assert wait(manager.semantic_search, f"{user}-other", [1.0, 0.0]) == []

    def test_a_zero_vector_is_near_to_nothing(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """A stored zero vector is never found, and a zero query finds nothing."""
        wait(manager.add_memory_items, [item(embedding=[0.0, 0.0]), item(text_content="x", embedding=[1.0, 0.0])])
        assert [record.text_content for record in wait(manager.semantic_search, user, [1.0, 0.0])] == ["x"]
        assert wait(manager.semantic_search, user, [0.0, 0.0]) == []

    def test_a_persona_narrows_a_search(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """Items of the persona and items without one are found."""
        personas = {"guide's": "guide", "no persona": None, "critic's": "critic"}
        wait(
            manager.add_memory_items,
            [item(text_content=text, persona_active=name, embedding=[1.0, 0.0]) for text, name in personas.items()],
        )
        found = wait(manager.semantic_search, user, [1.0, 0.0], PersonaConfig(name="guide"))
        assert {record.text_content for record in found} == {"guide's", "no persona"}

    @pytest.mark.parametrize(
        "arguments",
        [{"query_embedding": vector} for vector in ([], None, ["a"], [float("nan")], [[1.0]], "x", [0.0] * 2049)]
        + [{"top_k": count} for count in (0, 1001, "5")]
        + [{"persona_context": "guide"}],
    )
    def test_a_search_that_makes_no_sense_is_refused(
        self, manager: MemoryManager, user: str, arguments: dict[str, Any]
    ) -> None:
        """The argument is named."""
        with pytest.raises(exceptions.ValidationError) as raised:
            wait(manager.semantic_search, **{"user_id": user, "query_embedding": [1.0], **arguments})
        assert raised.value.message_dict.keys() == arguments.keys()

    def test_what_answers_best_comes_first(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """Results have scores and, with `explain`, their parts; unrelated items are not found."""
        texts = ["I took the night train to Vienna.", "The piano was tuned on Monday.", "We paddled around the island."]
        wait(manager.add_memory_items, [item(text_content=text, session_id="s") for text in texts])
        found: list[Any] = wait(manager.search, user, "which train did I take at night?")
        assert found[0].text_content == texts[0]
        assert [record.score for record in found] == sorted((record.score for record in found), reverse=True)
        explained: list[Any] = wait(manager.search, user, "which train did I take at night?", explain=True)
        assert [record.pk for record in explained] == [record.pk for record in found]
        sums = [sum(record.score_parts.values()) for record in explained]
        assert sums == sorted(sums, reverse=True)
        assert [record.pk for record in wait(manager.search, user, "night train", limit=1)] == [found[0].pk]

    def test_results_are_above_the_least_score_and_not_hidden(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """Hidden items are found if asked for, those without text never; of equal texts one, with the others' ids."""
        texts = ["a red lighthouse", "a red lighthouse", "the lighthouse keeper", "", None]
        items = [item(text_content=text, session_id="s") for text in texts]
        items.append(item(text_content="an old lighthouse", metadata={"hidden": True}))
        wait(manager.add_memory_items, items)
        found: list[Any] = wait(manager.search, user, "the red lighthouse")
        assert sorted(str(record.text_content) for record in found) == ["a red lighthouse", "the lighthouse keeper"]
        repeated = next(record for record in found if record.same)
        assert {repeated.pk, *repeated.same} == {items[0].pk, items[1].pk}
        every: list[Any] = wait(manager.search, user, "the red lighthouse", hidden=True)
        assert {record.pk for record in every} == {*(record.pk for record in found), items[5].pk}
        best: list[Any] = wait(manager.search, user, "the red lighthouse", min_score=found[0].score)
        assert [record.pk for record in best] == [found[0].pk]

    def test_a_question_in_the_first_person_is_of_its_asker(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """By default the user asks; `asker` names another speaker."""
        for speaker in ("Bo", "Cy"):
            said = f"My train was late, said {speaker}"
            wait(manager.add_memory_item, item(text_content=said, metadata={"speaker": speaker}))
        for speaker in ("Bo", "Cy"):
            found = wait(manager.search, user, "When was my train late?", explain=True, asker=speaker)
            by_asker = {record.metadata["speaker"] for record in found if record.score_parts.get("user_first", 0) > 0}
            assert by_asker == {speaker}

    def test_a_question_stays_with_the_user(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """Items of other users and expired items are not found."""
        gone = timezone.now() - HOUR
        wait(
            manager.add_memory_items,
            [item(text_content="a lighthouse"), item(text_content="lighthouse", expiration=gone)],
        )
        assert wait(manager.search, f"{user}-other", "lighthouse") == []
        assert [record.text_content for record in wait(manager.search, user, "lighthouse")] == ["a lighthouse"]

    @pytest.mark.parametrize(
        ("narrowed", "expected"),
        [
            ({"session_id": "a"}, {"0", "2"}),
            ({"filters": {"item_type": "fact"}}, {"1", "2"}),
            ({"session_id": "a", "filters": {"timestamp__gte": START + HOUR}}, {"2"}),
            ({"filters": {"metadata__n": 1}}, {"1"}),
            ({"session_id": "none"}, set()),
        ],
    )
    def test_a_search_can_be_narrowed(
        self,
        manager: MemoryManager,
        user: str,
        item: Callable[..., MemoryItem],
        narrowed: dict[str, Any],
        expected: set[str],
    ) -> None:
        """Session and filters exclude items whatever their score."""
        rows = (("message", "a"), ("fact", "b"), ("fact", "a"))
        items = [
            item(
                text_content=f"lighthouse {number}",
                item_type=kind,
                session_id=session,
                timestamp=START + number * HOUR,
                metadata={"n": number},
            )
            for number, (kind, session) in enumerate(rows)
        ]
        wait(manager.add_memory_items, items)
        found = wait(manager.search, user, "the lighthouse", **narrowed)
        assert found.waiting == 0
        assert {str(record.metadata["n"]) for record in found} == expected

    @pytest.mark.parametrize("question", ["", " ", "\x00", "🎉", "?!", "\ud800", "京都", "x" * 10_000])
    def test_odd_questions_have_an_answer(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem], question: str
    ) -> None:
        """Unusual queries cause no error."""
        wait(manager.add_memory_item, item(text_content="a lighthouse"))
        assert len(wait(manager.search, user, question)) <= 1

    @pytest.mark.parametrize(
        "arguments",
        [{"query": query} for query in (None, 5, b"x", "x" * 10_001)]
        + [{"limit": limit} for limit in (0, 101, "5")]
        + [{"min_score": score} for score in (-0.1, 1.1, float("nan"), "0.5", True)]
        + [{"session_id": ""}, {"explain": "yes"}, {"hidden": 1}, {"asker": None}, {"user_id": ""}],
    )
    def test_a_question_that_makes_no_sense_is_refused(
        self, manager: MemoryManager, user: str, arguments: dict[str, Any]
    ) -> None:
        """The argument is named."""
        with pytest.raises(exceptions.ValidationError) as raised:
            wait(manager.search, **{"user_id": user, "query": "x", **arguments})
        assert raised.value.message_dict.keys() == arguments.keys()

    # Agent data

    @pytest.mark.parametrize("content", [{"steps": [1, {"x": None}]}, [1, "two"], "text", 5, 0.5, True, None])
    def test_agents_data_of_any_json(
        self, manager: MemoryManager, data: Callable[..., AgentData], content: Any
    ) -> None:
        """Any JSON value round-trips."""
        stored = data(content=content, timestamp=START)
        found = wait(manager.get_raw_agent_data, wait(manager.add_raw_agent_data, stored))
        assert found is not None
        assert (found.id, found.agent_id, found.data_type) == (stored.id, stored.agent_id, "plan")
        assert (found.content, found.timestamp, found.metadata) == (content, START, {})

    def test_agents_data_in_a_batch(self, manager: MemoryManager, data: Callable[..., AgentData]) -> None:
        """Ids are returned in order; existing ids are rejected, unknown ids return None."""
        batch = [data(content=number) for number in range(3)]
        assert wait(manager.add_raw_agent_data_batch, batch) == [record.id for record in batch]
        with pytest.raises(exceptions.StorageError):
            wait(manager.add_raw_agent_data, data(id=batch[0].id))
        assert wait(manager.get_raw_agent_data, uuid.uuid4().hex) is None

    # Duplicates

    def test_a_duplicate_has_the_same_user_type_and_text(
        self, manager: MemoryManager, user: str, item: Callable[..., MemoryItem]
    ) -> None:
        """Items with another text, type or user, items without text, and the item itself are not duplicates."""
        stored = item(text_content="I like tea.")
        wait(manager.add_memory_items, [stored, item(text_content=None)])
        others = {
            "same": item(text_content="I like tea.", session_id="elsewhere"),
            "itself": stored,
            "text": item(text_content="I like tea"),
            "no text": item(text_content=None),
            "type": item(text_content="I like tea.", item_type="fact"),
            "user": item(text_content="I like tea.", user_id=f"{user}-other"),
        }
        found = {name for name, other in others.items() if wait(manager.check_duplicate, other)}
        assert found == {"same"}

    # Expiration

    def test_what_has_expired_is_not_returned_and_cleaned_up(
        self,
        manager: MemoryManager,
        user: str,
        item: Callable[..., MemoryItem],
        data: Callable[..., AgentData],
    ) -> None:
        """No method returns expired records; cleanup deletes only these."""
        now = timezone.now()
        gone = item(expiration=now, text_content="gone", embedding=[1.0])
        kept = item(expiration=now + HOUR, text_content="kept", embedding=[1.0])
        old = data(expiration=now - HOUR)
        wait(manager.add_memory_items, [gone, kept])
        wait(manager.add_raw_agent_data, old)
        assert wait(manager.get_memory_item, gone.id) is None
        assert wait(manager.get_raw_agent_data, old.id) is None
        assert [record.id for record in wait(manager.get_conversation_history, user)] == [kept.id]
        assert [record.id for record in wait(manager.semantic_search, user, [1.0])] == [kept.id]
        assert wait(manager.check_duplicate, item(text_content="gone")) is False
        assert wait(manager.cleanup_expired_items) >= 2
        assert wait(manager.get_memory_item, kept.id) is not None
        wait(manager.add_memory_item, item(id=gone.id))  # the id can be used again

    # Lifecycle

    def test_health(self, manager: MemoryManager) -> None:
        """A working manager is `ok`, a closed one `unavailable`."""
        health = wait(manager.health_check)
        assert health.keys() == {"status", "components", "details"}
        assert health["status"] == "ok"
        assert set(health["components"].values()) == {True}
        manager.close()
        assert wait(manager.health_check)["status"] == "unavailable"

    def test_a_closed_manager_refuses_and_can_be_opened_again(
        self, manager: MemoryManager, item: Callable[..., MemoryItem]
    ) -> None:
        """`initialize` and `close` are idempotent; stored items are kept."""
        item_id = wait(manager.add_memory_item, item())
        manager.close()
        manager.close()
        with pytest.raises(exceptions.StorageError, match="initialize"):
            wait(manager.get_memory_item, item_id)
        manager.initialize()
        manager.initialize()
        assert wait(manager.get_memory_item, item_id) is not None
