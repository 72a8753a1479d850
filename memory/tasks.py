"""The app's task, for projects with Django's tasks (Django 6) or the package `django-tasks`; imported only there."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from memory.search.pending import embed_now

task = import_module("django.tasks" if find_spec("django.tasks") else "django_tasks").task


@task()  # type: ignore[untyped-decorator]
def embed_items(ids: list[str], using: str) -> int:
    """Make the vectors of these items; what fails is found by `manage.py memory_embed`."""
    return embed_now(ids, using)
