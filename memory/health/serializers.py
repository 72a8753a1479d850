"""The answers of the views, as OpenAPI tells them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from ..version import __version__
from .checks import TIMEOUT
from .report import DEGRADED, OK, UNAVAILABLE


class ComponentsSerializer(serializers.Serializer[Any]):
    """Which parts answer."""

    app = serializers.BooleanField(help_text="The process answers, and so does the database of its users.")
    storage_firestore = serializers.BooleanField(help_text="The database of the memory answers.")
    storage_redis = serializers.BooleanField(help_text="The cache gives back what was written to it.")


class DetailSerializer(serializers.Serializer[Any]):
    """What there is to say about one part."""

    engine = serializers.CharField(help_text="What stands there, such as `embedded SQLite`.")
    failure = serializers.CharField(required=False, help_text="The class of failure, such as `timeout`.")
    latency_ms = serializers.FloatField(required=False, help_text="How long it took to answer; told to staff only.")


class LiveSerializer(serializers.Serializer[Any]):
    """The process answers."""

    status = serializers.CharField(help_text="`ok`")


class ReadySerializer(serializers.Serializer[Any]):
    """Whether requests may be sent here."""

    status = serializers.CharField(help_text="`ok` or `unavailable`")
    details = serializers.DictField(child=DetailSerializer(), help_text="What is wrong, by component.")


class HealthSerializer(serializers.Serializer[Any]):
    """The service and what it stands on."""

    status = serializers.CharField(help_text="`ok`, `degraded` (works, slower) or `unavailable`")
    environment = serializers.CharField(help_text="`APP_ENV`")
    version = serializers.CharField(help_text="The version of the app.")
    components = ComponentsSerializer()
    details = serializers.DictField(
        child=DetailSerializer(),
        help_text="By component: another engine than its name says, or the class of a failure. Empty: nothing to say.",
    )


EXAMPLES = [
    OpenApiExample(
        name,
        value={
            "status": status,
            "environment": "production",
            "version": __version__,
            "components": {"app": True, "storage_firestore": database, "storage_redis": cached},
            "details": details,
        },
        response_only=True,
        status_codes=[code],
    )
    for name, status, database, cached, details, code in (
        ("All is well", OK, True, True, {}, "200"),
        (
            "Works without its cache",
            DEGRADED,
            True,
            False,
            {"storage_redis": {"engine": "Redis", "failure": TIMEOUT}},
            "200",
        ),
        (
            "Cannot work",
            UNAVAILABLE,
            False,
            True,
            {"storage_firestore": {"engine": "Firestore", "failure": TIMEOUT}},
            "503",
        ),
    )
]
