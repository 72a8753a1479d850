#!/usr/bin/env bash
# langgraph-checkpoint 4.3.2: pages of a search repeat the items that are not indexed, without an end.
#
# InMemoryStore fills a page up with items without a vector (put with index=False), always from the first of them: it
# does not apply the offset. A loop over pages until one is empty does not end.
# https://github.com/langchain-ai/langgraph/issues/8871
# Output seen: "['tea', 'a'] ['a', 'b'] ['a', 'b']", for three indexed or not indexed items and pages of two.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check langgraph-checkpoint==4.3.2 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
from langgraph.store.memory import InMemoryStore


def embed(texts):
    return [[float(len(text)), 1.0] for text in texts]


store = InMemoryStore(index={"dims": 2, "embed": embed, "fields": ["text"]})
store.put(("notes",), "tea", {"text": "buy tea"})
for key in ("a", "b"):
    store.put(("notes",), key, {"text": "not for search"}, index=False)
pages = [[item.key for item in store.search(("notes",), query="tea", limit=2, offset=offset)] for offset in (0, 2, 4)]
print(*pages)
assert pages[0] == ["tea", "a"]
assert pages[1:] == [["a", "b"], ["a", "b"]], "items without a vector were on every later page in 4.3.2"
PY
