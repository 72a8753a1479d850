#!/usr/bin/env bash
# pydantic-ai-slim 2.68.0: a conversation stops at its 51st request, however many runs it has.
#
# A Conversation carries its usage from run to run, and each run checks it against UsageLimits, whose request_limit is 50
# by default. So a chat that is continued by agent.run(..., conversation=...) raises UsageLimitExceeded in its 51st turn,
# where one that passes message_history does not. usage_limits=UsageLimits(request_limit=None) lifts the limit.
# Output seen: "with a conversation: 50 turns, with the message history: 60, without the limit: 60".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pydantic-ai-slim==2.68.0 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
from pydantic_ai import Agent, UsageLimitExceeded, UsageLimits
from pydantic_ai.conversation import Conversation
from pydantic_ai.models.test import TestModel

TURNS = 60
agent = Agent(TestModel(custom_output_text="Noted."))


def with_conversation(limits):
    conversation = Conversation(conversation_id="dinner")
    for turn in range(TURNS):
        try:
            result = agent.run_sync(f"turn {turn}", conversation=conversation, usage_limits=limits)
        except UsageLimitExceeded:
            return turn
        conversation = result.conversation
    return TURNS


def with_history():
    messages = []
    for turn in range(TURNS):
        messages = agent.run_sync(f"turn {turn}", message_history=messages).all_messages()
    return TURNS


counts = with_conversation(None), with_history(), with_conversation(UsageLimits(request_limit=None))
print("with a conversation: {} turns, with the message history: {}, without the limit: {}".format(*counts))
assert counts == (50, 60, 60), "the default limit counted all runs of a conversation in 2.68.0"
PY
