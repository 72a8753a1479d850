"""Django's tests on SQLite, with the values of its own `test_sqlite` settings: the reference for the engine."""

import django

SECRET_KEY = "fidelity"
USE_TZ = False
if django.VERSION < (6,):
    DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TEST_RUNNER = "tests.fidelity.runner.Runner"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3"},
    "other": {"ENGINE": "django.db.backends.sqlite3"},
}
