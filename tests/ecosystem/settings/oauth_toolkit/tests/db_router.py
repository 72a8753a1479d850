"""django-oauth-toolkit: the database routers of its tests, which its source distribution does not contain."""

from __future__ import annotations

from typing import Any


class AlphaRouter:
    """Everything is in one database."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "alpha" if model._meta.app_label == "oauth2_provider" else None

    db_for_read = db_for_write


class CrossDatabaseRouter:
    """Access tokens are in another database."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "beta" if model._meta.model_name == "accesstoken" else None

    db_for_read = db_for_write
