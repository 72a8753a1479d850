"""django-oauth-toolkit: the application of its tests, whose directory is in two places."""

from pathlib import Path

from django.apps import AppConfig


class TestsConfig(AppConfig):
    name = "tests"
    path = str(Path(__file__).parent)
