"""dj-rest-auth: its own settings, with its URLs' full name, and Django's test runner, whose outcomes are recorded."""

from tests.settings import *  # noqa: F403

ROOT_URLCONF = "tests.urls"
TEST_RUNNER = "django.test.runner.DiscoverRunner"
