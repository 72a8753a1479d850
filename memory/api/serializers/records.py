"""Memory items, agent data and sessions: the bodies of POST, PATCH and PUT, and of responses."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import empty
from rest_framework.settings import api_settings

from ...models import AgentData, MemoryItem, UserSession
from .. import fields
from ..errors import MAX_PROBLEMS
from ..parsers import RECORD_VALUES, has_more_values
from .base import RecordSerializer

VALIDITY = ("supersedes", "superseded_by", "valid_from", "valid_to", "source", "derived_from", "importance")
"""Fields of items that a PUT may omit, since earlier versions did not have them."""


class BoundedListSerializer(serializers.ListSerializer[Any]):
    """Rows of a bulk request: each has at most the values of one record; validation ends when enough is wrong."""

    def to_internal_value(self, data: Any) -> Any:
        """Validate; the rows after the first `MAX_PROBLEMS` errors are not looked at, since no more are reported."""
        self._problems = 0
        return super().to_internal_value(data)

    def run_child_validation(self, data: Any) -> Any:
        """As the base, with both limits."""
        if self._problems >= MAX_PROBLEMS:
            return {}
        try:
            if has_more_values(data, RECORD_VALUES):
                message = f"The item has more than {RECORD_VALUES} values."
                raise ValidationError(
                    {api_settings.NON_FIELD_ERRORS_KEY: [ErrorDetail(message, code="too_many_values")]}
                )
            return super().run_child_validation(data)
        except ValidationError as error:
            self._problems += len(error.detail)
            raise


class MemoryItemSerializer(RecordSerializer):
    """A message, fact or event in a user's memory."""

    supersedes = fields.IdsField(required=False, help_text="Ids of your items that this one corrects or replaces.")
    derived_from = fields.IdsField(required=False, help_text="Ids of items that this one was made of.")
    importance = fields.StrictNumberField(
        required=False, allow_null=True, min_value=0, max_value=1, help_text="For searches that weigh it."
    )

    id = fields.IdField(required=False, help_text="Generated if omitted. It cannot be changed.")
    user_id = fields.OwnerField(required=False, max_length=255, help_text="The owner; default: yourself.")
    session_id = fields.TextField(required=False, allow_null=True, max_length=255)
    persona_active = fields.TextField(required=False, allow_null=True, max_length=255)

    def _is_unknown(self, name: str) -> bool:
        """What a GET returned is valid for a PUT: `superseded_by`, which the items set, is ignored."""
        return name != "superseded_by" and super()._is_unknown(name)

    class Meta:
        model = MemoryItem
        list_serializer_class = BoundedListSerializer
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
            *VALIDITY,
        )


class AgentDataSerializer(RecordSerializer):
    """Raw data produced by an agent."""

    OWNER = "agent_id"

    id = fields.IdField(required=False, help_text="Generated if omitted. It cannot be changed.")
    agent_id = fields.OwnerField(required=False, max_length=255, help_text="The owner; default: yourself.")

    class Meta:
        model = AgentData
        fields = ("id", "agent_id", "timestamp", "data_type", "content", "metadata", "expiration")


class UserSessionSerializer(RecordSerializer):
    """A conversation of one user. Its `id` is derived from `user_id` and `session_id`."""

    id = fields.IdField(required=False, help_text="Derived from `user_id` and `session_id`.")
    user_id = fields.OwnerField(required=False, max_length=255, help_text="The owner; default: yourself.")

    class Meta:
        model = UserSession
        fields = ("id", "user_id", "session_id", "started_at", "last_activity", "metadata")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Reject an id other than the derived one, and changes of user or session."""
        sent = attrs.pop("id", None)
        if self.instance is None and sent not in (None, UserSession.make_id(attrs["user_id"], attrs["session_id"])):
            raise ValidationError(
                {"id": [ErrorDetail("The id is derived from user_id and session_id.", code="immutable")]}
            )
        kept = {name: getattr(self.instance, name) for name in ("user_id", "session_id") if self.instance is not None}
        changed = [name for name, value in kept.items() if attrs.get(name, value) != value]
        if changed:
            raise ValidationError(
                {name: [ErrorDetail("This cannot be changed.", code="immutable")] for name in changed}
            )
        return attrs


class Replacement(RecordSerializer):
    """The body of a PUT: all fields except for the id are required."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """All fields except for the id are required and have no default."""
        found = super().get_fields()
        for name, field in found.items():
            field.required, field.default = name != "id" and name not in VALIDITY, empty
        return found


class MemoryItemReplacement(Replacement, MemoryItemSerializer):
    """A complete memory item."""


class AgentDataReplacement(Replacement, AgentDataSerializer):
    """Complete agent data."""


class UserSessionReplacement(Replacement, UserSessionSerializer):
    """A complete session."""
