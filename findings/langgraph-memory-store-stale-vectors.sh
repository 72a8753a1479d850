#!/usr/bin/env bash
# langgraph-checkpoint 4.3.2: an item that was updated is still found by the text that it had before.
#
# InMemoryStore adds and replaces vectors, and removes them only when the item is deleted. An update with index=False
# keeps the vector of the old text; an update to a shorter list keeps the vectors of the elements that are gone.
# Output seen: "index=False: 1.0, a shorter list: 1.0", the scores of an exact match.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check langgraph-checkpoint==4.3.2 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
from langgraph.store.memory import InMemoryStore

WORDS = ["tea", "coffee", "water"]


def embed(texts):
    return [[float(word in text) for word in WORDS] for text in texts]


def score_for_coffee(field, before, after, **options):
    store = InMemoryStore(index={"dims": len(WORDS), "embed": embed, "fields": [field]})
    store.put(("notes",), "drink", before)
    store.put(("notes",), "drink", after, **options)
    [item] = store.search(("notes",), query="coffee")
    assert "coffee" not in str(item.value)
    return item.score


unindexed = score_for_coffee("text", {"text": "coffee"}, {"text": "water"}, index=False)
shorter = score_for_coffee("texts[*]", {"texts": ["tea", "coffee"]}, {"texts": ["tea"]})
shorter_of_two = score_for_coffee("texts[*]", {"texts": ["tea", "coffee"]}, {"texts": ["tea", "water"]})
print(f"index=False: {unindexed}, a shorter list: {shorter}")
assert shorter_of_two == 0.0, "vectors of elements that are replaced were replaced in 4.3.2"
assert unindexed == shorter == 1.0, "vectors of texts that are gone stayed in 4.3.2"
PY
