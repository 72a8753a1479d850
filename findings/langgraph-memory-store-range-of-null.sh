#!/usr/bin/env bash
# langgraph-checkpoint 4.3.2: one item whose value is null, or that lacks the key, fails a range filter for all items.
#
# InMemoryStore converts both sides of $gt, $gte, $lt and $lte by float(), of every item in the namespace. SqliteStore
# (langgraph-checkpoint-sqlite 3.1.2) leaves such items out.
# Output seen: "InMemoryStore: TypeError, SqliteStore: ['old']".
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

ITEMS = {"old": {"age": 70}, "young": {"age": 7}, "unknown": {"name": "Kim"}}


def found(store):
    for key, value in ITEMS.items():
        store.put(("people",), key, value)
    try:
        return sorted(item.key for item in store.search(("people",), filter={"age": {"$gt": 18}}))
    except TypeError as error:
        return type(error).__name__


database = SqliteStore(sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None))
database.setup()
one, other = found(InMemoryStore()), found(database)
print(f"InMemoryStore: {one}, SqliteStore: {other}")
assert one == "TypeError", "a range over an absent key raised in 4.3.2"
assert other == ["old"], "an absent key was outside of the range in 3.1.2"
PY
