#!/usr/bin/env bash
# langgraph-checkpoint-sqlite 3.1.2: a filter with a map as its value raises, where the reference store compares maps.
#
# SqliteStore takes the keys of every map in a filter for operators. InMemoryStore (langgraph-checkpoint 4.3.2) takes
# those without "$" for keys of a nested value, and matches an item that has other keys beside them.
# Output seen: "InMemoryStore: ['home'], SqliteStore: ValueError: Unsupported operator: city".
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

ITEMS = {"home": {"place": {"city": "Oslo", "zip": "0150"}}, "work": {"place": {"city": "Bergen"}}}


def found(store):
    for key, value in ITEMS.items():
        store.put(("addresses",), key, value)
    try:
        return sorted(item.key for item in store.search(("addresses",), filter={"place": {"city": "Oslo"}}))
    except ValueError as error:
        return f"ValueError: {error}"


database = SqliteStore(sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None))
database.setup()
one, other = found(InMemoryStore()), found(database)
print(f"InMemoryStore: {one}, SqliteStore: {other}")
assert one == ["home"], "a nested map matched by the keys that it names in 4.3.2"
assert other.startswith("ValueError: Unsupported operator: city"), "a nested map was taken for operators in 3.1.2"
PY
