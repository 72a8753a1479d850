#!/usr/bin/env bash
# langgraph-checkpoint 4.3.2: one text that occurs twice in what is put fails the put, and nothing is stored.
#
# InMemoryStore embeds each text once, but expects a vector for each place where a text occurs. Two items of a batch
# with the same text raise ValueError, and so does one item with two equal fields. SqliteStore
# (langgraph-checkpoint-sqlite 3.1.2) stores them. https://github.com/langchain-ai/langgraph/issues/8822
# Output seen: "one item: ValueError, stored False; two items: ValueError, stored False".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check langgraph-checkpoint==4.3.2 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore


def embed(texts):
    return [[float(len(text)), 1.0] for text in texts]


def put(*values):
    store = InMemoryStore(index={"dims": 2, "embed": embed, "fields": ["title", "text"]})
    try:
        store.batch([PutOp(("notes",), f"note-{number}", value) for number, value in enumerate(values)])
        raised = "no error"
    except ValueError as error:
        assert "Number of embeddings" in str(error), error
        raised = "ValueError"
    return f"{raised}, stored {store.get(('notes',), 'note-0') is not None}"


one = put({"title": "tea", "text": "tea"})
two = put({"text": "buy tea"}, {"text": "buy tea"})
different = put({"title": "tea", "text": "green"}, {"text": "buy coffee"})
print(f"one item: {one}; two items: {two}")
assert different == "no error, stored True"
assert one == two == "ValueError, stored False", "a repeated text raised in 4.3.2"
PY
