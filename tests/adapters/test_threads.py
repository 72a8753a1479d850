"""How often a coroutine of an adapter goes to a thread and back: once, by the source of all adapters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from memory import adapters

FOLDER = Path(adapters.__file__).parent
TO_A_THREAD = frozenset({"acall", "run", "_run", "_async", "_change", "aerase_user"})
"""Names of methods that go to a thread once."""

SEVERAL = {
    "alist of saver.py": 2,  # the first page, and each page after it
    "run_compaction of openai_agents.py": 2,  # the model is asked between them
}


def coroutines() -> Iterator[tuple[str, int]]:
    """Each coroutine, and in how many places it goes to a thread."""
    for file in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef):
                awaited = (each.value for each in ast.walk(node) if isinstance(each, ast.Await))
                calls = (each.func for each in awaited if isinstance(each, ast.Call))
                hops = sum(isinstance(func, ast.Attribute) and func.attr in TO_A_THREAD for func in calls)
                yield f"{node.name} of {file.name}", hops


def test_a_coroutine_goes_to_a_thread_once() -> None:
    """So reads and writes of one call are one function on a thread."""
    found = list(coroutines())
    assert sum(hops for _, hops in found) > 40
    assert {name: hops for name, hops in found if hops > 1} == SEVERAL
