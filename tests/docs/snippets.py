"""README and docs as tests read them: their snippets, links, and the headings above them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """A fenced block. `heading` is the nearest one above it."""

    file: str
    heading: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.file} {self.heading}"


def documents() -> list[Path]:
    """The documents at the root, and docs."""
    names = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
    return [*(ROOT / name for name in names), *sorted((ROOT / "docs").glob("**/*.md"))]


@cache
def snippets(file: Path) -> list[Snippet]:
    """A document's snippets, in their order."""
    text, found = file.read_text(), []
    for match in FENCE.finditer(text):
        headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text[: match.start()]), flags=re.MULTILINE)
        indent, language, body = match.groups()
        found.append(
            Snippet(
                str(file.relative_to(ROOT)),
                headings[-1] if headings else "",
                language,
                re.sub(f"^{indent}", "", body, flags=re.MULTILINE),
            )
        )
    return found


def below(file: Path, heading: str, language: str = "") -> list[str]:
    """The texts of the snippets below a heading; fails if there are none."""
    found = [
        snippet.text for snippet in snippets(file) if snippet.heading == heading and language in ("", snippet.language)
    ]
    assert found, f"{file.name} has no {language} snippet below {heading!r}"
    return found


def anchors(file: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", file.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
