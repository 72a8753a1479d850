"""The app configuration of the service."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.backends.signals import connection_created


class OrchestraConfig(AppConfig):
    """The project's app."""

    name = "orchestra"

    def ready(self) -> None:
        """In development, warn about queries that Firestore cannot run natively."""
        if settings.DEBUG:
            connection_created.connect(watch_memory, dispatch_uid="orchestra.advice")


def watch_memory(connection: Any, **kwargs: Any) -> None:
    """Receiver of `connection_created`: warn about the models' queries, once per line of code."""
    from memory.backends.firestore import warnings

    warnings.watch(connection, {"memory"})
