"""The app configuration of the service."""

import sys
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.backends.signals import connection_created


class OrchestraConfig(AppConfig):
    """The project's app."""

    name = "orchestra"

    def ready(self) -> None:
        """In development, warn about queries that Firestore cannot run natively.

        The commands of `memory` run only its own queries, and the warnings' planner takes 30 MB.
        """
        if settings.DEBUG and not any(argument.startswith("memory_") for argument in sys.argv[1:2]):
            connection_created.connect(watch_memory, dispatch_uid="orchestra.warnings")


def watch_memory(connection: Any, **kwargs: Any) -> None:
    """Receiver of `connection_created`: warn about the models' queries, once per line of code."""
    from memory.backends.firestore import warnings

    warnings.watch(connection, {"memory"})
