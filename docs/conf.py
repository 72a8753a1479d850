"""Sphinx's configuration of the documentation site: `make docs` writes it to `build/docs/`."""

from __future__ import annotations

import os
import re
import sys
from itertools import groupby
from pathlib import Path
from shutil import copy
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# Settings of the documented modules: no `.env`, no service.
os.environ |= {"APP_ENV": "test", "DJANGO_SETTINGS_MODULE": "settings", "ENV_FILE": os.devnull}

import django  # noqa: E402

django.setup()

from django.db.models import Field, Model  # noqa: E402
from django.db.models.base import ModelBase  # noqa: E402
from pygments.lexers.data import JsonLexer  # noqa: E402
from sphinx.highlighting import lexers  # noqa: E402

from memory.version import __version__  # noqa: E402

lexers["jsonl"] = JsonLexer()

project = "orchestra-memory"
author = "orchestra-memory contributors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
# The sources' folder is the repository, so that links between README and `docs/` are those of the repository.
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = [".*", *(path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "docs")]
templates_path = ["templates"]
html_extra_path = ["../llms.txt"]
html_additional_pages = {"index": "redirect.html"}
language = "en"
# Headings of docs/ecosystem.md, which a script writes.
suppress_warnings = ["myst.header"]

html_theme = "furo"
html_title = f"{project} {version}"
html_copy_source = html_show_sourcelink = False
html_favicon = None
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # links such as `engine.md#indexes`

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
# Docstrings mark code with single backquotes.
default_role = "code"


def escaped(line: str) -> str:
    """A docstring's line without reStructuredText's markup, but for code in backquotes."""
    parts = re.split(r"(`[^`]+`)", line)
    parts[::2] = [re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"`{part}`" for part in parts[1::2]]
    return "".join(parts)


def fields_of(model: type[Model]) -> list[str]:
    """A model's columns, as a list: name, type, help text."""
    columns = [field for field in model._meta.get_fields() if isinstance(field, Field) and field.concrete]
    lines = [f"- `{field.name}`: `{type(field).__name__}`. {field.help_text}".rstrip() for field in columns]
    return ["", "Fields:", "", *map(escaped, lines), ""] if lines else []


def is_example(block: list[str]) -> bool:
    """Whether a docstring's block is shown as it is written: indented code, or a tree."""
    return all(line.startswith("    ") for line in block) or any(line.startswith(("├", "└")) for line in block)


def restructured(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText. Docstrings here are paragraphs, lists, code in backquotes, and examples."""
    found: list[str] = []
    for blank, grouped in groupby(lines, key=lambda line: not line.strip()):
        block = list(grouped)
        if blank:
            found += block
        elif is_example(block):
            found += ["::", "", *(f"    {line}" for line in block)]
        else:
            found += map(escaped, block)
    return found


def on_docstring(app: Any, what: str, name: str, documented: Any, options: Any, lines: list[str]) -> None:
    """Docstrings of the reference. A model's columns follow its docstring."""
    lines[:] = restructured(lines)
    if isinstance(documented, ModelBase) and hasattr(documented, "_meta"):
        lines += fields_of(documented)


def on_build_finished(app: Any, error: Exception | None) -> None:
    """Put the pages' sources beside the pages, where the links of `llms.txt` find them."""
    if error is None:
        for name in app.env.found_docs:
            copy(app.env.doc2path(name), app.outdir / f"{name}.md")


def setup(app: Any) -> None:
    """Connect the functions above."""
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("build-finished", on_build_finished)
