"""What the serializers of records share. Unknown fields are errors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, TypeAlias

from django.db import models
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import SkipField
from rest_framework.settings import api_settings

from ...fields import AnyJSONField, VectorField
from ...fields import MapField as MapModelField
from .. import fields
from ..errors import MAX_PROBLEMS, printable
from ..permissions import principal

AnyField: TypeAlias = serializers.Field[Any, Any, Any, Any]

JSON_TYPES: dict[type, str] = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that rejects unknown fields."""

    def to_internal_value(self, data: Any) -> Any:
        """Validate; unknown fields are reported with all other errors."""
        if not isinstance(data, Mapping):
            raise ValidationError({api_settings.NON_FIELD_ERRORS_KEY: [self._not_an_object(data)]})
        found = list(itertools.islice(filter(self._is_unknown, data), MAX_PROBLEMS))
        problem = self._unknown() if found else None
        unknown = {printable(name): [problem] for name in found}
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

    def _unknown(self) -> ErrorDetail:
        names = ", ".join(name for name, field in self.fields.items() if not field.read_only)
        return ErrorDetail(f"This field does not exist. There are: {names}.", code="unknown")

    def _not_an_object(self, data: Any) -> ErrorDetail:
        required = ", ".join(name for name, field in self.fields.items() if field.required)
        wanted = f"an object with {required}" if required else "an object"
        return ErrorDetail(f"Expected {wanted}, but got {JSON_TYPES.get(type(data), 'another value')}.", code="invalid")


class OwnedSerializer(StrictSerializer):
    """Sets the field `OWNER` of new records to the principal by default."""

    OWNER: ClassVar[str] = "user_id"

    def to_internal_value(self, data: Any) -> Any:
        """Like `StrictSerializer`, with the default owner."""
        if self.instance is None and isinstance(data, Mapping) and self.OWNER not in data:
            data = {**data, self.OWNER: principal(self.context["request"])}
        return super().to_internal_value(data)


class RecordSerializer(OwnedSerializer, serializers.ModelSerializer[Any]):
    """The base of the three record serializers."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: fields.TextField,
        models.TextField: fields.TextField,
        models.DateTimeField: fields.TimestampField,
        AnyJSONField: fields.JSONField,
        MapModelField: fields.MapField,
        VectorField: fields.VectorField,
    }

    def get_fields(self) -> dict[str, AnyField]:
        """Copies of the class' fields, to be bound to this serializer.

        To make them from the model, or to copy them as REST framework does, which makes each again from its arguments,
        takes longer than to validate a request.
        """
        return {name: unbound_copy(field) for name, field in _fields_of(type(self)).items()}

    def get_validators(self) -> list[Any]:
        """None: no model has a constraint over several fields. The base looks for them in each request."""
        return []

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """As the base, which makes several calls for each value."""
        if not isinstance(instance, models.Model):
            return super().to_representation(instance)
        loaded = vars(instance)
        made = {}
        for name, attribute, is_text, field in _outputs_of(type(self)):
            try:
                value = loaded[attribute] if attribute in loaded else field.get_attribute(instance)
            except SkipField:
                continue
            is_ready = value is None or (is_text and value.__class__ is str)
            made[name] = value if is_ready else field.to_representation(value)
        return made

    def validate_id(self, value: str) -> str:
        """Reject a change of the id."""
        if self.instance is not None and value != self.instance.pk:
            raise ValidationError("The id cannot be changed.", code="immutable")
        return value

    def create(self, validated_data: dict[str, Any]) -> Any:
        """Insert a new record."""
        model: Any = self.Meta.model
        record = model(**validated_data)
        record.save(force_insert=True)
        return record

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        """Write only the fields of the request."""
        changes = {name: value for name, value in validated_data.items() if name != "id"}
        for name, value in changes.items():
            setattr(instance, name, value)
        if prepared := self.context.get("prepared"):
            instance.take_derived_fields(prepared)
        if changes:
            instance.save(update_fields=list(changes))
        return instance

    def prepared(self) -> Any:
        """The changed instance, not saved, with its derived fields; for `context["prepared"]` of another serializer."""
        for name, value in self.validated_data.items():
            setattr(self.instance, name, value)
        record: Any = self.instance
        record.check_limits(record.with_derived_fields(self.validated_data))
        record.before_transaction([record], record._state.db)
        return record


def unbound_copy(field: AnyField) -> AnyField:
    """A copy of a field that is in no serializer, with the same validators and messages, which nobody changes."""
    made: AnyField = object.__new__(type(field))
    vars(made).update(vars(field))
    if child := vars(field).get("child"):
        vars(made)["child"] = unbound_copy(child)
        vars(made)["child"].parent = made
    return made


@cache
def _fields_of(serializer: type[RecordSerializer]) -> dict[str, AnyField]:
    return serializers.ModelSerializer.get_fields(serializer())


@cache
def _outputs_of(serializer: type[RecordSerializer]) -> list[tuple[str, str, bool, Any]]:
    """For each field its name, the attribute, whether its texts are returned as they are, and the field.

    Their output depends on no request, so a response needs no fields of its own.
    """
    return [
        (str(field.field_name), str(field.source), isinstance(field, fields.TextField), field)
        for field in serializer()._readable_fields
    ]
