"""`manage.py dbshell`, which Firestore does not support."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import NotSupportedError
from django.db.backends.base.client import BaseDatabaseClient


class DatabaseClient(BaseDatabaseClient):
    """Raises NotSupportedError."""

    executable_name = "firestore"

    def runshell(self, parameters: Iterable[str]) -> None:
        raise NotSupportedError(
            "Firestore has no command-line client: use `manage.py shell`, or the console at "
            "https://console.cloud.google.com/firestore."
        )
