"""Settings for tests: in-memory databases, fast password hashes, no throttling by default."""

from .base import *  # noqa: F403
from .base import DATABASES, INSTALLED_APPS, MEMORY, SECRET_KEY

SECRET_KEY = SECRET_KEY or "insecure-test-key-that-only-tests-may-use-0123456789"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
INSTALLED_APPS = [*INSTALLED_APPS, "tests.differential"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
for _database in DATABASES.values():
    # In memory and shared between threads (live server, async); on Firestore a separate database id.
    _database["TEST"] = {"NAME": None}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# A thread that indexes in the background would meet the locks of a database in memory.
MEMORY = {**MEMORY, "MANAGER": "memory.stores.MemoryManagerStub", "INDEX_AFTER": None}
# Tests count statements, and the reads of tombstones depend on the time; the tests of erasures turn them on.
MEMORY["ERASURE_CHECK"] = None
MEMORY["AUDIT"] = None
# Static files are found without collectstatic.
WHITENOISE_AUTOREFRESH = True
