"""The examples of docs/adapters/ run."""

import ast
import inspect
from importlib.util import find_spec
from types import CodeType

import pytest
from asgiref.sync import async_to_sync

from tests.docs.snippets import ROOT, snippets

PAGES = {
    "google.adk": "adk.md",
    "crewai": "crewai.md",
    "langgraph": "langgraph.md",
    "agents": "openai-agents.md",
    "langchain_core": "langchain.md",
    "llama_index": "llama-index.md",
}
FOUND = [ROOT / "docs/adapters" / page for framework, page in PAGES.items() if find_spec(framework) is not None]


@pytest.mark.django_db(transaction=True, databases=["default", "memory"])
@pytest.mark.parametrize("page", [page for page in FOUND if page.exists()], ids=lambda page: page.name)
def test_the_first_example_runs(page) -> None:  # type: ignore[no-untyped-def]
    """As it is; its own assertions hold."""
    [first, *_] = [snippet.text for snippet in snippets(page) if snippet.language == "python"]
    code: CodeType = compile(first, page.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, object] = {"__name__": "example"}
    result = eval(code, names)  # noqa: S307
    if inspect.iscoroutine(result):

        async def awaited() -> None:
            await result

        async_to_sync(awaited)()
    assert names
