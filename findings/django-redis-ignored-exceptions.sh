#!/usr/bin/env bash
# django-redis 7.0.0: IGNORE_EXCEPTIONS covers get, set, delete and incr, but not touch, ttl, expire, sets and hashes: with the
# server away these raise redis-py's ConnectionError.
#
# The option works on the library's own ConnectionInterrupted; the other methods let the client's error through.
# Output seen: "ignored: delete, get, set; raised: expire, hset, sadd, touch, ttl".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check Django==5.2.8 django-redis==7.0.0 redis==7.0.1 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import socket

import django
from django.conf import settings

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    closed = free.getsockname()[1]  # nothing listens there any more
settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{closed}/0",
            "OPTIONS": {"IGNORE_EXCEPTIONS": True},
        }
    }
)
django.setup()
from django.core.cache import cache
from redis.exceptions import ConnectionError

CALLS = {
    "get": lambda: cache.get("k"),
    "set": lambda: cache.set("k", 1),
    "delete": lambda: cache.delete("k"),
    "touch": lambda: cache.touch("k", 60),
    "ttl": lambda: cache.ttl("k"),
    "expire": lambda: cache.expire("k", 60),
    "sadd": lambda: cache.sadd("k", 1),
    "hset": lambda: cache.hset("k", "field", 1),
}
raised = set()
for name, call in CALLS.items():
    try:
        call()
    except ConnectionError:
        raised.add(name)
print(f"ignored: {', '.join(sorted(CALLS.keys() - raised))}; raised: {', '.join(sorted(raised))}")
assert raised == {"touch", "ttl", "expire", "sadd", "hset"}, raised
PY
