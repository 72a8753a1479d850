"""Many records in one request, and what happened to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from ...conf import memory_settings
from .. import fields
from .base import StrictSerializer
from .records import AgentDataSerializer, MemoryItemSerializer

OMITTED = "The response is full; ask for this record again."


class BulkSerializer(StrictSerializer):
    """Up to `MEMORY["BULK_LIMIT"]` records; one invalid record rejects all."""

    ONLY_NEW: ClassVar[bool] = True

    def to_internal_value(self, data: Any) -> Any:
        """Like `StrictSerializer`; checks the number of records before it validates them."""
        check_number(data, "items")
        return super().to_internal_value(data)

    def validate_items(self, rows: list[dict[str, Any]]) -> list[Any]:
        """Unsaved records; the errors of all rows are reported together."""
        model: Any = self.fields["items"].child.Meta.model  # type: ignore[attr-defined]
        records = [model(**row) for row in rows]
        given_ids = [record.pk for record, row in zip(records, rows, strict=True) if "id" in row]
        taken = (
            set(model.all_objects.filter(pk__in=given_ids).values_list("pk", flat=True))
            if given_ids and self.ONLY_NEW
            else set()
        )
        seen: Counter[str] = Counter()
        errors = []
        for record in records:
            seen[record.pk] += 1
            errors.append(row_errors(record, record.pk in taken, seen[record.pk] > 1))
        if any(errors):
            raise ValidationError(errors)
        return records


def check_number(data: Any, name: str) -> None:
    """Raise `ValidationError` for a body with more than `MEMORY["BULK_LIMIT"]` members in this list."""
    rows = data.get(name) if isinstance(data, Mapping) else None
    if isinstance(rows, list) and len(rows) > memory_settings.bulk_limit:
        message = f"Send at most {memory_settings.bulk_limit} {name}; the request has {len(rows)}."
        raise ValidationError({name: [ErrorDetail(message, code="too_many")]})


class MemoryItemBulkSerializer(BulkSerializer):
    """New items."""

    items = MemoryItemSerializer(many=True, allow_empty=False)


class MemoryItemUpsertSerializer(MemoryItemBulkSerializer):
    """New items, and items that replace stored ones."""

    ONLY_NEW = False


class AgentDataBulkSerializer(BulkSerializer):
    """New agent data."""

    items = AgentDataSerializer(many=True, allow_empty=False)


class AgentDataUpsertSerializer(AgentDataBulkSerializer):
    """New agent data, and agent data that replaces stored ones."""

    ONLY_NEW = False


def row_errors(record: Any, taken: bool, repeated: bool) -> dict[str, list[ErrorDetail]]:
    """The errors of one row of a bulk request."""
    if taken:
        return {"id": [fields.ID_TAKEN]}
    if repeated:
        return {"id": [ErrorDetail("A preceding item has the same id.", code="repeated")]}
    try:
        record.check_limits()
    except DjangoValidationError as error:
        return serializers.as_serializer_error(error)
    return {}


class IdsSerializer(StrictSerializer):
    """Ids of records, each once."""

    ids = serializers.ListField(child=fields.IdField(), allow_empty=False, help_text="Ids of records, each once.")

    def to_internal_value(self, data: Any) -> Any:
        """Like `StrictSerializer`; checks the number of ids before it validates them."""
        check_number(data, "ids")
        return super().to_internal_value(data)

    def validate_ids(self, ids: list[str]) -> list[str]:
        """Reject repeated ids."""
        twice = {pk for pk, count in Counter(ids).items() if count > 1}
        if twice:
            message = ErrorDetail("The ids must differ.", code="repeated")
            raise ValidationError({str(ids.index(pk)): [message] for pk in twice})
        return ids


class CreatedSerializer(serializers.Serializer[Any]):
    """The result of a bulk request."""

    created = serializers.IntegerField(min_value=1, help_text="The number of created items.")
    ids = serializers.ListField(child=serializers.CharField(), help_text="Their ids, in the order of the request.")


class UpsertResultSerializer(serializers.Serializer[Any]):
    """What happened to one record."""

    id = serializers.CharField()
    status = serializers.ChoiceField(choices=["created", "updated"])


class UpsertedSerializer(serializers.Serializer[Any]):
    """The result of creating and replacing many records."""

    created = serializers.IntegerField(min_value=0, help_text="The number of created records.")
    updated = serializers.IntegerField(min_value=0, help_text="The number of replaced records.")
    results = UpsertResultSerializer(many=True, help_text="In the order of the request.")


class DeletionResultSerializer(serializers.Serializer[Any]):
    """What happened to one record."""

    id = serializers.CharField()
    status = serializers.ChoiceField(choices=["deleted", "not_found"])


class DeletedSerializer(serializers.Serializer[Any]):
    """The result of deleting many records."""

    deleted = serializers.IntegerField(min_value=0, help_text="The number of deleted records.")
    results = DeletionResultSerializer(many=True, help_text="In the order of the request.")


class ReadResultSerializer(serializers.Serializer[Any]):
    """One of many records that were read by id.

    Subclasses have the field `status`: drf-spectacular can only name equal choices of several components if their
    labels differ.
    """

    id = serializers.CharField()
    etag = serializers.CharField(allow_null=True, help_text="The record's tag for `If-Match`.")


class MemoryItemReadSerializer(ReadResultSerializer):
    """A memory item, by id."""

    status = serializers.ChoiceField(
        choices=[("found", "The item."), ("not_found", "No item of yours."), ("omitted", OMITTED)]
    )
    item = MemoryItemSerializer(allow_null=True)


class MemoryItemsReadSerializer(serializers.Serializer[Any]):
    """Memory items, by id."""

    results = MemoryItemReadSerializer(many=True, help_text="In the order of the request.")


class AgentDataReadSerializer(ReadResultSerializer):
    """Agent data, by id."""

    status = serializers.ChoiceField(
        choices=[("found", "The data."), ("not_found", "No data of yours."), ("omitted", OMITTED)]
    )
    item = AgentDataSerializer(allow_null=True)


class AgentDataManyReadSerializer(serializers.Serializer[Any]):
    """Many agent data, by id."""

    results = AgentDataReadSerializer(many=True, help_text="In the order of the request.")
