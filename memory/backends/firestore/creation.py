"""Test databases: another database id in the same project. The emulator creates a database on first use."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.creation import BaseDatabaseCreation

from .rpc import channel, sequences
from .values.auto_ids import SEQUENCE

FLUSH_SECONDS: Final = 60.0


def flush_emulator(to: channel.Target) -> None:
    """Empties a database of the emulator at once, including its history, which would slow down later queries.

    https://firebase.google.com/docs/emulator-suite/connect_firestore#clear_your_database_between_tests
    """
    url = f"http://{to.emulator}/emulator/v1/projects/{to.project}/databases/{to.database}/documents"
    request = urllib.request.Request(url, method="DELETE")
    with urllib.request.urlopen(request, timeout=FLUSH_SECONDS):  # noqa: S310
        pass


class DatabaseCreation(BaseDatabaseCreation):
    """Names, empties and clones test databases."""

    def _get_test_db_name(self) -> str:
        """The id of the test database: TEST["NAME"], or `test-` and the name, at most 63 characters."""
        settings = self.connection.settings_dict
        if name := settings["TEST"]["NAME"]:
            return str(name)
        return f"test-{settings['NAME'].strip('()') or 'default'}"[:63]

    def _create_test_db(self, verbosity: int, autoclobber: bool, keepdb: bool = False) -> str:
        """Empties the test database, and gives its rows ids from 1: see `_use_ids_of_tests`."""
        name = self._get_test_db_name()
        self._refuse_production(name)
        self._use_ids_of_tests()
        if not keepdb:
            self._empty(name)
        return name

    def _use_ids_of_tests(self) -> None:
        """TEST["AUTO_IDS"] replaces OPTIONS["auto_ids"]. Without either, ids are from 1, as on SQL databases."""
        settings = self.connection.settings_dict
        options = settings.get("OPTIONS") or {}
        ids = settings["TEST"].get("AUTO_IDS") or options.get("auto_ids") or SEQUENCE
        settings["OPTIONS"] = {**options, "auto_ids": ids}

    def _clone_test_db(self, suffix: str, verbosity: int, keepdb: bool = False) -> None:
        """A copy for a process of the parallel test runner, including rows that migrations created."""
        name = self.get_test_db_clone_settings(suffix)["NAME"]
        if keepdb:
            return
        self._empty(name)
        with self._connected(name) as clone, self.connection.cursor() as cursor:
            cursor.copy(clone)

    def get_test_db_clone_settings(self, suffix: str) -> dict[str, Any]:
        settings = self.connection.settings_dict
        return {**settings, "NAME": f"{settings['NAME'].strip('()')}-{suffix}"}

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        self._empty(test_database_name)

    def test_db_signature(self) -> tuple[Any, ...]:
        settings = self.connection.settings_dict
        return (settings.get("PROJECT"), settings["HOST"], self._get_test_db_name())

    def _refuse_production(self, name: str) -> None:
        settings = self.connection.settings_dict
        if name == settings["NAME"]:
            raise ImproperlyConfigured(
                f"DATABASES[{self.connection.alias!r}]['TEST']['NAME'] is the database itself, {name!r}: tests would "
                "empty it. Use another name."
            )
        if not settings["HOST"] and not settings["TEST"]["NAME"]:
            raise ImproperlyConfigured(
                f"Tests would empty the database {name!r} of the real project {settings.get('PROJECT')!r}. "
                f"Set DATABASES[{self.connection.alias!r}]['HOST'] to an emulator, or set ['TEST']['NAME'] to the "
                "name of a test database."
            )

    def _empty(self, name: str) -> None:
        """Deletes all documents of a database, with a separate connection."""
        with self._connected(name) as cursor:
            for collection in cursor.collections():
                cursor.clear(collection)
        sequences.forget(channel.target({**self.connection.settings_dict, "NAME": name}))

    @contextmanager
    def _connected(self, name: str) -> Iterator[Any]:
        """A cursor of a database of the same project, with a separate connection."""
        connection = self.connection.copy()
        connection.settings_dict = {**self.connection.settings_dict, "NAME": name}
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()
