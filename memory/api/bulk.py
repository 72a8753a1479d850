"""Many records in one request: created, replaced, read and deleted, with a result for each.

Writes are one transaction: all records or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from http import HTTPMethod
from typing import Any, ClassVar

from django.db import IntegrityError
from django.utils import timezone
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from memory.backends.firestore.values.sizes import size_of

from ..contention import retried_on_contention
from ..models import Record
from . import pagination
from .errors import Conflict, naming
from .etags import etag_of
from .fields import ID_TAKEN
from .idempotency import Claim, once
from .permissions import may_act_for
from .serializers import IdsSerializer

FEWEST_AT_ONCE, MOST_AT_ONCE = 50, 300
"""Records that are read at once: the fewest while their size is not known, since each may have 1 MiB."""

FOUND, NOT_FOUND, OMITTED, DELETED, CREATED, UPDATED = (
    "found", "not_found", "omitted", "deleted", "created", "updated",
)  # fmt: skip


class BulkMixin:
    """The bulk actions of a viewset of records."""

    model: ClassVar[type[Record]]
    owner: ClassVar[str]
    alias: str
    request: Any
    serializer_class: type[serializers.BaseSerializer[Any]]
    bulk_class: ClassVar[type[serializers.BaseSerializer[Any]]]
    upsert_class: ClassVar[type[serializers.BaseSerializer[Any]]]
    # Fields that `continue_record` needs.
    links: ClassVar[tuple[str, ...]] = ()
    # Of the viewset.
    get_queryset: Any
    get_serializer_context: Any
    in_transaction: Any

    def validated(self, serializer_class: type[serializers.BaseSerializer[Any]]) -> Any:
        """The validated body."""
        serializer = serializer_class(data=self.request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    @action(detail=False, methods=[HTTPMethod.POST], pagination_class=None)
    def bulk(self, request: Request) -> Response:
        """Create many records, all or none, and once for each idempotency key."""
        return once(request, self.alias, self.create_all)

    def create_all(self, claim: Claim | None) -> Response:
        """Create the records of a bulk request."""
        records: list[Any] = self.validated(self.bulk_class)["items"]
        answer = {"created": len(records), "ids": [record.pk for record in records]}

        def write() -> Mapping[str, Any]:
            self.model._default_manager.all().already_checked().bulk_create(records)  # type: ignore[attr-defined]
            return answer

        return self.written(records, write, claim, status.HTTP_201_CREATED)

    @bulk.mapping.put
    def bulk_upsert(self, request: Request) -> Response:
        """Create or replace many records, all or none, and once for each idempotency key."""
        return once(request, self.alias, self.upsert_all)

    def upsert_all(self, claim: Claim | None) -> Response:
        """Create the records whose ids are new, and replace the others."""
        records: list[Any] = self.validated(self.upsert_class)["items"]
        ids = [record.pk for record in records]
        return self.written(records, partial(self.upsert_records, records), claim, status.HTTP_200_OK, ids)

    def upsert_records(self, records: Sequence[Any]) -> Mapping[str, Any]:
        """Write the records; the answer. Raises `ValidationError` for ids of records of others."""
        stored = self.stored([record.pk for record in records])
        taken = [{"id": [ID_TAKEN]} if self.is_taken(record, stored) else {} for record in records]
        if any(taken):
            raise ValidationError({"items": taken})
        # In the order of ids: writers of the same rows in different orders end in a deadlock on PostgreSQL.
        ordered = sorted(records, key=lambda record: str(record.pk))
        everything: Any = self.model._base_manager.all()
        new = [record for record in ordered if record.pk not in stored]
        replaced = [record for record in ordered if record.pk in stored]
        if new:
            everything.already_checked().bulk_create(new)
        for record in replaced:
            self.continue_record(record, stored[record.pk])
        if replaced:
            stamped = {"id", *self.model.stamps()}
            names = [field.name for field in self.model._meta.concrete_fields if field.name not in stamped]
            everything.already_checked().bulk_create(
                replaced, update_conflicts=True, unique_fields=["id"], update_fields=names
            )
        now = timezone.now()
        live = {pk for pk, row in stored.items() if row.expiration is None or row.expiration > now}
        results = [{"id": record.pk, "status": UPDATED if record.pk in live else CREATED} for record in records]
        created = sum(result["status"] == CREATED for result in results)
        return {"created": created, "updated": len(results) - created, "results": results}

    def stored(self, ids: Sequence[str]) -> Mapping[str, Any]:
        """The stored records with these ids, locked; expired ones too."""
        rows: Any = self.model._base_manager.filter(pk__in=ids).order_by("pk").select_for_update()
        return {row.pk: row for row in rows.only("id", self.owner, "expiration", *self.links)}

    def continue_record(self, record: Any, stored: Any) -> None:
        """Take what the stored record has by other records."""

    def is_taken(self, record: Any, stored: Mapping[str, Any]) -> bool:
        """Whether the id is that of a record which the principal must not replace."""
        known = stored.get(record.pk)
        return known is not None and not may_act_for(self.request, getattr(known, self.owner))

    def written(
        self, records: Sequence[Any], write: Any, claim: Claim | None, code: int, ids: Sequence[str] = ()
    ) -> Response:
        """The answer of `write()`, which runs in one transaction with the storing of the answer.

        `ids` are those of the stored records that it changes or deletes.
        """
        if records:
            self.model.before_transaction(records, self.alias)  # slow, and the transaction locks an SQLite database

        def attempt() -> Mapping[str, Any]:
            with self.in_transaction():
                answer: Mapping[str, Any] = write()
                if claim is not None:
                    claim.finish(code, answer)
                return answer

        try:
            with naming(dict.fromkeys([*ids, *(record.pk for record in records)])):
                answer = retried_on_contention(attempt, using=self.alias, records=records, keys=ids)
                return Response(answer, code)
        except IntegrityError as error:
            raise Conflict from error

    @action(detail=False, methods=[HTTPMethod.POST], url_path="bulk/get", pagination_class=None)
    def bulk_get(self, request: Request) -> Response:
        """Read many records by id."""
        ids = self.validated(IdsSerializer)["ids"]
        return Response({"results": list(self.found_records(ids))})

    def found_records(self, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """A result for each id, in order; those beyond `PAGE_BYTES` are omitted."""
        make = self.serializer_class(context=self.get_serializer_context()).to_representation
        left, at_once, position = pagination.PAGE_BYTES, FEWEST_AT_ONCE, 0
        while position < len(ids) and left > 0:
            some = ids[position : position + at_once]
            records = {record.pk: record for record in self.get_queryset().filter(pk__in=some)}
            for pk in some:
                record = records.get(pk)
                left -= size_of(record) if record is not None else 0
                if left <= 0 and position:
                    break
                data = None if record is None else make(record)
                tag = None if data is None else etag_of(data)
                yield {"id": pk, "status": FOUND if record is not None else NOT_FOUND, "etag": tag, "item": data}
                position += 1
            mean = (pagination.PAGE_BYTES - left) // max(1, position)
            at_once = min(MOST_AT_ONCE, max(FEWEST_AT_ONCE, left // max(1, mean)))
        for pk in ids[position:]:
            yield {"id": pk, "status": OMITTED, "etag": None, "item": None}

    @action(detail=False, methods=[HTTPMethod.POST], url_path="bulk/delete", pagination_class=None)
    def bulk_delete(self, request: Request) -> Response:
        """Delete many records by id, and once for each idempotency key."""
        return once(request, self.alias, self.delete_all)

    def delete_all(self, claim: Claim | None) -> Response:
        """Delete those of the records that the principal can read."""
        ids = self.validated(IdsSerializer)["ids"]
        return self.written([], partial(self.delete_records, ids), claim, status.HTTP_200_OK, ids)

    def delete_records(self, ids: Sequence[str]) -> Mapping[str, Any]:
        """Delete them; the answer."""
        found = set(self.get_queryset().filter(pk__in=ids).values_list("pk", flat=True))
        if found:
            self.get_queryset().filter(pk__in=found).delete()
        results = [{"id": pk, "status": DELETED if pk in found else NOT_FOUND} for pk in ids]
        return {"deleted": len(found), "results": results}
