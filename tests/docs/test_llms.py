"""llms.txt lists all pages in the form of https://llmstxt.org, and every link leads to a file."""

from __future__ import annotations

import re

from .snippets import ROOT, documents

TEXT = (ROOT / "llms.txt").read_text()
LINKS = re.findall(r"\[[^\]]+\]\(([^)]+)\)", TEXT)


def test_every_link_exists() -> None:
    """Relative to the root of the repository and of the site, which has the pages' sources too."""
    assert [link for link in LINKS if not (ROOT / link).is_file()] == []
    assert len(LINKS) == len(set(LINKS))


def test_every_document_is_listed() -> None:
    """Pages of the reference are behind its index."""
    pages = {str(file.relative_to(ROOT)) for file in documents()}
    assert {page for page in pages if not page.startswith("docs/reference/")} <= set(LINKS)


def test_the_form() -> None:
    """A title, a quoted summary, and sections of lists."""
    title, rest = TEXT.split("\n\n", 1)
    assert title == "# orchestra-memory"
    assert rest.startswith("> ")
    sections = rest.split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections][-1] == "Optional"
    assert all(line.startswith("- [") for section in sections for line in section.splitlines()[1:] if line)
