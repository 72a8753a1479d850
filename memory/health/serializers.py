"""Response serializers for the OpenAPI schema."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from ..version import __version__
from .checks import TIMEOUT
from .report import DEGRADED, OK, UNAVAILABLE


class ComponentsSerializer(serializers.Serializer[Any]):
    """Whether each component is healthy."""

    app = serializers.BooleanField(help_text="The process and the database of its users respond.")
    storage_firestore = serializers.BooleanField(help_text="The database of the memory responds.")
    storage_redis = serializers.BooleanField(help_text="The cache returns what was written to it.")


class DetailSerializer(serializers.Serializer[Any]):
    """Details of one component."""

    engine = serializers.CharField(help_text="The backend, such as `embedded SQLite`.")
    failure = serializers.CharField(required=False, help_text="The failure class, such as `timeout`.")
    latency_ms = serializers.FloatField(required=False, help_text="Response time in milliseconds; only for staff.")


class LiveSerializer(serializers.Serializer[Any]):
    """The liveness of the process."""

    status = serializers.CharField(help_text="`ok`")


class ReadySerializer(serializers.Serializer[Any]):
    """The readiness for requests."""

    status = serializers.CharField(help_text="`ok` or `unavailable`")
    details = serializers.DictField(child=DetailSerializer(), help_text="Failures by component.")


class HealthSerializer(serializers.Serializer[Any]):
    """The health of the service and its components."""

    status = serializers.CharField(help_text="`ok`, `degraded` (slower) or `unavailable`")
    environment = serializers.CharField(help_text="`APP_ENV`")
    version = serializers.CharField(help_text="The version of the app.")
    components = ComponentsSerializer()
    details = serializers.DictField(
        child=DetailSerializer(),
        help_text="By component: the engine if it differs from the name, and the failure class.",
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
        ("Healthy", OK, True, True, {}, "200"),
        (
            "Cache unavailable",
            DEGRADED,
            True,
            False,
            {"storage_redis": {"engine": "Redis", "failure": TIMEOUT}},
            "200",
        ),
        (
            "Database unavailable",
            UNAVAILABLE,
            False,
            True,
            {"storage_firestore": {"engine": "Firestore", "failure": TIMEOUT}},
            "503",
        ),
    )
]
