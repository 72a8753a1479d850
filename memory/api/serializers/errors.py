"""The body of error responses."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ProblemSerializer(serializers.Serializer[Any]):
    """One error."""

    code = serializers.CharField(help_text="A stable code for programs.")
    message = serializers.CharField(help_text="A readable message.")


class ErrorDetailSerializer(ProblemSerializer):
    """The error, with its fields."""

    fields = serializers.DictField(  # type: ignore[assignment]
        child=ProblemSerializer(many=True),
        help_text=(
            "Errors by field: `items.3.item_type` inside a list, `body` for the whole body. "
            "Empty if the error concerns no field."
        ),
    )
    request_id = serializers.CharField(help_text="The id of the request, which the service's log has, too.")


class ErrorSerializer(serializers.Serializer[Any]):
    """The body of all error responses."""

    error = ErrorDetailSerializer()
