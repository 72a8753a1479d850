"""The tests' app."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from .vectors import register


class EngineConfig(AppConfig):
    """Labelled `engine`, as its models say."""

    name = "tests.engine.app"
    label = "engine"

    def ready(self) -> None:
        connection_created.connect(register, dispatch_uid="engine tests' distances")
