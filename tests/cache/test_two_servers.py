"""A cache with two servers in LOCATION, the first of which is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memory import history
from memory.conf import memory_settings
from memory.testing.redis import RedisServer

from .test_history import item, read_history, stored_history

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True, databases=["default", "memory"])]


def test_no_key_lives_longer_than_its_ttl(
    use_redis: Callable[..., Any], start_redis: Callable[..., RedisServer], settings: Any
) -> None:
    """django-redis multiplies a TTL by 1,000 for each server that it tries; histories are right, and no key does."""
    away, present = start_redis(), start_redis()
    use_redis(away)
    config = settings.CACHES["default"]
    options = {**config["OPTIONS"], "REPLICA_READ_ONLY": False, "SOCKET_CONNECT_TIMEOUT": 0.2}
    settings.CACHES = {"default": {**config, "LOCATION": [away.url, present.url], "OPTIONS": options}}
    away.kill()
    for number in range(3):
        item(number).save()
    assert read_history() == stored_history()
    assert history.session("ada", "chat") is not None
    with present.client() as plain:
        lives = [plain.ttl(key) for key in plain.scan_iter()]
    assert all(0 < seconds <= memory_settings.cache_ttl for seconds in lives)
