#!/usr/bin/env bash
# llama-index-core 0.14.25: deleting the last message of a chat that has become empty raises, where all else returns
# None.
#
# SimpleChatStore.delete_last_message() returns None for an unknown key, and delete_message() for an index that there is
# not; both are annotated with Optional[ChatMessage]. https://github.com/run-llama/llama_index/pull/23108
# Output seen: "unknown chat: None, absent index: None, empty chat: IndexError".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check llama-index-core==0.14.25 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
from llama_index.core.llms import ChatMessage
from llama_index.core.storage.chat_store import SimpleChatStore

store = SimpleChatStore()
store.add_message("dinner", ChatMessage(role="user", content="Which tea?"))
assert store.delete_last_message("dinner").content == "Which tea?"


def outcome(method, *arguments):
    try:
        return method(*arguments)
    except IndexError as error:
        return type(error).__name__


unknown = outcome(store.delete_last_message, "lunch")
absent = outcome(store.delete_message, "dinner", 0)
empty = outcome(store.delete_last_message, "dinner")
print(f"unknown chat: {unknown}, absent index: {absent}, empty chat: {empty}")
assert unknown is None and absent is None
assert empty == "IndexError", "an empty chat raised IndexError in 0.14.25"
PY
