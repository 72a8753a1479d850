"""Which rows of shared tables name a person."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memory.lifecycle.digests import digest
from memory.lifecycle.naming import Person, log_names, task_names

SALT = "00" * 16
LONG = "0123456789abcdef"
ADA = Person(SALT, digest(SALT, "ada"), {"memory_items": {digest(SALT, LONG), digest(SALT, "short")}})


@pytest.mark.parametrize(
    ("path", "arguments", "named"),
    [
        ("memory.tasks.pack", {"args": ["memory", "ada"], "kwargs": {}}, True),
        ("memory.tasks.embed", {"args": [[LONG]], "kwargs": {"using": "memory"}}, True),
        ("memory.tasks.embed", {"args": [["short"]], "kwargs": {}}, False),
        ("memory.tasks.pack", {"args": ["memory", "bob"], "kwargs": {}}, False),
        ("shop.tasks.bill", {"args": ["ada"], "kwargs": {}}, False),
    ],
)
@pytest.mark.parametrize("form", [dict, json.dumps])
def test_queued_tasks(path: str, arguments: dict[str, Any], named: bool, form: Any) -> None:
    """Those of the app with the person's id, or a long id of an erased record; as JSON or as its text."""
    assert task_names({"task_path": path, "args_kwargs": form(arguments)}, ADA) is named


@pytest.mark.parametrize(
    ("person", "title", "named"),
    [
        ("ada", "ada: hello", True),
        ("ada", "ada", True),
        ("ada", "ada:1: hello", False),
        ("ada", "adam: hello", False),
        ("ada", "bob: ada: hello", False),
        ("user:1", "user:1: hello: world", True),
        ("user:1", "user:12: hello", False),
        ("user", "user:1: hello", False),
        ("a: b", "a: b: hello", True),
    ],
)
def test_titles_in_the_log(person: str, title: str, named: bool) -> None:
    """They begin with the id, which may have colons."""
    who = Person(SALT, digest(SALT, person), {})
    assert log_names({"table": "memory_items", "object_id": "1", "object_repr": title}, who) is named
    assert not log_names({"table": "", "object_id": "1", "object_repr": title}, who)
