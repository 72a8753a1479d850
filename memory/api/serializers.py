"""Records as JSON. What is written is the model's own fields; what is not named here is refused, not ignored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import empty

from ..conf import memory_settings
from ..fields import AnyJSONField, VectorField
from ..fields import MapField as MapModelField
from ..models import AgentData, MemoryItem, UserSession
from . import fields
from .errors import shown
from .permissions import principal

UNKNOWN = "There is no such field, or it cannot be written."


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know."""

    def to_internal_value(self, data: Any) -> Any:
        """The validated values; every wrong field is told, unknown ones too."""
        unknown = (
            {shown(name): [ErrorDetail(UNKNOWN, code="unknown")] for name in data if self._is_unknown(name)}
            if isinstance(data, Mapping)
            else {}
        )
        try:
            values = super().to_internal_value(data)
        except ValidationError as error:
            if unknown and isinstance(error.detail, dict):
                raise ValidationError({**error.detail, **unknown}) from error
            raise
        if unknown:
            raise ValidationError(unknown)
        return values

    def _is_unknown(self, name: str) -> bool:
        return name not in self.fields or self.fields[name].read_only


class OwnedSerializer(StrictSerializer):
    """Gives what is new to its maker, unless it says otherwise. `OWNER` is the field that tells whose it is."""

    OWNER: ClassVar[str] = "user_id"

    def to_internal_value(self, data: Any) -> Any:
        """As `StrictSerializer`, with an owner."""
        if self.instance is None and isinstance(data, Mapping) and self.OWNER not in data:
            data = {**data, self.OWNER: principal(self.context["request"])}
        return super().to_internal_value(data)


class RecordSerializer(OwnedSerializer, serializers.ModelSerializer[Any]):
    """What the three kinds of records share."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: fields.TextField,
        models.TextField: fields.TextField,
        models.DateTimeField: fields.TimestampField,
        AnyJSONField: fields.JSONField,
        MapModelField: fields.MapField,
        VectorField: fields.VectorField,
    }

    def validate_id(self, value: str) -> str:
        """A record keeps its id."""
        if self.instance is not None and value != self.instance.pk:
            raise ValidationError("A record keeps its id.", code="immutable")
        return value

    def create(self, validated_data: dict[str, Any]) -> Any:
        """Insert a new record."""
        model: Any = self.Meta.model
        record = model(**validated_data)
        record.save(force_insert=True)
        return record

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        """Write the fields that were sent, and no others."""
        changes = {name: value for name, value in validated_data.items() if name != "id"}
        for name, value in changes.items():
            setattr(instance, name, value)
        if changes:
            instance.save(update_fields=list(changes))
        return instance


class MemoryItemSerializer(RecordSerializer):
    """One thing that was said, done or learnt, in a user's memory."""

    id = fields.IdField(required=False, help_text="Yours to choose, or else made. It cannot be changed.")
    user_id = fields.OwnerField(required=False, max_length=255, help_text="Whose it is; you, where left out.")
    session_id = fields.TextField(required=False, allow_null=True, max_length=255)
    persona_active = fields.TextField(required=False, allow_null=True, max_length=255)

    class Meta:
        model = MemoryItem
        fields: tuple[str, ...] = (
            "id",
            "user_id",
            "session_id",
            "timestamp",
            "item_type",
            "persona_active",
            "text_content",
            "embedding",
            "metadata",
            "expiration",
        )


class AgentDataSerializer(RecordSerializer):
    """Raw data that an agent produced."""

    OWNER = "agent_id"

    id = fields.IdField(required=False, help_text="Yours to choose, or else made. It cannot be changed.")
    agent_id = fields.OwnerField(required=False, max_length=255, help_text="Whose it is; you, where left out.")

    class Meta:
        model = AgentData
        fields = ("id", "agent_id", "timestamp", "data_type", "content", "metadata", "expiration")


class UserSessionSerializer(RecordSerializer):
    """A conversation of one user. Its `id` follows from `user_id` and `session_id`."""

    id = fields.IdField(required=False, help_text="Follows from `user_id` and `session_id`.")
    user_id = fields.OwnerField(required=False, max_length=255, help_text="Whose it is; you, where left out.")

    class Meta:
        model = UserSession
        fields = ("id", "user_id", "session_id", "started_at", "last_activity", "metadata")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse another id than the one that follows, and another user or session later on."""
        sent = attrs.pop("id", None)
        if self.instance is None and sent not in (None, UserSession.make_id(attrs["user_id"], attrs["session_id"])):
            raise ValidationError({"id": [ErrorDetail("The id follows from user and session.", code="immutable")]})
        kept = {name: getattr(self.instance, name) for name in ("user_id", "session_id") if self.instance is not None}
        changed = [name for name, value in kept.items() if attrs.get(name, value) != value]
        if changed:
            raise ValidationError({name: [ErrorDetail("A session keeps this.", code="immutable")] for name in changed})
        return attrs


class Replacement(RecordSerializer):
    """A PUT's body: everything but the id has to be there."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """The fields, all required."""
        found = super().get_fields()
        for name, field in found.items():
            field.required, field.default = name != "id", empty
        return found


class MemoryItemReplacement(Replacement, MemoryItemSerializer):
    """A memory item, whole."""


class AgentDataReplacement(Replacement, AgentDataSerializer):
    """Agent data, whole."""


class UserSessionReplacement(Replacement, UserSessionSerializer):
    """A session, whole."""


class MemoryItemBulkSerializer(StrictSerializer):
    """Up to `MEMORY["BULK_LIMIT"]` items; one that is wrong, and none is written."""

    items = MemoryItemSerializer(many=True, allow_empty=False)

    def to_internal_value(self, data: Any) -> Any:
        """As `StrictSerializer`; too many items are refused before they are looked at."""
        rows = data.get("items") if isinstance(data, Mapping) else None
        if isinstance(rows, list) and len(rows) > memory_settings.bulk_limit:
            message = f"At most {memory_settings.bulk_limit} items at once; these are {len(rows)}."
            raise ValidationError({"items": [ErrorDetail(message, code="too_many")]})
        return super().to_internal_value(data)

    def validate_items(self, rows: list[dict[str, Any]]) -> list[MemoryItem]:
        """The items, unsaved; every row that cannot be written is told."""
        records = [MemoryItem(**row) for row in rows]
        chosen = [record.pk for record, row in zip(records, rows, strict=True) if "id" in row]
        taken = set(MemoryItem.all_objects.filter(pk__in=chosen).values_list("pk", flat=True)) if chosen else set()
        seen: Counter[str] = Counter()
        errors = []
        for record in records:
            seen[record.pk] += 1
            errors.append(row_errors(record, record.pk in taken, seen[record.pk] > 1))
        if any(errors):
            raise ValidationError(errors)
        return records

    def create(self, validated_data: dict[str, Any]) -> list[MemoryItem]:
        """Insert them all."""
        created: list[MemoryItem] = MemoryItem.objects.bulk_create(validated_data["items"])
        return created


def row_errors(record: MemoryItem, taken: bool, repeated: bool) -> dict[str, list[ErrorDetail]]:
    """What stands against writing one row of a bulk request."""
    if taken:
        return {"id": [fields.TAKEN]}
    if repeated:
        return {"id": [ErrorDetail("An item above has the same id.", code="repeated")]}
    try:
        record.check_limits()
    except DjangoValidationError as error:
        return serializers.as_serializer_error(error)
    return {}


class CreatedSerializer(serializers.Serializer[Any]):
    """What a bulk request made."""

    created = serializers.IntegerField(min_value=1, help_text="How many.")
    ids = serializers.ListField(child=serializers.CharField(), help_text="Their ids, in the order of the request.")


class DuplicateQuerySerializer(OwnedSerializer):
    """An item that may be there already."""

    user_id = fields.OwnerField(required=False, max_length=255, help_text="Whose memory; yours, where left out.")
    item_type = fields.TextField(max_length=255)
    text_content = fields.TextField(allow_blank=True)


class FoundItemSerializer(MemoryItemSerializer):
    """A memory item that a search found; without its vector, which is not read."""

    score = serializers.FloatField(read_only=True, help_text="How well it answers; of use beside others of one search.")
    parts = serializers.DictField(
        source="score_parts",
        child=serializers.FloatField(),
        read_only=True,
        allow_null=True,
        default=None,
        help_text="What the score is the sum of, by name: docs/search.md. Null unless `explain` is true.",
    )

    class Meta(MemoryItemSerializer.Meta):
        fields = (*(name for name in MemoryItemSerializer.Meta.fields if name != "embedding"), "score", "parts")


class FoundSerializer(serializers.Serializer[Any]):
    """What a search found, best first."""

    results = FoundItemSerializer(many=True)


class DuplicateSerializer(serializers.Serializer[Any]):
    """Whether the same user has a live item of the same type with the same text."""

    duplicate = serializers.BooleanField()
    id = serializers.CharField(allow_null=True, help_text="The oldest such item, or null.")


class ProblemSerializer(serializers.Serializer[Any]):
    """One thing that is wrong."""

    code = serializers.CharField(help_text="For programs; does not change.")
    message = serializers.CharField(help_text="For people.")


class ErrorDetailSerializer(ProblemSerializer):
    """What went wrong, and where."""

    fields = serializers.DictField(  # type: ignore[assignment]
        child=ProblemSerializer(many=True),
        help_text=(
            "By field: `items.3.item_type` inside a list, `body` for the body as a whole. "
            "Empty where no field is to blame."
        ),
    )


class ErrorSerializer(serializers.Serializer[Any]):
    """Every answer that is not a success."""

    error = ErrorDetailSerializer()
