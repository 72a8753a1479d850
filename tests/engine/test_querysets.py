"""Django's classes with the engine loaded, and the queryset that projects can opt in to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from memory.backends.firestore.querysets import FirestoreManager, FirestoreQuerySet
from tests.engine.app.models import Note

UNPATCHED = """
import django
from django.conf import settings
from django.db import connections, models, transaction
from django.db.models import sql

settings.configure(
    DATABASES={"default": {"ENGINE": "memory.backends.firestore", "PROJECT": "p", "HOST": "localhost:1"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "memory.backends.firestore"],
)
classes = [models.QuerySet, models.Manager, models.Model, sql.Query, transaction.Atomic]
before = [dict(vars(one)) for one in classes]
django.setup()
from django.contrib.auth.models import User

connection = connections["default"]
compiler = connection.ops.compiler("SQLInsertCompiler")
User.objects.filter(username="a").explain()
import memory.backends.firestore.batch_fetch, memory.backends.firestore.querysets
import memory.backends.firestore.transaction, memory.backends.firestore.warnings

assert connection.vendor == "firestore"
for one, was in zip(classes, before, strict=True):
    changed = {name for name in {**was, **vars(one)} if was.get(name) is not vars(one).get(name)}
    assert not changed, (one, changed)
"""


def test_the_engine_patches_no_class_of_django() -> None:
    """Importing and using it leaves querysets, managers, models, queries and blocks as Django defines them."""
    subprocess.run([sys.executable, "-c", UNPATCHED], check=True, timeout=60)


@pytest.mark.django_db(databases=["default", "sqlite"])
def test_other_engines_update_or_create_as_django_does() -> None:
    """The queryset needs no Firestore."""
    rows = FirestoreQuerySet(Note, using="sqlite")
    assert rows.update_or_create(id="a", defaults={"text": "1"})[1]
    assert not rows.update_or_create(id="a", defaults={"text": "2"})[1]
    assert rows.get().text == "2"


def test_the_manager_has_the_querysets_method() -> None:
    """`objects = FirestoreManager()` is all that a model needs."""
    manager = FirestoreManager()
    manager.model = Note
    assert isinstance(manager.get_queryset(), FirestoreQuerySet)
