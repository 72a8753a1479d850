"""The vocabulary of the records, sync and async, exposed as the models' managers.

`objects` leaves out what has expired; `all_objects` does not, and is what the purge and Django's own saving use. Every
write path (save, `bulk_create`, `bulk_update`, `update`) holds the limits of `limits.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections, models, transaction
from django.db.models.expressions import Expression
from django.utils import timezone

from . import history, limits
from .cache import Conversation
from .distances import CosineDistance, VectorDistance
from .fields import content_hash
from .search import recall

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

    from .models import AgentData, MemoryItem, Record, UserSession  # noqa: F401  (AgentData: in a string below)

    RecordT = TypeVar("RecordT", bound=Record)
else:
    RecordT = TypeVar("RecordT")

ROWS_AT_ONCE = 500


class CurrentTime(Expression):
    """The time at which a query runs, by this process' clock.

    Unlike `timezone.now()` it does not age in a queryset that is built once and run often (a view's, a form field's),
    and unlike the database's `Now()` it is a plain parameter, which every engine can compare natively.
    """

    def __init__(self) -> None:
        super().__init__(output_field=models.DateTimeField())

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        now = models.Value(timezone.now(), output_field=self.output_field)
        sql, params = now.as_sql(compiler, connection)
        return sql, tuple(params)


class RecordQuerySet(models.QuerySet[RecordT], Generic[RecordT]):
    """What all records share: expiration, limits, time."""

    _checked = False

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone._checked = self._checked
        return clone

    def live(self) -> Self:
        """Records that have not expired."""
        # As a negation: SQLite would answer an OR from the index of `expiration`, and so read whatever never expires.
        return self.exclude(expiration__lte=CurrentTime())

    def expired(self) -> Self:
        """Records whose time is up; on `all_objects`, since `objects` has none."""
        return self.filter(expiration__lte=CurrentTime())

    def purge(self) -> int:
        """Delete what has expired, some at a time; return how many. On `all_objects`, since `objects` has none."""
        expired, deleted = self.expired(), 0
        while keys := list(expired.order_by("expiration").values_list("pk", flat=True)[:ROWS_AT_ONCE]):
            # Looked at again: one may have got more time meanwhile.
            deleted += expired.filter(pk__in=keys).delete()[1].get(self.model._meta.label, 0)
        return deleted

    purge.alters_data = True  # type: ignore[attr-defined]

    def between(self, start: datetime | None = None, end: datetime | None = None) -> Self:
        """Records from `start` on, up to but not including `end`; None leaves that side open."""
        bounds = {"timestamp__gte": start, "timestamp__lt": end}
        return self.filter(**{lookup: bound for lookup, bound in bounds.items() if bound is not None})

    def newest_first(self) -> Self:
        """By time, latest first; the id settles ties."""
        return self.order_by("-timestamp", "-id")

    def recent(self, count: int) -> Self:
        """The `count` newest records, newest first."""
        return self.newest_first()[:count]

    def bulk_create(
        self,
        objs: Iterable[RecordT],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[RecordT]:
        """Django's `bulk_create`, within the limits: one record that breaks them, and none is written.

        What is more than a transaction of the engine can hold is several, outside of a transaction of the caller's.
        """
        records = list(objs)
        _check_all(records)
        updated = self.model.with_derived_fields(update_fields) if update_fields else update_fields
        options = (batch_size, ignore_conflicts, update_conflicts, updated, unique_fields)
        return [one for some in transactions_of(records, self.db) for one in self._bulk_create(some, *options)]

    @history.patient
    def _bulk_create(
        self,
        records: list[RecordT],
        batch_size: int | None,
        ignore_conflicts: bool,
        update_conflicts: bool,
        update_fields: Collection[str] | None,
        unique_fields: Collection[str] | None,
    ) -> list[RecordT]:
        with self.model.writing(self.db) as changes:
            old = self._places_of(records) if changes.active and update_conflicts else []
            conversations = [*(record.conversation for record in records), *(each for _, each in old)]
            changes.expect(conversations)
            self.model.before_write(records, self.db, changes)
            created = super().bulk_create(
                records, batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields
            )
            if ignore_conflicts or update_conflicts:
                changes.changed(conversations)
            else:
                changes.saved(records)
            self.model.after_write(records, self.db, changes)
        return created

    @history.patient
    def bulk_update(self, objs: Iterable[RecordT], fields: Iterable[str], batch_size: int | None = None) -> int:
        """Django's `bulk_update`, within the limits: one record that breaks them, and none is written."""
        records, names = list(objs), self.model.with_derived_fields(fields)
        _check_all(records)
        unchecked = self._chain()  # type: ignore[attr-defined]
        unchecked._checked = True
        with self.model.writing(self.db) as changes:
            old = self._places_of(records) if changes.active else []
            conversations = [*(record.conversation for record in records), *(each for _, each in old)]
            changes.expect(conversations)
            if self.model.writes_all_of_text(names):
                self.model.before_write(records, self.db, changes)
            changed: int = super(RecordQuerySet, unchecked).bulk_update(records, names, batch_size)
            changes.changed(conversations)
            self.model.after_write(records, self.db, changes)
        return changed

    @history.patient
    def update(self, **values: Any) -> int:
        """Django's `update`, within the limits.

        A change to text, maps or vectors is made record by record, since a document's size depends on the rest of it.
        """
        if self._checked:
            return super().update(**values)
        if self.model.SIZED_FIELDS.isdisjoint(values):
            self._check_values(values)
            return self._update_at_once(values)
        return self._update_records(values)

    update.alters_data = True  # type: ignore[attr-defined]

    @history.patient
    def delete(self) -> tuple[int, dict[str, int]]:
        """Django's `delete`."""
        if not self.model.is_cached(self.db) or self._is_not_plain():
            return super().delete()
        counts: Counter[str] = Counter()
        with self.model.writing(self.db) as changes:
            for old in places_of(self.order_by()):
                changes.expect(conversation for _, conversation in old)
                some = self.order_by().filter(pk__in=[pk for pk, _ in old])
                counts.update(super(RecordQuerySet, some).delete()[1])
                changes.removed(old)
        return counts.total(), dict(counts)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _update_at_once(self, values: Mapping[str, Any]) -> int:
        if not self.model.is_cached(self.db) or self._is_not_plain():
            return super().update(**values)
        changed = 0
        with self.model.writing(self.db) as changes:
            for old in places_of(self.order_by()):
                conversations = [conversation for _, conversation in old]
                changes.expect(conversations)
                some = self.order_by().filter(pk__in=[pk for pk, _ in old])
                changed += super(RecordQuerySet, some).update(**values)
                changes.changed(conversations)
        return changed

    def _is_not_plain(self) -> bool:
        """Whether Django refuses to write by this queryset, and says so better than what we would run."""
        query = self.query
        return bool(query.is_sliced or query.distinct or query.combinator or self._fields is not None)  # type: ignore[attr-defined]

    def _places_of(self, records: Sequence[RecordT]) -> list[history.Place]:
        everything = self.model._base_manager.using(self.db)
        pks = [record.pk for record in records]
        found = [places_of(everything.filter(pk__in=some)) for some in batched(pks, ROWS_AT_ONCE)]
        return [place for batches in found for batch in batches for place in batch]

    def _check_values(self, values: Mapping[str, Any]) -> None:
        names = {field.name for field in self.model._meta.concrete_fields}
        plain = {name: value for name, value in values.items() if name in names and not is_expression(value)}
        self.model(**plain).clean_fields(exclude=names - plain.keys())

    def _update_records(self, values: Mapping[str, Any]) -> int:
        if self.query.is_sliced:
            raise TypeError("Cannot update a query once a slice has been taken.")
        everything = self.model._base_manager.using(self.db)
        with transaction.atomic(using=self.db):
            # The ids are taken first: a change to what the filter looks at must not bring a record up twice.
            ids = list(self.order_by().values_list("pk", flat=True))
            found = [self.order_by().filter(pk__in=some) for some in batched(ids, ROWS_AT_ONCE)]
            if len(found) > 1:  # one batch is checked before it is written; of several, the last before the first
                for records in found:
                    _check_all(_with_new_values(records, values))
            return sum(everything.bulk_update(_with_new_values(records, values), list(values)) for records in found)


def _check_all(records: Sequence[Record]) -> None:
    if records:
        type(records[0]).renew(records)
    for record in records:
        record.check_limits()


def is_expression(value: object) -> bool:
    """Whether the database, not we, computes the value."""
    return hasattr(value, "resolve_expression")


def _with_new_values(records: models.QuerySet[Any], values: Mapping[str, Any]) -> list[Any]:
    fields = {field.name: field for field in records.model._meta.concrete_fields}
    computed = {
        f"new_{name}": models.ExpressionWrapper(value, output_field=fields[name])
        for name, value in values.items()
        if is_expression(value)
    }
    found = list(records.annotate(**computed))
    for record in found:
        for name, value in values.items():
            setattr(record, name, getattr(record, f"new_{name}", value))
    return found


class MemoryItemQuerySet(RecordQuerySet["MemoryItem"]):
    """Items of users' memories."""

    def for_user(self, user_id: str) -> Self:
        """One user's items."""
        return self.filter(user_id=user_id)

    def in_session(self, session_id: str | None) -> Self:
        """Items of one session; None means those of no session."""
        return self.filter(session_id=session_id)

    def of_type(self, *item_types: str) -> Self:
        """Items of any of these types."""
        return self.filter(item_type__in=item_types)

    def nearest(self, vector: Sequence[float], count: int, distance: type[VectorDistance] = CosineDistance) -> Self:
        """The `count` items whose embeddings are nearest to `vector`, nearest first, each with its `distance`.

        Items without an embedding, or with one of another dimension, are left out.
        """
        measured = self.annotate(distance=distance("embedding", vector))
        return measured.filter(distance__isnull=False).order_by("distance")[:count]

    def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        item_type: str | None = None,
        limit: int = 10,
        explain: bool = False,
    ) -> list[MemoryItem]:
        """The items that answer `query` best, best first, each with its `score`, by words and by meaning.

        They are one user's, named by `user_id` or by the queryset's filters, which hold for all that is found; its
        order does not matter. With `explain` each has its `score_parts`, a dict whose values add up to the score.
        Raises `ValueError` where there is no one user, for a limit outside 1..100 and a question over 10,000
        characters; `TypeError` for a slice, `values()` or groups, for a limit that is no whole number and a question
        that is no text; `EmbedderError` where the question's vector cannot be had.
        """
        if self._is_not_plain() or self.query.group_by is not None:
            raise TypeError("Search a queryset before it is sliced, combined, grouped, or made distinct or of values.")
        wanted = {"user_id": user_id, "session_id": session_id, "item_type": item_type}
        items = self.filter(**{name: value for name, value in wanted.items() if value is not None}).defer(None)
        return recall.search(items.order_by(), query, limit, explain)

    async def asearch(self, query: str, **options: Any) -> list[MemoryItem]:
        """As `search`."""
        return await sync_to_async(self.search)(query, **options)

    def without_search_data(self) -> Self:
        """The items without what search alone has of them (terms, vector, their versions): more than most texts take.

        For reading: to save such an item is to update it, and fails where it is gone.
        """
        return self.defer(*self.model.UNREAD_FIELDS)

    def duplicates_of(self, item: MemoryItem) -> Self:
        """The same user's live items of the same type with the same text; none where the item has no text."""
        if item.text_content is None:
            return self.none()
        return self.live().filter(
            user_id=item.user_id, content_hash=content_hash(item.text_content), item_type=item.item_type
        )

    @history.patient
    def update(self, **values: Any) -> int:
        """As `RecordQuerySet.update`; items that move to another session or time are told to their sessions."""
        if self._checked or {"user_id", "session_id", "timestamp"}.isdisjoint(values):
            return super().update(**values)
        return self._update_records(values)

    update.alters_data = True  # type: ignore[attr-defined]


class AgentDataQuerySet(RecordQuerySet["AgentData"]):
    """What agents produced."""

    def for_agent(self, agent_id: str) -> Self:
        """One agent's data."""
        return self.filter(agent_id=agent_id)

    def of_type(self, *data_types: str) -> Self:
        """Data of any of these types."""
        return self.filter(data_type__in=data_types)


@dataclass(frozen=True)
class Activity:
    """When a session was first and last heard of."""

    user_id: str
    session_id: str
    first: datetime
    last: datetime


def activities(items: Iterable[MemoryItem]) -> list[Activity]:
    """One `Activity` for each session that the items belong to."""
    found: dict[tuple[str, str], Activity] = {}
    for item in items:
        if item.session_id is None:
            continue
        key = (item.user_id, item.session_id)
        known = found.get(key, Activity(*key, first=item.timestamp, last=item.timestamp))
        found[key] = Activity(*key, first=min(known.first, item.timestamp), last=max(known.last, item.timestamp))
    return list(found.values())


class UserSessionQuerySet(models.QuerySet["UserSession"]):
    """Sessions. They do not expire; their items do."""

    def for_user(self, user_id: str) -> Self:
        """One user's sessions."""
        return self.filter(user_id=user_id)

    def newest_first(self) -> Self:
        """By last activity, latest first; the id settles ties."""
        return self.order_by("-last_activity", "-id")

    def recent(self, count: int) -> Self:
        """The `count` sessions that were active last."""
        return self.newest_first()[:count]

    @history.patient
    def touch(self, items: Iterable[MemoryItem]) -> None:
        """Make the rows of the items' sessions where they are missing, and widen their times to the items'.

        Safe beside other writers: a row is inserted unless there, and a time only ever moves outwards.
        """
        seen = {self.model.make_id(found.user_id, found.session_id): found for found in activities(items)}
        if not seen:
            return
        with history.writing(self.db) as changes:
            conversations = {pk: Conversation(found.user_id, found.session_id) for pk, found in seen.items()}
            changes.expect(conversations.values())
            known = [changes.session(conversation) for conversation in conversations.values()]
            widened = {row.pk: row for row in known if row is not None and self._widen(row, seen[row.pk])}
            unknown = [found for pk, found in seen.items() if pk not in widened]
            for row in self._make_missing(unknown):
                if self._widen(row, seen[row.pk]):
                    widened[row.pk] = row
            for row in widened.values():
                changes.session_saved(row)
            changes.sessions_changed(conversations[pk] for pk in seen.keys() - widened.keys())

    def _make_missing(self, wanted: Sequence[Activity]) -> list[UserSession]:
        """The sessions' rows, made where there are none."""
        rows = [
            self.model(
                user_id=found.user_id, session_id=found.session_id, started_at=found.first, last_activity=found.last
            )
            for found in wanted
        ]
        for row in rows:
            row.check_limits()
        if rows:
            super().bulk_create(rows, ignore_conflicts=True)
        return list(self.filter(pk__in=[row.pk for row in rows])) if rows else []

    def _widen(self, row: UserSession, found: Activity) -> bool:
        """Move the row's times outwards, in the database and here; False where somebody else has moved them."""
        wider: dict[str, Any] = {}
        unmoved: dict[str, Any] = {}
        if found.last > row.last_activity:
            wider["last_activity"] = unmoved["last_activity__lt"] = found.last
        if found.first < row.started_at:
            wider["started_at"] = unmoved["started_at__gt"] = found.first
        if not wider:
            return True
        for name, value in wider.items():
            setattr(row, name, value)
        mine = self.filter(pk=row.pk)
        if super(UserSessionQuerySet, mine.filter(**unmoved)).update(**wider):
            return True
        if len(wider) == 2:  # one of them may still have to be moved
            super(UserSessionQuerySet, mine.filter(last_activity__lt=found.last)).update(last_activity=found.last)
            super(UserSessionQuerySet, mine.filter(started_at__gt=found.first)).update(started_at=found.first)
        return False

    @history.patient
    def bulk_create(self, objs: Iterable[UserSession], *args: Any, **kwargs: Any) -> list[UserSession]:
        """Django's `bulk_create`, within the limits."""
        sessions = list(objs)
        for session in sessions:
            session.check_limits()
        with history.writing(self.db) as changes:
            changes.expect(session.conversation for session in sessions)
            created = super().bulk_create(sessions, *args, **kwargs)
            changes.sessions_changed(session.conversation for session in sessions)
        return created

    @history.patient
    def update(self, **values: Any) -> int:
        """Django's `update`."""
        if history.cache_of(self.db) is None or self.query.is_sliced:
            return super().update(**values)
        changed = 0
        with history.writing(self.db) as changes:
            for found in places_of(self.order_by()):
                conversations = [conversation for _, conversation in found]
                changes.expect(conversations)
                some = self.order_by().filter(pk__in=[pk for pk, _ in found])
                changed += super(UserSessionQuerySet, some).update(**values)
                changes.sessions_changed(conversations)
        return changed

    update.alters_data = True  # type: ignore[attr-defined]

    @history.patient
    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the sessions with their conversations: every item in them, expired ones too."""
        from .models import MemoryItem

        items = MemoryItem.all_objects.using(self.db)
        counts: Counter[str] = Counter()
        with history.writing(self.db) as changes:
            conversations = [Conversation(*both) for both in self.values_list("user_id", "session_id")]
            changes.expect(conversations)
            for conversation in conversations:
                some = items.for_user(conversation.user_id).in_session(conversation.session_id)
                counts.update(some.delete()[1])
            counts.update(super().delete()[1])
            changes.sessions_changed(conversations)
        return counts.total(), dict(counts)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


def places_of(rows: models.QuerySet[Any], lock: bool = True) -> list[list[history.Place]]:
    """The rows' keys and conversations, in batches; at least one batch. Where the database can, they are locked.

    A write is then restricted to them: what comes to match meanwhile is not written without the cache being told.
    """
    plain = not (rows.query.group_by or rows.query.distinct)
    if lock and plain and connections[rows.db].features.has_select_for_update:
        rows = rows.select_for_update()
    found = [
        (pk, None if session_id is None else Conversation(user_id, session_id))
        for pk, user_id, session_id in rows.values_list("pk", "user_id", "session_id")
    ]
    return list(batched(found, ROWS_AT_ONCE)) or [[]]


def transactions_of(records: Sequence[RecordT], using: str) -> Iterator[list[RecordT]]:
    """The records in lists that a transaction can hold each; one list where it has no limit, or is the caller's."""
    connection = connections[using]
    most = getattr(connection.features, "max_transaction_bytes", None)
    if most is None or connection.in_atomic_block or not connection.get_autocommit():
        yield list(records)
        return
    some: list[RecordT] = []
    size = 0
    for record in records:
        values = {field.name: field.value_from_object(record) for field in record._meta.concrete_fields}
        # A call spells a document in up to twice the bytes that are counted for it: numbers of a vector, names.
        bytes_ = 2 * limits.document_size(record._meta.db_table, str(record.pk), values)
        if some and size + bytes_ > most:
            yield some
            some, size = [], 0
        some.append(record)
        size += bytes_
    yield some


def batched(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """`rows` in lists of at most `size`."""
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch


class LiveManager(models.Manager[Any]):
    """Base of `objects`: starts from what has not expired."""

    def get_queryset(self) -> Any:
        return super().get_queryset().live()  # type: ignore[attr-defined]
