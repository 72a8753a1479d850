"""Wagtail: its own settings, with a cache that has no table: `DatabaseCache` reads and writes its table with SQL."""

from wagtail.test.settings import *  # type: ignore[import-not-found]  # noqa: F403

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
