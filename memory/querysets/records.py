"""The base queryset of items and agent data: expiration, and all write paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from django.db import connections, models
from django.utils.functional import cached_property

from memory.backends.firestore.querysets import FirestoreQuerySet

from .. import sealing
from ..batches import ROWS_AT_ONCE, Place, batches, places_of, transactions_of
from ..conf import memory_settings
from ..contention import retry_on_contention, write_lock, write_transaction
from ..retention import policies_of
from ..telemetry import CREATE, DELETE, UPDATE, traced
from ..tombstones import tombstones
from .moments import CurrentTime
from .retained import covered

if TYPE_CHECKING:
    from ..coherence import Changes
    from ..models import Record

    RecordT = TypeVar("RecordT", bound=Record)
else:
    RecordT = TypeVar("RecordT")


class RecordQuerySet(FirestoreQuerySet[RecordT], Generic[RecordT]):
    """Expiration, limits and time, for all records."""

    _checked = False

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone._checked = self._checked
        return clone

    def already_checked(self) -> Self:
        """For writes of records whose `check_limits()` was called since they were changed: it is not called again."""
        unchecked: Self = self._chain()  # type: ignore[attr-defined]
        unchecked._checked = True
        return unchecked

    def live(self) -> Self:
        """Records that have not expired, and that no policy of `MEMORY["RETENTION"]` covers."""
        return self.unexpired().retained()

    def unexpired(self) -> Self:
        """Records that have not expired."""
        # As a negation: for an OR, SQLite would use the index of `expiration` and read every record that never expires.
        return self.exclude(expiration__lte=CurrentTime())

    def retained(self) -> Self:
        """Records that no policy of `MEMORY["RETENTION"]` covers."""
        found = self
        for policy in policies_of(memory_settings.retention, self.model.__name__):
            if policy.is_plain:
                found = found.filter(timestamp__gt=CurrentTime(before=policy.age))
            else:
                found = found.filter_locally(~covered(policy))
        return found

    def expired(self) -> Self:
        """Expired records. Call it on `all_objects`, since `objects` excludes them."""
        return self.filter(expiration__lte=CurrentTime())

    def purge(self) -> int:
        """Delete expired records in batches; return how many. Call it on `all_objects`."""
        expired, deleted = self.expired(), 0
        while keys := list(expired.order_by("expiration").values_list("pk", flat=True)[:ROWS_AT_ONCE]):
            # Filtered again: a record's expiration may have been extended meanwhile.
            deleted += expired.filter(pk__in=keys).delete()[1].get(self.model._meta.label, 0)
        return deleted

    purge.alters_data = True  # type: ignore[attr-defined]

    def between(self, start: datetime | None = None, end: datetime | None = None) -> Self:
        """Records from `start` on, up to but not including `end`; None leaves that side open."""
        bounds = {"timestamp__gte": start, "timestamp__lt": end}
        return self.filter(**{lookup: bound for lookup, bound in bounds.items() if bound is not None})

    def newest_first(self) -> Self:
        """Order by time, newest first; ties by id."""
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
        """Django's `bulk_create`; raises `ValidationError`, and writes nothing, if a record is beyond the limits.

        Outside `atomic()`, records beyond the engine's limit of a transaction are written in several transactions.
        """
        records = list(objs)
        if not self._checked:
            _check_all(records)
        updated = update_fields
        if update_fields:
            updated = [*self.model.with_derived_fields(update_fields), *self.model.stamps()]
        options = (batch_size, ignore_conflicts, update_conflicts, updated, unique_fields)
        return [record for batch in transactions_of(records, self.db) for record in self._bulk_create(batch, *options)]

    @traced(CREATE)
    @retry_on_contention
    def _bulk_create(
        self,
        records: list[RecordT],
        batch_size: int | None,
        ignore_conflicts: bool,
        update_conflicts: bool,
        update_fields: Collection[str] | None,
        unique_fields: Collection[str] | None,
    ) -> list[RecordT]:
        self.model.refuse_erased(records, self.db)
        self.model.before_transaction(records, self.db)
        with self.model.writing(self.db) as changes:
            old = self._places_of(records) if changes.active and update_conflicts else []
            conversations = [*(record.conversation for record in records), *(each for _, each in old)]
            changes.expect(conversations)
            self.model.before_write(records, self.db, changes)
            if update_conflicts:
                self.model.keep(records, self.db, update_fields)
            created = super().bulk_create(
                records, batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields
            )
            if ignore_conflicts or update_conflicts:
                changes.changed(conversations)
            else:
                changes.saved(records)
            self.model.after_write(records, self.db, changes)
            self.model.link(records, self.db, None)
        return created

    @traced(UPDATE)
    @retry_on_contention
    def bulk_update(self, objs: Iterable[RecordT], fields: Iterable[str], batch_size: int | None = None) -> int:
        """Django's `bulk_update`; raises `ValidationError`, and writes nothing, if a record is beyond the limits."""
        records, names = list(objs), self.model.with_derived_fields(fields)
        _check_all(records)
        self.model.refuse_erased(records, self.db)
        unchecked = self.already_checked()
        if self.model.writes_all_of_text(names):
            self.model.before_transaction(records, self.db)
        with self.model.writing(self.db) as changes:
            old = self._places_of(records) if changes.active else []
            conversations = [*(record.conversation for record in records), *(each for _, each in old)]
            changes.expect(conversations)
            if self.model.writes_all_of_text(names):
                self.model.before_write(records, self.db, changes)
            self.model.keep(records, self.db, names)
            with sealing.sealed_values(records, names, self.db):
                changed: int = super(RecordQuerySet, unchecked).bulk_update(records, names, batch_size)
            changes.changed(conversations)
            self.model.after_write(records, self.db, changes)
            self.model.link(records, self.db, names)
        return changed

    @retry_on_contention
    def update(self, **values: Any) -> int:
        """Django's `update`; raises `ValidationError` for values beyond the limits.

        Changes of text, maps or vectors are written record by record, since the size limit is one of whole documents.
        """
        if isinstance(owner := values.get(self.model.OWNER), str):
            tombstones.refuse([owner], self.db)
        if self._checked:
            with write_lock(self.db):
                return super().update(**{**self.model.stamps(), **values})
        if self.model.SIZED_FIELDS.isdisjoint(values) and not self.model.has_versions():
            self._check_values(values)
            return self._update_at_once(values)
        return self._update_records(values)

    update.alters_data = True  # type: ignore[attr-defined]

    @traced(DELETE)
    @retry_on_contention
    def delete(self) -> tuple[int, dict[str, int]]:
        """Django's `delete`."""
        if not (self.model.is_cached(self.db) or self.model.has_versions()) or self._is_not_plain():
            with write_lock(self.db):
                return super().delete()
        with self.model.writing(self.db) as changes:
            return self._delete_places(places_of(self.order_by()), changes)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _delete_places(self, places: Iterable[Sequence[Place]], changes: Changes) -> tuple[int, dict[str, int]]:
        """Delete these records of the queryset."""
        counts: Counter[str] = Counter()
        for old in places:
            changes.expect(conversation for _, conversation in old)
            ids = [pk for pk, _ in old]
            self.model.drop_versions(ids, self.db)
            counts.update(models.QuerySet.delete(self.order_by().filter(pk__in=ids))[1])
            changes.removed(old)
        return counts.total(), dict(counts)

    @traced(UPDATE)
    def _update_at_once(self, values: Mapping[str, Any]) -> int:
        values = {**self.model.stamps(), **values}
        if not self.model.is_cached(self.db) or self._is_not_plain():
            with write_lock(self.db):
                return super().update(**values)
        changed = 0
        with self.model.writing(self.db) as changes:
            for old in places_of(self.order_by()):
                conversations = [conversation for _, conversation in old]
                changes.expect(conversations)
                rows = self.order_by().filter(pk__in=[pk for pk, _ in old])
                changed += super(RecordQuerySet, rows).update(**values)
                changes.changed(conversations)
        return changed

    def _is_not_plain(self) -> bool:
        """Whether Django rejects writes of this queryset; its own error is then clearer."""
        query = self.query
        return bool(query.is_sliced or query.distinct or query.combinator or self._fields is not None)  # type: ignore[attr-defined]

    def _places_of(self, records: Sequence[RecordT]) -> list[Place]:
        everything = self.model._base_manager.using(self.db)
        pks = [record.pk for record in records]
        found = [places_of(everything.filter(pk__in=batch)) for batch in batches(pks, ROWS_AT_ONCE)]
        return [place for batches in found for batch in batches for place in batch]

    def _check_values(self, values: Mapping[str, Any]) -> None:
        names = {field.name for field in self.model._meta.concrete_fields}
        plain = {name: value for name, value in values.items() if name in names and not is_expression(value)}
        self.model(**plain).clean_fields(exclude=names - plain.keys())

    def _update_records(self, values: Mapping[str, Any]) -> int:
        if self.query.is_sliced:
            raise TypeError("Cannot update a query once a slice has been taken.")
        everything = self.model._base_manager.using(self.db)
        twins = self._twins(values)
        with write_transaction(self.db):
            # Ids are read first: a changed value must not make the filter match a record twice.
            ids = list(self.order_by().values_list("pk", flat=True))
            found = [self.order_by().filter(pk__in=batch) for batch in batches(ids, ROWS_AT_ONCE)]
            if len(found) > 1:  # check all batches before the first is written
                for records in found:
                    _check_all(_with_new_values(records, values))
            return sum(
                everything.bulk_update(_with_new_values(records, values, twins), list(values)) for records in found
            )

    def _twins(self, values: Mapping[str, Any]) -> Mapping[Any, Any]:
        """The changed records by key, with derived fields that are slow to compute; only on SQLite, which writes lock.

        Nothing is written; the transaction reads the records again.
        """
        connection = connections[self.db]
        if (
            connection.vendor != "sqlite"
            or connection.in_atomic_block
            or not self.model.writes_all_of_text(self.model.with_derived_fields(values))
        ):
            return {}
        records = _with_new_values(self.order_by(), values)
        _check_all(records)
        self.model.before_transaction(records, self.db)
        return {record.pk: record for record in records}


def _check_all(records: Sequence[Record]) -> None:
    for record in records:
        record.check_limits()


def is_expression(value: object) -> bool:
    """Whether the database computes the value."""
    return hasattr(value, "resolve_expression")


def _with_new_values(
    records: models.QuerySet[Any], values: Mapping[str, Any], twins: Mapping[Any, Any] = MappingProxyType({})
) -> list[Any]:
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
        if record.pk in twins:
            record.take_derived_fields(twins[record.pk])
    return found


class LiveManager(models.Manager[Any]):
    """Base of `objects`: excludes expired records."""

    @cached_property
    def _live(self) -> Any:
        """The queryset of which the others are copies: `unexpired()` takes longer than a copy."""
        return super().get_queryset().unexpired()  # type: ignore[attr-defined]

    def get_queryset(self) -> Any:
        found = self._live._chain()
        found._db, found._hints = self._db, self._hints  # type: ignore[attr-defined]
        return found.retained() if memory_settings.retention else found

    def contribute_to_class(self, cls: type[models.Model], name: str) -> None:
        vars(self).pop("_live", None)  # a copy, for a model that inherits the manager
        super().contribute_to_class(cls, name)
