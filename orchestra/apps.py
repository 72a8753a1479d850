"""What the service does once Django has started."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.backends.signals import connection_created


class OrchestraConfig(AppConfig):
    """The service that runs the app."""

    name = "orchestra"

    def ready(self) -> None:
        """In development, tell which queries production's Firestore would not answer itself."""
        if settings.DEBUG:
            connection_created.connect(watch_memory, dispatch_uid="orchestra.advice")


def watch_memory(connection: Any, **kwargs: Any) -> None:
    """Receiver of `connection_created`: queries of the memory's models warn, once for each line of code."""
    from memory.backends.firestore import warnings

    warnings.watch(connection, {"memory"})
