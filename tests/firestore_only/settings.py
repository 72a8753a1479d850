"""The service with Firestore as its only database, as `DATABASE_URL=firestore:` makes it, and two apps of others.

    pytest --ds=tests.firestore_only.settings --confcutdir=tests/firestore_only tests/firestore_only

The emulator's address and a project of the process' own are filled in by `conftest.py`.
"""

import os

os.environ |= {"DATABASE_URL": "firestore:", "MEMORY_DATABASE_URL": "", "FIRESTORE_EMULATOR_HOST": "", "REDIS_URL": ""}

from settings.test import *  # noqa: F403 - the environment comes first
from settings.test import DATABASES, INSTALLED_APPS

OTHERS = ["django.contrib.sites", "rest_framework.authtoken"]
INSTALLED_APPS = [name for name in INSTALLED_APPS if not name.startswith("tests.")] + OTHERS
SITE_ID = 1
# The tests count only calls to Firestore.
SESSION_ENGINE = "django.contrib.sessions.backends.db"
# Production's ids: those of test databases need counters, which the tests of costs would count.
DATABASES["default"]["TEST"]["AUTO_IDS"] = "random"
