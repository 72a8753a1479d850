"""The tests: databases of their own in memory, fast password hashes, no throttling unless a test asks for it."""

from .base import *  # noqa: F403
from .base import DATABASES, INSTALLED_APPS, MEMORY, SECRET_KEY

SECRET_KEY = SECRET_KEY or "insecure-test-key-that-only-tests-may-use-0123456789"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
INSTALLED_APPS = [*INSTALLED_APPS, "tests.differential"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
for _database in DATABASES.values():
    # In memory, shared between threads (live server, async); on Firestore a database id of the tests' own.
    _database["TEST"] = {"NAME": None}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
MEMORY = {**MEMORY, "MANAGER": "memory.stores.MemoryManagerStub"}
# Found where they lie: no test needs collectstatic first.
WHITENOISE_AUTOREFRESH = True
