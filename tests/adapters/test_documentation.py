"""The examples of docs/adapters/ run."""

import ast
import inspect
from collections.abc import Coroutine
from types import CodeType

import pytest
from asgiref.sync import async_to_sync

from tests.adapters import ADAPTERS, is_installed
from tests.docs.snippets import ROOT, snippets

PAGES = [
    ROOT / f"docs/adapters/{name.replace('_', '-')}.md" for name, module in ADAPTERS.items() if is_installed(module)
]


@pytest.mark.django_db(transaction=True, databases=["default", "memory"])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_run(page) -> None:  # type: ignore[no-untyped-def]
    """As they are, one after the other; their own assertions hold."""
    names: dict[str, object] = {"__name__": "example"}
    examples = [snippet.text for snippet in snippets(page) if snippet.language == "python"]
    for example in examples:
        code: CodeType = compile(example, page.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)  # noqa: S307
        if inspect.iscoroutine(result):
            async_to_sync(awaited)(result)
    assert examples


async def awaited(coroutine: Coroutine[object, object, None]) -> None:
    """The end of an example with `await`."""
    await coroutine
