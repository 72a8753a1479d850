"""Shapes of conversations found in public documentation and code, rebuilt with our own words and small.

Each has its public source, the file, and the conversation that a person expects: see `conversations.line_of`. The
types of OpenAI and Anthropic, LangChain's blocks and LangGraph's states are known from their packages. Of the other
sources, stored copies were read; of docs.rs, Axolotl and mem0's list pages beside them, and simplismart's was not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ROOT = "00000000-0000-4000-8000-000000000000"
T = 1767323045
NOW = "2026-01-02T03:04:05.000000Z"
THREAD = "3f1c8a52-0d6e-4a6b-9a55-6f0f6f1f7d10"


@dataclass(frozen=True)
class Shape:
    """`lines` are the values on the lines of the file; one value is a file by itself."""

    source: str
    lines: list[Any]
    expected: dict[str, list[str]]


def said(key: str, parent: str | None, role: str, content: dict[str, Any], **more: Any) -> dict[str, Any]:
    message = {"id": key, "author": {"role": role}, "content": content, "create_time": T, "recipient": "all", **more}
    return {"id": key, "parent": parent, "children": [], "message": message}


def text(words: str) -> dict[str, Any]:
    return {"content_type": "text", "parts": [words]}


def chat(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    mapping = {"r": {"id": "r", "parent": None, "message": None}, **{node["id"]: node for node in nodes}}
    return {"id": "c1", "title": "Boats", "create_time": T, "mapping": mapping, "current_node": nodes[-1]["id"], **more}


def claude(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "uuid": "k1",
        "name": "Boats",
        "created_at": "2026-01-02T03:04:05Z",
        "chat_messages": list(messages),
        **more,
    }


def event(author: str, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    role = "user" if author == "user" else "model"
    return {"id": f"e{len(parts)}{author}", "author": author, "content": {"role": role, "parts": list(parts)}, **more}


def lc(name: str, **kwargs: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", name], "kwargs": kwargs}


def thread_message(number: int, role: str, words: str) -> dict[str, Any]:
    return {
        "id": f"msg_{number}",
        "object": "thread.message",
        "created_at": T + number,
        "thread_id": "thread_1",
        "role": role,
        "content": [{"type": "text", "text": {"value": words, "annotations": []}}],
        "assistant_id": None,
        "attachments": [],
        "metadata": {},
    }


CHATGPT = "https://github.com/mitkury/chatgpt-export-parser/blob/main/docs/chatgpt-data-export-format.md"
CLAUDE = "https://github.com/Sinity/polylogue/blob/main/docs/providers/claude-ai.md"
# Readers of exports, which state the types of their fields.
NEXUS = "https://github.com/Superkikim/nexus-ai-chat-importer/blob/main/src/providers/"
OPENAI = "https://github.com/openai/openai-node/blob/master/src/resources/"
ANTHROPIC = "https://github.com/anthropics/anthropic-sdk-typescript/blob/main/src/resources/messages/"
LANGCHAIN = "https://github.com/langchain-ai/langchain/tree/master/libs/core/langchain_core/messages"
ADK = "https://google.github.io/adk-docs/events"
LETTA = "https://github.com/letta-ai/letta/blob/main/letta/schemas/agent_file.py"
AXOLOTL = "https://docs.axolotl.ai/docs/dataset-formats/conversation.html"
ASK = {"role": "user", "content": "When is high tide?"}
TELL = {"role": "assistant", "content": "At 6."}
BOTH = ["user: When is high tide?", "assistant: At 6."]

SHAPES: dict[str, Shape] = {
    "chatgpt: a regenerated answer": Shape(
        CHATGPT,
        [
            chat(
                said("q", "r", "user", text("Which rope?")),
                said("a", "q", "assistant", text("Hemp."), create_time=T + 1),
                said("b", "q", "assistant", text("Nylon."), create_time=T + 2),
            )
        ],
        {"c1": ["user: Which rope?", "*assistant: Hemp.", "assistant: Nylon."]},
    ),
    "chatgpt: custom instructions in a system message": Shape(
        CHATGPT,
        [
            chat(
                said(
                    "s",
                    "r",
                    "system",
                    text(""),
                    metadata={
                        "is_user_system_message": True,
                        "user_context_message_data": {"about_user_message": "A sailor"},
                    },
                ),
                said("q", "s", "user", text("Hello")),
            )
        ],
        {"c1": ["system: []", "user: Hello"]},
    ),
    "chatgpt: an uploaded document": Shape(
        f"{NEXUS}chatgpt/chatgpt-types.ts",
        [
            chat(
                said(
                    "q",
                    "r",
                    "user",
                    text("What does it say?"),
                    metadata={"attachments": [{"id": "f1", "name": "tides.pdf", "size": 9}]},
                ),
                said("a", "q", "assistant", text("High tide is at 6."), create_time=T + 1),
                gizmo_id="g-1",
                is_archived=True,
                memory_scope="global_enabled",
            )
        ],
        {"c1": ["user: What does it say?", "assistant: High tide is at 6."]},
    ),
    "chatgpt: an image that was made": Shape(
        f"{NEXUS}chatgpt/chatgpt-types.ts",
        [
            chat(
                said("q", "r", "user", text("Draw a buoy")),
                said(
                    "t",
                    "q",
                    "tool",
                    {
                        "content_type": "multimodal_text",
                        "parts": [
                            {
                                "content_type": "image_asset_pointer",
                                "asset_pointer": "file-service://f1",
                                "metadata": {"dalle": {"gen_id": "g1", "prompt": "A red buoy"}},
                            }
                        ],
                    },
                    author={"role": "tool", "name": "dalle.text2im"},
                ),
            )
        ],
        {"c1": ["user: Draw a buoy", "tool: [dalle.text2im]"]},
    ),
    "claude: messages with parents": Shape(
        "https://github.com/Emnolope/claude-conversation-export",
        [
            claude(
                {"uuid": "b", "parent_message_uuid": "a", "sender": "assistant", "index": 1, "text": "At 6."},
                {
                    "uuid": "a",
                    "parent_message_uuid": ROOT,
                    "sender": "human",
                    "index": 0,
                    "text": "When is high tide?",
                },
            )
        ],
        {"k1": BOTH},
    ),
    "claude: a tool and its result": Shape(
        CLAUDE,
        [
            claude(
                {
                    "uuid": "a",
                    "sender": "assistant",
                    "content": [
                        {"type": "text", "text": "Looking.", "start_timestamp": NOW, "stop_timestamp": NOW},
                        {"type": "tool_use", "id": "t1", "name": "tides", "input": {"at": "Brest"}},
                        {
                            "type": "tool_result",
                            "tool_use_id": "t1",
                            "name": "tides",
                            "content": [{"type": "text", "text": "6", "uuid": "u1"}],
                        },
                    ],
                }
            )
        ],
        {"k1": ["assistant: Looking."]},
    ),
    "claude: only an attachment": Shape(
        f"{NEXUS}claude/claude-types.ts",
        [
            claude(
                {
                    "uuid": "a",
                    "sender": "human",
                    "text": "",
                    "content": [],
                    "attachments": [{"file_name": "log.txt", "file_size": 9, "extracted_content": "fair wind"}],
                }
            )
        ],
        {"k1": ["user: []"]},
    ),
    "openai: two choices": Shape(
        f"{OPENAI}chat/completions/completions.ts",
        [
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": T,
                "model": "m",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "At 6."}, "finish_reason": "stop"},
                    {"index": 1, "message": {"role": "assistant", "content": "Six."}, "finish_reason": "stop"},
                ],
                "usage": {"total_tokens": 9},
            }
        ],
        {"file": ["assistant: At 6.", "*assistant: Six."]},
    ),
    "openai: an answer of the responses API": Shape(
        f"{OPENAI}responses/responses.ts",
        [
            {
                "id": "resp_1",
                "object": "response",
                "created_at": T,
                "model": "m",
                "output": [
                    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
                    {
                        "type": "message",
                        "id": "msg_1",
                        "role": "assistant",
                        "content": [{"type": "output_text", "text": "At 6.", "annotations": [{"url": "u"}]}],
                    },
                ],
            }
        ],
        {"file": ["assistant: []", "assistant: At 6."]},
    ),
    "openai: a request of the responses API": Shape(
        f"{OPENAI}responses/responses.ts",
        [{"model": "m", "instructions": "Be calm.", "input": [ASK, TELL], "temperature": 0}],
        {"file": ["system: Be calm.", *BOTH]},
    ),
    "openai: a page of a thread, newest first": Shape(
        f"{OPENAI}beta/threads/messages.ts",
        [
            {
                "object": "list",
                "data": [thread_message(2, "assistant", "At 6."), thread_message(1, "user", "When is high tide?")],
                "first_id": "msg_2",
                "last_id": "msg_1",
                "has_more": False,
            }
        ],
        {"thread_1": BOTH},
    ),
    "openai: a line of a batch": Shape(
        "https://docs.together.ai/docs/inference/batch/tutorial",
        [
            {
                "custom_id": f"r{n}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "m", "messages": [ASK]},
            }
            for n in (1, 2)
        ],
        {"file-r1": [BOTH[0]], "file-r2": [BOTH[0]]},
    ),
    "openai: a line of a batch's output": Shape(
        "https://docs.rs/crate/openai-client-base/0.8.1/source/docs/BatchRequestOutput.md",
        [
            {
                "id": "batch_1",
                "custom_id": "r1",
                "response": {"status_code": 200, "body": {"object": "chat.completion", "choices": [{"message": TELL}]}},
                "error": None,
            }
        ],
        {"file-r1": [BOTH[1]]},
    ),
    "openai: preference data": Shape(
        "https://developers.openai.com/api/docs/guides/direct-preference-optimization",
        [
            {
                "input": {"messages": [ASK], "tools": []},
                "preferred_output": [TELL],
                "non_preferred_output": [{"role": "assistant", "content": "No."}],
            }
        ],
        {"file": [*BOTH, "*assistant: No."]},
    ),
    "openai: a rejected response beside the messages": Shape(
        "https://docs.simplismart.ai/training-suite/llms/dpo-llm.md",
        [{"messages": [ASK, TELL], "rejected_response": "No."}],
        {"file": BOTH},
    ),
    "openai: functions before tools": Shape(
        f"{OPENAI}chat/completions/completions.ts",
        [
            [
                ASK,
                {"role": "assistant", "content": None, "function_call": {"name": "tides", "arguments": "{}"}},
                {"role": "function", "name": "tides", "content": "6"},
            ]
        ],
        {"file": [BOTH[0], "assistant: [tides]", "function: 6"]},
    ),
    "openai: a spoken answer": Shape(
        f"{OPENAI}chat/completions/completions.ts",
        [[ASK, {"role": "assistant", "content": None, "audio": {"id": "a1", "transcript": "At 6."}}]],
        {"file": BOTH},
    ),
    "openai: a refusal": Shape(
        f"{OPENAI}responses/responses.ts",
        [
            [
                ASK,
                {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "Not that."}]},
                {"role": "assistant", "content": None, "refusal": "Nor that."},
            ]
        ],
        {"file": [BOTH[0], "assistant: Not that.", "assistant: Nor that."]},
    ),
    "openai: an answer with its reasoning": Shape(
        "https://api-docs.deepseek.com/guides/reasoning_model",
        [[ASK, {**TELL, "reasoning_content": "The moon is full."}]],
        {"file": BOTH},
    ),
    "anthropic: an image and a tool's result": Shape(
        f"{ANTHROPIC}messages.ts",
        [
            {
                "model": "m",
                "max_tokens": 9,
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image", "source": {"type": "url", "url": "https://example.org/i"}},
                            {"type": "text", "text": "What is this?"},
                        ],
                    },
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]},
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": "t1",
                                "content": [{"type": "text", "text": "A gull"}],
                            }
                        ],
                    },
                ],
            }
        ],
        {"file": ["user: What is this?", "assistant: []", "user: []"]},
    ),
    "anthropic: a search on the server": Shape(
        f"{ANTHROPIC}messages.ts",
        [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "model": "m",
                "stop_reason": "end_turn",
                "content": [
                    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "tide"}},
                    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
                    {"type": "text", "text": "At 6.", "citations": [{"url": "https://example.org/t"}]},
                ],
            }
        ],
        {"file": [BOTH[1]]},
    ),
    "anthropic: a line of a batch's results": Shape(
        f"{ANTHROPIC}batches.ts",
        [
            {
                "custom_id": "r1",
                "result": {
                    "type": "succeeded",
                    "message": {
                        "type": "message",
                        "id": "msg_1",
                        "role": "assistant",
                        "content": [{"type": "text", "text": "At 6."}],
                        "stop_reason": "end_turn",
                    },
                },
            }
        ],
        {"file-r1": [BOTH[1]]},
    ),
    "anthropic: a line of a batch": Shape(
        f"{ANTHROPIC}batches.ts",
        [
            {"custom_id": f"r{number}", "params": {"model": "m", "max_tokens": 9, "messages": [ASK]}}
            for number in (1, 2)
        ],
        {"file-r1": [BOTH[0]], "file-r2": [BOTH[0]]},
    ),
    "langchain: the output of dumps": Shape(
        "https://github.com/vercel/ai/blob/main/packages/langchain/src/__fixtures__/langgraph.ts",
        [
            [
                lc("HumanMessage", content="When is high tide?", id="h1", additional_kwargs={}, response_metadata={}),
                lc("AIMessageChunk", content=[{"type": "text", "text": "At 6.", "index": 0}], id="run-1"),
            ]
        ],
        {"file": BOTH},
    ),
    "langchain: the messages of a run": Shape(
        "https://github.com/christinatong01/langchain-fe-interview/blob/main/server/src/data/rootRun.ts",
        [
            {
                "messages": [
                    {"type": "human", "content": "When is high tide?", "id": "h1", "example": False},
                    {"type": "ai", "content": "At 6.", "id": "a1"},
                ]
            }
        ],
        {"file": BOTH},
    ),
    "langchain: the state of a graph": Shape(
        "https://reference.langchain.com/python/langgraph/types/StateSnapshot",
        [
            {
                "values": {"messages": [{"type": "human", "content": "When is high tide?"}], "step": 0},
                "next": [],
                "created_at": "2026-01-02T03:04:05Z",
            }
        ],
        {"file": [BOTH[0]]},
    ),
    "langchain: rows of MongoDB": Shape(
        "https://github.com/langchain-ai/langchain-mongodb/blob/main/libs/langchain-mongodb/langchain_mongodb/chat_message_histories.py",
        [
            {
                "_id": {"$oid": f"{n}"},
                "SessionId": "alpha",
                "History": f'{{"type": "{kind}", "data": {{"content": "{words}"}}}}',
            }
            for n, (kind, words) in enumerate([("human", "When is high tide?"), ("ai", "At 6.")])
        ],
        {"alpha": BOTH},
    ),
    "langchain: rows of Postgres": Shape(
        "https://github.com/langchain-ai/langchain-postgres/blob/main/langchain_postgres/chat_message_histories.py",
        [
            {
                "id": 7,
                "session_id": THREAD,
                "message": {"type": "human", "data": {"content": "When is high tide?"}},
                "created_at": "2026-01-02T03:04:05Z",
            },
            {
                "id": 8,
                "session_id": THREAD,
                "message": {"type": "ai", "data": {"content": "At 6."}},
                "created_at": "2026-01-02T03:04:05Z",
            },
        ],
        {THREAD: BOTH},
    ),
    "langchain: standard content blocks": Shape(
        f"{LANGCHAIN}/content.py",
        [
            [
                {
                    "type": "ai",
                    "data": {
                        "content": [
                            {"type": "reasoning", "reasoning": "The moon."},
                            {"type": "text", "text": "At 6.", "annotations": [{"type": "citation", "url": "u"}]},
                            {"type": "tool_call", "name": "tides", "args": {}, "id": "t1"},
                            {"type": "server_tool_call", "name": "search", "args": {}, "id": "t2"},
                        ]
                    },
                }
            ]
        ],
        {"file": [BOTH[1]]},
    ),
    "langchain: a message that was removed": Shape(
        f"{LANGCHAIN}/modifier.py",
        [
            [
                {"type": "human", "data": {"content": "When is high tide?", "id": "h1"}},
                {"type": "ai", "data": {"content": "Soon.", "id": "a1"}},
                {"type": "remove", "data": {"content": "", "id": "a1"}},
                {"type": "ai", "data": {"content": "At 6.", "id": "a2"}},
            ]
        ],
        {"file": BOTH},
    ),
    "langchain: all messages that were removed": Shape(
        "https://github.com/langchain-ai/langgraph/blob/main/libs/langgraph/langgraph/graph/message.py",
        [
            {
                "messages": [
                    {"type": "human", "data": {"content": "When is low tide?", "id": "h0"}},
                    {"type": "remove", "data": {"content": "", "id": "__remove_all__"}},
                    {"type": "human", "data": {"content": "When is high tide?", "id": "h1"}},
                    {"type": "ai", "data": {"content": "At 6.", "id": "a2"}},
                ]
            }
        ],
        {"file": BOTH},
    ),
    "sharegpt: a system message and tools": Shape(
        AXOLOTL,
        [
            {
                "conversations": [
                    {"from": "system", "value": "Be calm."},
                    {"from": "human", "value": "When is high tide?", "weight": 0},
                    {"from": "gpt", "value": "At 6.", "weight": 1},
                ],
                "tools": "[]",
            }
        ],
        {"file": ["system: Be calm.", *BOTH]},
    ),
    "sharegpt: roles and contents": Shape(AXOLOTL, [{"conversations": [ASK, TELL]}], {"file": BOTH}),
    "sharegpt: names as roles": Shape(
        "https://huggingface.co/datasets/kingbri/PIPPA-shareGPT/blob/main/README.md",
        [{"conversations": [{"from": "CHARACTER", "value": "Ahoy."}, {"from": "USER", "value": "Hello."}]}],
        {"file": ["CHARACTER: Ahoy.", "USER: Hello."]},
    ),
    "adk: a call, its result and a state": Shape(
        ADK,
        [
            {
                "id": "s1",
                "app_name": "tides",
                "user_id": "ada",
                "events": [
                    event("user", {"text": "When is high tide?"}, timestamp=T),
                    event(
                        "pilot",
                        {"function_call": {"id": "f1", "name": "tides"}},
                        timestamp=T + 1,
                        long_running_tool_ids=["f1"],
                    ),
                    {
                        "id": "e9",
                        "author": "pilot",
                        "timestamp": T + 2,
                        "content": {
                            "role": "user",
                            "parts": [{"function_response": {"id": "f1", "response": {"at": 6}}}],
                        },
                    },
                    event(
                        "pilot", {"text": "At "}, {"text": "6."}, timestamp=T + 3, actions={"state_delta": {"at": 6}}
                    ),
                ],
            }
        ],
        {"s1": [BOTH[0], "assistant: [pilot]", "assistant: [pilot]", "assistant: At \n6."]},
    ),
    "adk: a transfer and an error": Shape(
        "https://adk.iqai.com/docs/framework/events/event-actions",
        [
            {
                "id": "s1",
                "appName": "tides",
                "userId": "ada",
                "events": [
                    {
                        "id": "e1",
                        "author": "pilot",
                        "timestamp": T,
                        "actions": {"transferToAgent": "mate", "stateDelta": {}},
                    },
                    {
                        "id": "e2",
                        "author": "mate",
                        "timestamp": T + 1,
                        "errorCode": "LIMIT",
                        "errorMessage": "Too many.",
                    },
                    {
                        "id": "e3",
                        "author": "mate",
                        "timestamp": T + 2,
                        "actions": {"stateDelta": {}, "artifactDelta": {}},
                    },
                ],
            }
        ],
        {"s1": ["assistant: [pilot]", "assistant: [mate]"]},
    ),
    "letta: calls and their results": Shape(
        LETTA,
        [
            {
                "agents": [
                    {
                        "id": "agent-0",
                        "name": "pilot",
                        "in_context_message_ids": ["message-0"],
                        "messages": [
                            {
                                "id": "message-0",
                                "type": "message",
                                "role": "user",
                                "content": [{"type": "text", "text": "When is high tide?"}],
                            },
                            {
                                "id": "message-1",
                                "type": "message",
                                "role": "assistant",
                                "content": [],
                                "tool_calls": [
                                    {"id": "t1", "type": "function", "function": {"name": "tides", "arguments": "{}"}}
                                ],
                            },
                            {
                                "id": "message-2",
                                "type": "message",
                                "role": "tool",
                                "content": [{"type": "text", "text": "6"}],
                                "tool_call_id": "t1",
                                "tool_returns": [{"status": "success"}],
                                "created_at": NOW,
                            },
                        ],
                    }
                ],
                "blocks": [{"id": "block-0", "label": "human", "value": "A sailor."}],
                "tools": [{"id": "tool-0", "name": "tides"}],
            }
        ],
        {"agent-0": [BOTH[0], "assistant: [tides]", "tool: 6"], "": ["A sailor."]},
    ),
    "mem0: memories and relations": Shape(
        "https://github.com/mem0ai/mem0/blob/main/mem0/memory/graph_memory.py",
        [
            {
                "results": [
                    {
                        "id": "m1",
                        "memory": "Sails on Sundays.",
                        "categories": ["hobby"],
                        "hash": "h",
                        "user_id": "ada",
                        "created_at": "2026-01-02T03:04:05Z",
                        "updated_at": None,
                        "score": 0.5,
                    }
                ],
                "relations": [
                    {"source": "ada", "relationship": "sails_with", "target": "bo"},
                    {"source": "ada", "relationship": "lives_in", "destination": "brest"},
                ],
            }
        ],
        {"": ["Sails on Sundays.", "ada sails with bo", "ada lives in brest"]},
    ),
    "mem0: a run's memories in a list": Shape(
        "https://docs.mem0.ai/api-reference/memory/get-memories",
        [[{"id": "m1", "memory": "Sails on Sundays.", "run_id": "trip", "agent_id": "pilot", "metadata": None}]],
        {"trip": [": Sails on Sundays."]},
    ),
    "gemini: activities that name their conversation": Shape(
        f"{NEXUS}gemini/gemini-types.ts",
        [
            {
                "header": "Gemini Apps",
                "title": "Prompted When is high tide?",
                "time": "2026-01-02T03:04:05.008Z",
                "products": ["Gemini Apps"],
                "activityControls": ["Gemini Apps Activity"],
                "details": [{"name": "Chat", "url": "https://gemini.google.com/app/a1b2"}],
                "safeHtmlItem": [{"html": "<p>At <b>6.</b></p>"}],
                "attachedFiles": ["chart.pdf"],
            }
        ],
        {"a1b2": BOTH},
    ),
    "gemini: an uploaded image": Shape(
        f"{NEXUS}gemini/gemini-types.ts",
        [
            {
                "header": "Gemini Apps",
                "title": "Prompted When is high tide?",
                "time": "2026-01-02T03:04:05Z",
                "subtitles": [{"name": "Attached 1 file", "url": "https://example.org/i"}],
                "imageFile": "chart.png",
                "products": ["Gemini Apps"],
                "locationInfos": [{"name": "About this area"}],
                "safeHtmlItem": [{"html": "At 6."}],
            }
        ],
        {"file": BOTH},
    ),
    "ai studio: a prompt with thoughts": Shape(
        "https://github.com/mshafiee/aistudio2md/blob/main/aistudio2md.py",
        [
            {
                "runSettings": {"model": "models/m", "temperature": 1.0},
                "systemInstruction": {"parts": [{"text": "Be calm."}]},
                "chunkedPrompt": {
                    "chunks": [
                        {"text": "When is high tide?", "role": "user", "tokenCount": 5},
                        {"text": "The moon is full.", "role": "model", "isThought": True, "tokenCount": 4},
                        {
                            "text": "At 6.",
                            "role": "model",
                            "finishReason": "STOP",
                            "parts": [{"text": "At "}, {"text": "6."}],
                        },
                    ],
                    "pendingInputs": [{"text": "", "role": "user"}],
                },
            }
        ],
        {"file": ["system: Be calm.", BOTH[0], "assistant: []", BOTH[1]]},
    ),
    "ai studio: a file of Drive, times and citations": Shape(
        "https://github.com/Sinity/polylogue/blob/main/docs/providers/gemini.md",
        [
            {
                "runSettings": {"model": "models/m", "safetySettings": []},
                "citations": [{"uri": "https://example.org/tides"}],
                "systemInstruction": {},
                "chunkedPrompt": {
                    "chunks": [
                        {"driveDocument": {"id": "d1"}, "role": "user", "tokenCount": 9, "createTime": NOW},
                        {"text": "When is high tide?", "role": "user", "tokenCount": 5, "createTime": NOW},
                        {"text": "At 6.", "role": "model", "finishReason": "STOP", "createTime": NOW},
                    ]
                },
            }
        ],
        {"file": ["user: []", *BOTH]},
    ),
}
