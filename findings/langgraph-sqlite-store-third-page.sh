#!/usr/bin/env bash
# langgraph-checkpoint-sqlite 3.1.2: a search with a query has no third page.
#
# SqliteStore takes the best 2 * limit vectors, and applies limit and offset to these. An offset of twice the limit or
# more finds nothing, however many items there are. InMemoryStore (langgraph-checkpoint 4.3.2) returns all of them, page
# by page. The connection is of pysqlite3-binary, which can load the extension that the store needs in every build of
# Python.
# Output seen: "InMemoryStore: 2 2 2 2, SqliteStore: 2 2 0 0".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  langgraph-checkpoint==4.3.2 langgraph-checkpoint-sqlite==3.1.2 pysqlite3-binary==0.5.4.post2 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import pysqlite3
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore


def embed(texts):
    return [[float(len(text)), 1.0] for text in texts]


def sizes_of_pages(store):
    for number in range(8):
        store.put(("notes",), f"note-{number}", {"text": "tea" * (number + 1)})
    return [len(store.search(("notes",), query="tea", limit=2, offset=offset)) for offset in (0, 2, 4, 6)]


INDEX = {"dims": 2, "embed": embed, "fields": ["text"]}
connection = pysqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
database = SqliteStore(connection, index=INDEX)
database.setup()
one, other = sizes_of_pages(InMemoryStore(index=INDEX)), sizes_of_pages(database)
print(f"InMemoryStore: {' '.join(map(str, one))}, SqliteStore: {' '.join(map(str, other))}")
assert one == [2, 2, 2, 2]
assert other == [2, 2, 0, 0], "there was no third page in 3.1.2"
PY
