"""References of README and docs exist: files, headings, commands, modules; and their snippets parse."""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands

from .snippets import ROOT, Snippet, anchors, documents, snippets

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SNIPPETS = [snippet for file in documents() for snippet in snippets(file)]
LANGUAGES = {"bash", "python", "typescript", "json", "jsonl", "yaml", "text", "http"}


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_somewhere(file: Path) -> None:
    """Links inside the repository, with their anchors."""
    for link in LINK.findall(re.sub(r"```.*?```", "", file.read_text(), flags=re.DOTALL)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_path_in_code_quotes_exists(file: Path) -> None:
    """A path below one of the project's folders that is written as code."""
    for path in re.findall(
        r"`((?:memory|orchestra|settings|tests|docs|deploy|benchmarks)/[\w./-]*)`", file.read_text()
    ):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_command_is_known(file: Path) -> None:
    """`manage.py NAME` is a command of Django or ours, `make NAME` a target, everywhere in the text."""
    text = file.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) <= set(get_commands())
    assert set(re.findall(r"`make ([a-z]+)", text)) | set(re.findall(r"^make ([a-z]+)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("snippet", SNIPPETS, ids=str)
def test_every_snippet_names_a_language_and_can_be_read(snippet: Snippet) -> None:
    """JSON and YAML parse, Python compiles, and its imports from this repository exist."""
    assert snippet.language in LANGUAGES
    match snippet.language:
        case "json":
            json.loads(snippet.text)
        case "jsonl":
            assert [json.loads(line) for line in snippet.text.splitlines()]
        case "yaml":
            assert yaml.safe_load(snippet.text)
        case "python":
            _assert_imports(
                compile(snippet.text, snippet.file, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            )


def _assert_imports(module: ast.AST) -> None:
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("memory", "orchestra"):
            if node.module.startswith("memory.adapters."):
                names = _names_of_adapter(node.module)
                assert {alias.name for alias in node.names} <= names, ast.unparse(node)
                continue
            found = importlib.import_module(node.module)
            assert all(hasattr(found, alias.name) for alias in node.names), ast.unparse(node)


def _names_of_adapter(module: str) -> set[str]:
    """`__all__` of an adapter, which cannot be imported without its framework."""
    path = ROOT / module.replace(".", "/")
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    return set(ast.literal_eval(re.findall(r"^__all__ = (\[.*?\])", text, re.MULTILINE | re.DOTALL)[0]))


def test_the_readme_has_no_name_of_a_machine() -> None:
    """Nothing that only its authors' machines have."""
    for file in documents():
        assert not re.search(r"/work/|/root/|/home/(?!user)", file.read_text()), file
