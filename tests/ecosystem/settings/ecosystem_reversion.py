"""django-reversion: its own settings, with SQLite in place of its servers of PostgreSQL and MySQL."""

from test_project.settings import *  # type: ignore[import-not-found]  # noqa: F403
from test_project.settings import DATABASES as _GIVEN

DATABASES = {alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{alias}.sqlite3"} for alias in _GIVEN}
