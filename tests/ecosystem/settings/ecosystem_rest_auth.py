"""dj-rest-auth: its own settings, with Django's test runner, whose outcomes are recorded."""

from settings import *  # noqa: F403

TEST_RUNNER = "django.test.runner.DiscoverRunner"
