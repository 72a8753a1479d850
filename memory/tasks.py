"""The app's tasks. Importing it needs Django 6 or the package `django-tasks`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from memory.search.packing import index_now
from memory.search.pending import embed_now

task = import_module("django.tasks" if find_spec("django.tasks") else "django_tasks").task


@task()  # type: ignore[untyped-decorator]
def embed_items(ids: list[str], using: str) -> int:
    """Compute the vectors of these items. `manage.py memory_embed` completes those that fail."""
    return embed_now(ids, using)


@task()  # type: ignore[untyped-decorator]
def index_memory(user_id: str, using: str) -> int:
    """Index a user's items for search. `manage.py memory_index` completes what fails."""
    return index_now(user_id, using)
