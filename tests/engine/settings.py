"""Settings for the engine's tests alone: `pytest --ds=tests.engine.settings tests/engine`.

The emulator's address and a project of this process's own are filled in by `conftest.py`.
"""

from pathlib import Path

SECRET_KEY = "the engine's tests"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "memory.backends.firestore",
    "tests.engine.app",
]
# The indexes of the tests' queries: a query without one fails.
MANIFEST = Path(__file__).with_name("firestore.indexes.json")
DATABASES = {
    "default": {
        "ENGINE": "memory.backends.firestore",
        "NAME": "(default)",
        "PROJECT": "engine-tests",
        "HOST": "",
        # "random" as in production: the default of test databases, "sequence", adds calls to the tests that count them.
        "OPTIONS": {"mirror_limit": 50, "auto_ids": "random", "require_indexes": MANIFEST},
        "TEST": {"NAME": "engine"},
    },
    "sqlite": {"ENGINE": "memory.backends.sqlite", "NAME": ":memory:"},
}
