#!/usr/bin/env bash
# langgraph-checkpoint 4.3.2 and langgraph-checkpoint-sqlite 3.1.2: an update of an item moves its created_at to now.
#
# InMemoryStore makes a new item, SqliteStore uses INSERT OR REPLACE; both lose the time at which the item was first
# stored, and created_at always equals updated_at. https://github.com/langchain-ai/langgraph/pull/8341
# Output seen: "InMemoryStore: created_at moved True, equals updated_at True; SqliteStore: created_at moved True, equals
# updated_at True".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  langgraph-checkpoint==4.3.2 langgraph-checkpoint-sqlite==3.1.2 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import sqlite3
import time

from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore


def after_an_update(store):
    store.put(("notes",), "tea", {"cups": 1})
    first = store.get(("notes",), "tea")
    time.sleep(1.5)  # SqliteStore's times are whole seconds
    store.put(("notes",), "tea", {"cups": 2})
    second = store.get(("notes",), "tea")
    return second.created_at > first.created_at, abs((second.updated_at - second.created_at).total_seconds()) < 0.5


database = SqliteStore(sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None))
database.setup()
one, other = after_an_update(InMemoryStore()), after_an_update(database)
print("; ".join(
    f"{name}: created_at moved {moved}, equals updated_at {equal}"
    for name, (moved, equal) in {"InMemoryStore": one, "SqliteStore": other}.items()
))
assert one == (True, True), "an update reset created_at in 4.3.2"
assert other == (True, True), "an update reset created_at in 3.1.2"
PY
