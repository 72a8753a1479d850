"""Tombstones: for a while after the erasure of a person, writers of that person's data are refused.

`memory.lifecycle.erasure` stores a tombstone before it deletes anything. Each process that writes reads the tombstones
at most every `MEMORY["ERASURE_CHECK"]` seconds, one query, which usually finds none. Until it has read a new one it may
still write, so the erasure waits that long, and for writes that are under way, before it deletes for the last time.

A tombstone has a digest of the user's id, made with `SECRET_KEY`, and not the id.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.db import connections, models, router
from django.utils import timezone
from django.utils.crypto import salted_hmac

from .backends import clock
from .conf import memory_settings
from .contention import write_lock
from .exceptions import PersonErased

SALT: Final = "memory.erasures"

Listener = Callable[[str, Callable[[str], bool]], None]
"""Called with an alias and a function that says whether a user's tombstone is new."""


def digest_of(user_id: str, secret: str | bytes | None = None) -> str:
    """The digest of a user's id: 64 hexadecimal digits."""
    return salted_hmac(SALT, user_id, secret=secret, algorithm="sha256").hexdigest()


def digests_of(user_id: str) -> list[str]:
    """The digests by the current `SECRET_KEY` and by those before it."""
    return [digest_of(user_id), *(digest_of(user_id, secret) for secret in settings.SECRET_KEY_FALLBACKS)]


class Tombstones:
    """What this process knows of tombstones, by alias of the database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Mapping[str, datetime]]] = {}
        self.listeners: list[Listener] = []

    def refuse(self, owners: Iterable[str], using: str) -> None:
        """Raise `PersonErased` if one of these people was erased. Call it before the transaction of a write."""
        if erased := self.erased(owners, using):
            raise PersonErased(max(erased.values()))

    def erased(self, owners: Iterable[str], using: str) -> Mapping[str, datetime]:
        """Those of the people who were erased, with the ends of their tombstones."""
        found = self._current(using)
        return self._among(owners, found) if found else {}

    def without_erased(self, owners: Iterable[str], using: str) -> set[str]:
        """Those of the people who were not erased."""
        names = set(owners)
        return names - self.erased(names, using).keys()

    def clear(self, **kwargs: Any) -> None:
        """Forget everything. Also a receiver of `post_migrate`, since the tables may be new."""
        with self._lock:
            self._known.clear()

    def _among(self, owners: Iterable[str], found: Mapping[str, datetime]) -> dict[str, datetime]:
        now = timezone.now()
        ends = {
            owner: max((found[one] for one in digests_of(owner) if one in found), default=now) for owner in set(owners)
        }
        return {owner: end for owner, end in ends.items() if end > now}

    def _current(self, using: str) -> Mapping[str, datetime]:
        seconds = memory_settings.erasure_check
        if seconds is None:
            return {}
        began = clock.monotonic()  # what is read is at least as new as this
        known = self._known.get(using)
        if known is not None and began - known[0] < seconds:
            return known[1]
        found = stored_tombstones(using)
        with self._lock:
            self._known[using] = began, found
        new = found.keys() - (known[1].keys() if known else ())
        if new:
            for listener in self.listeners:
                listener(using, lambda user_id: not new.isdisjoint(digests_of(user_id)))
        return found


tombstones: Final = Tombstones()


def stored_tombstones(using: str) -> dict[str, datetime]:
    """The stored tombstones that have not ended: digests with their ends.

    On Firestore the read takes no part in an open transaction.
    """
    rows = apps.get_model("memory", "Erasure")._default_manager.using(using)
    connection: Any = connections[using]
    if connection.vendor == "firestore" and connection.in_atomic_block:
        with connection.outside():
            return _live(rows)
    return _live(rows)


def _live(rows: models.QuerySet[Any]) -> dict[str, datetime]:
    return dict(rows.filter(until__gt=timezone.now()).values_list("pk", "until"))


class GuardedQuerySet(models.QuerySet[Any]):
    """Rows of people: those of an erased person cannot be created."""

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Django's `bulk_create`; raises `PersonErased`."""
        rows = list(objs)
        tombstones.refuse((row.user_id for row in rows), self.db)
        with write_lock(self.db):
            return super().bulk_create(rows, *args, **kwargs)

    def update(self, **values: Any) -> int:
        """Django's `update`."""
        with write_lock(self.db):
            return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Django's `delete`."""
        with write_lock(self.db):
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class Guarded(models.Model):
    """Base of models with a `user_id`: rows of an erased person cannot be saved."""

    objects = GuardedQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Django's `save`; raises `PersonErased`."""
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        tombstones.refuse([self.user_id], using)  # type: ignore[attr-defined]
        with write_lock(using):
            super().save(*args, **kwargs)
