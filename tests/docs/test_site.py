"""The documentation site is built offline without a warning, and its pages request nothing from other hosts."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest

from tests import backends, live

from .snippets import ROOT, documents

# Every connection but those of this machine's sockets fails in the process that builds the site.
WITHOUT_NETWORK = """
import socket

def refuse(*args, **kwargs):
    raise OSError("the site is built offline")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""
REFERENCES = {"href", "src", "srcset", "action", "data", "poster"}
# What readers click is not requested with the page.
CLICKED = {("a", "href")}


class Page(HTMLParser):
    """A page's ids, and all addresses in it, by element and attribute."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.addresses: list[tuple[str, str, str]] = []
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect."""
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in REFERENCES and value is not None:
                self.addresses.append((tag, name, value))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built by the command of `make docs`, where it may write."""
    if importlib.util.find_spec("sphinx") is None and not backends.required():
        pytest.skip("Sphinx is missing: install requirements-dev.txt")
    folder = tmp_path_factory.mktemp("site")
    (rule,) = re.findall(r"^docs:.*\n\t\$\(BIN\)/python (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    (folder / "sitecustomize.py").write_text(WITHOUT_NETWORK)
    arguments = rule.replace("build/", f"{folder}/").split()
    assert "-W" in arguments
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": f"{live.executables()}:/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "docs"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Every page of the site."""
    return {file: Page(file) for file in sorted(site.rglob("*.html"))}


def test_every_document_is_a_page(site: Path, pages: dict[Path, Page]) -> None:
    """At its path in the repository; the first page leads to `docs/index.md`."""
    assert {site / file.relative_to(ROOT).with_suffix(".html") for file in documents()} <= set(pages)
    assert ("a", "href", "docs/index.html") in pages[site / "index.html"].addresses


def test_the_links_of_llms_txt_work_on_the_site(site: Path) -> None:
    """The file is at the root, and the sources of the pages are beside the pages."""
    links = re.findall(r"\]\(([^)]+)\)", (site / "llms.txt").read_text())
    assert links
    assert [link for link in links if (site / link).read_text() != (ROOT / link).read_text()] == []


def external(pages: dict[Path, Page]) -> Iterator[str]:
    for file, page in pages.items():
        for tag, name, value in page.addresses:
            if (tag, name) not in CLICKED and (urlparse(value).netloc or value.startswith("//")):
                yield f"{file.name}: <{tag} {name}={value}>"


def test_pages_request_nothing_from_other_hosts(site: Path, pages: dict[Path, Page]) -> None:
    """Scripts, styles, fonts and images are the site's own."""
    assert list(external(pages)) == []
    for file in site.rglob("*.css"):
        found = re.findall(
            r"url\(\s*[\"']?((?:https?:)?//[^)\"']*)|@import\s+[\"']((?:https?:)?//[^\"']*)", file.read_text()
        )
        assert found == [], file.name


def test_every_link_of_the_site_leads_to_a_page_and_an_anchor(site: Path, pages: dict[Path, Page]) -> None:
    """Links between pages, to headings, and to files that the pages use."""
    missing = []
    for file, page in pages.items():
        for _, _, value in page.addresses:
            address, anchor = urldefrag(value)
            if urlparse(value).scheme or urlparse(value).netloc or not (address or anchor):
                continue
            target = (file.parent / unquote(address.partition("?")[0])).resolve() if address else file
            known = pages.get(target)
            if not target.exists() or (anchor and known and unquote(anchor) not in known.ids | {"", "#"}):
                missing.append(f"{file.relative_to(site)}: {value}")
    assert missing == []


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("models", ("MemoryItem", "AgentData", "UserSession")),
        ("querysets", ("MemoryItemQuerySet.search", "RecordQuerySet.recent")),
        ("stores", ("MemoryManager.add_memory_item", "MemoryManagerStub", "get_memory_manager")),
        ("exceptions", ("StorageError", "ValidationError")),
        ("conf", ("MemorySettings.database",)),
        ("engine", ("run_in_transaction", "fetch", "MirrorWarning", "ServerTimingMiddleware", "assert_num_rpcs")),
        ("testing", ("MemoryManagerContract", "firestore_emulator")),
    ],
)
def test_the_reference_has_the_public_names(
    pages: dict[Path, Page], site: Path, page: str, names: tuple[str, ...]
) -> None:
    """Each has an anchor, made from its docstring."""
    ids = pages[site / "docs/reference" / f"{page}.html"].ids
    for name in names:
        assert any(anchor.endswith(f".{name}") for anchor in ids), name
