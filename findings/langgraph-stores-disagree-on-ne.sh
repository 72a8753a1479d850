#!/usr/bin/env bash
# langgraph-checkpoint 4.3.2 and langgraph-checkpoint-sqlite 3.1.2: `$ne` finds items without the key in one store only.
#
# The filter {"color": {"$ne": "red"}} matches an item without the key "color", and one whose color is null, in
# InMemoryStore. SqliteStore compares with SQL's "!=", which is null for both, and leaves them out.
# Output seen: "InMemoryStore ['absent', 'blue', 'null'], SqliteStore ['blue']".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  langgraph-checkpoint==4.3.2 langgraph-checkpoint-sqlite==3.1.2 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import sqlite3

from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

ITEMS = {"red": {"color": "red"}, "blue": {"color": "blue"}, "null": {"color": None}, "absent": {"size": 1}}


def found(store):
    for key, value in ITEMS.items():
        store.put(("things",), key, value)
    return sorted(item.key for item in store.search(("things",), filter={"color": {"$ne": "red"}}))


database = SqliteStore(sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None))
database.setup()
one, other = found(InMemoryStore()), found(database)
print(f"InMemoryStore {one}, SqliteStore {other}")
assert one == ["absent", "blue", "null"], "absent keys and nulls were unequal to a value in 4.3.2"
assert other == ["blue"], "absent keys and nulls were left out in 3.1.2"
PY
