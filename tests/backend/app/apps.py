"""The tests' app."""

from django.apps import AppConfig


class EngineConfig(AppConfig):
    """Labelled `engine`, as its models say."""

    name = "tests.backend.app"
    label = "engine"
