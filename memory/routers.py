"""Routes the app's models, and no others, to the database `MEMORY["DATABASE"]`."""

from typing import Any

from django.db.models import Model

from .conf import memory_settings

APP_LABEL = "memory"


class MemoryRouter:
    """`DATABASE_ROUTERS = ["memory.routers.MemoryRouter"]`."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        """The alias for the app's models; None for others."""
        return memory_settings.database if model._meta.app_label == APP_LABEL else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """The app's migrations run on its own database only; those of other apps do not, unless it is the default."""
        if app_label == APP_LABEL:
            return db == memory_settings.database
        if db == memory_settings.database and db != "default":
            return False
        return None
