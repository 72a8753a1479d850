"""What hostile data costs: searches of many distinct words, and pages of items of 1 MB.

    python -m benchmarks.bounds

On new SQLite files, or on the emulator if `FIRESTORE_EMULATOR_HOST` is set, in projects of its own. Each case runs in a
process of its own, and those of the same data follow each other: on SQLite each gets a copy of the files; on the
emulator a memory without an index is stored for each case, since a search makes its index. Prints CPU seconds and the
growth of memory (RSS) at its peak, and fails if a search takes more than `MOST_CPU_SECONDS` or a case more than
`MOST_GROWTH`. What a process loads once is a case of its own, without a bound, and is loaded before the searches.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import string
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
MOST_CPU_SECONDS, MOST_GROWTH = 1.0, 200 * MIB
ASKED = "apple banana cherry grape lemon mango olive peach plum quince"
LARGE, COUNT = 1_000_000, 200
BATCH = 5
MANY = 1_000
HAN = range(0x4E00, 0x9FFF)
LOADING = "loading of the models"


def words(count: int) -> str:
    """Words that no other text has."""
    return " ".join("".join(random.choices(string.ascii_lowercase, k=7)) for _ in range(count))


TEXTS: Mapping[str, tuple[int, Callable[[], str]]] = {
    "distinct words": (400, lambda: f"{ASKED} {words(5_600)}"),
    "short texts": (2_000, lambda: f"{ASKED} {words(50)}"),
    "many short texts": (20_000, lambda: f"{ASKED} {words(50)}"),
    "texts of 32 KB": (500, lambda: f"{ASKED} {words(4_000)}"),
    "texts of 1 MB": (100, lambda: f"{ASKED} {words(5_600)} {'padding ' * 115_000}😀"),
    "large metadata": (40, lambda: f"{ASKED} {words(20)}"),
    "punctuation": (300, lambda: f"{ASKED} {'.' * 45_000}"),
    "one long word": (300, lambda: f"{ASKED} {'x' * 45_000}"),
    "no spaces": (300, lambda: f"{ASKED} {''.join(map(chr, random.choices(HAN, k=15_000)))}"),
}
"""Kinds of texts: how many, and one of them."""
METADATA: Mapping[str, Any] = {"large metadata": {"numbers": list(range(60_000))}}
"""The metadata of items of some kinds."""
FILTERS: Mapping[str, Mapping[str, Any]] = {
    "of a type that all have": {"item_type": "message"},
    "of a type that none has": {"item_type": "fact"},
    "with metadata that none has": {"metadata__topic": "art"},
}
"""Filters that the index does not know. The memories of these searches are larger than what a search reads."""


@contextmanager
def peak() -> Iterator[Callable[[], int]]:
    """Yields a function that returns the most bytes that the process has taken since the beginning."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before, most, ended = resident(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            most[0] = max(most[0], resident() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: most[0]
    finally:
        ended.set()
        thread.join()


def client() -> Any:
    """A client of the API, and of the admin, of a superuser."""
    from django.contrib.auth import get_user_model
    from rest_framework.test import APIClient

    user = get_user_model().objects.create_superuser("u")
    made = APIClient()
    made.force_authenticate(user)
    made.force_login(user)
    return made


def store(count: int, text: Callable[[], str], *, indexed: bool = False, metadata: Any = None) -> None:
    """Items of one user and session."""
    from memory.models import MemoryItem

    at_once = BATCH if count < MANY else MANY // 10
    for _ in range(0, count, at_once):
        items = [
            MemoryItem(user_id="u", session_id="s", item_type="message", text_content=text(), metadata=metadata or {})
            for _ in range(at_once)
        ]
        MemoryItem.objects.bulk_create(items)
    if indexed:
        from memory.search.packing import pack

        pack("u", MemoryItem.objects.db)


def search(limit: int, filters: Mapping[str, Any] | None = None) -> None:
    """One search, the first of this memory in the process."""
    from memory.models import MemoryItem

    load()
    items = MemoryItem.objects.for_user("u").filter(**filters or {})
    measured(lambda: items.search(ASKED, limit=limit))


def load() -> None:
    """What a process does once: it loads the models and their matrices, with one search and one item of each way."""
    from memory.conf import memory_settings
    from memory.models import MemoryItem

    MemoryItem.objects.for_user("nobody").search("hello", limit=1)
    embedder = memory_settings.embedder
    if embedder is not None:
        embedder.embed_documents(["hello"])
    if quickly := getattr(embedder, "embed_quickly", None):
        quickly(["hello"])


def page(path: str) -> None:
    """One page, or a stream that is read to its end."""
    browser = client()

    def read() -> int:
        response = browser.get(path)
        assert response.status_code == 200, response
        return len(b"".join(response)) if response.streaming else len(response.content)

    measured(read)


def export() -> None:
    """The lines of an export."""
    from memory.interchange.export import json_lines

    measured(lambda: sum(map(len, json_lines(["MemoryItem"]))))


def measured(work: Callable[[], Any]) -> None:
    """Prints CPU seconds and the growth of memory."""
    with peak() as most:
        started = time.process_time()
        work()
        seconds = time.process_time() - started
    print(f"{seconds:.3f} {most()}")


@dataclass(frozen=True)
class Data:
    """What is stored for some cases: a kind of texts, without or with an index, or `PAGES`."""

    kind: str
    indexed: bool = False

    def store(self) -> None:
        """Store it."""
        count, text = TEXTS.get(self.kind, (COUNT, lambda: "x" * LARGE))
        store(count, text, indexed=self.indexed, metadata=METADATA.get(self.kind))


@dataclass(frozen=True)
class Case:
    """What is measured, of which data; None: of an empty database."""

    work: Callable[[], None]
    data: Data | None = None


PAGES = "pages"
CASES: Mapping[str, Case] = {
    LOADING: Case(lambda: measured(load)),
    **{f"search, {kind}, {state}, limit {limit}": Case(partial(search, limit), Data(kind, state == "indexed"))
       for kind in TEXTS for state in ("indexed", "new") for limit in (10, 100)},
    **{f"search, {kind}, indexed, limit 100, {name}": Case(partial(search, 100, filters), Data(kind, indexed=True))
       for kind in ("distinct words", "many short texts") for name, filters in FILTERS.items()},
    "API: 200 items of 1 MB": Case(partial(page, "/api/memory-items/?limit=200"), Data(PAGES)),
    "API: history of 200": Case(partial(page, "/api/sessions/u:s/history/?limit=200"), Data(PAGES)),
    "admin: list": Case(partial(page, "/admin/memory/memoryitem/"), Data(PAGES)),
    "admin: show all": Case(partial(page, "/admin/memory/memoryitem/?all="), Data(PAGES)),
    "export": Case(export, Data(PAGES)),
}  # fmt: skip


def run(case: str, prepare: bool) -> None:
    """Store the data of a case, or measure it, in this process."""
    import django
    from django.core.management import call_command

    django.setup()
    if not prepare:
        CASES[case].work()
        return
    for alias in ("default", "memory"):
        call_command("migrate", database=alias, verbosity=0)
    if (data := CASES[case].data) is not None:
        data.store()


@dataclass
class Prepared:
    """The data of the last case, and the variables of the databases that have it."""

    folder: Path
    data: Data | None = None
    variables: Mapping[str, str] | None = None

    def of(self, case: str) -> Mapping[str, str]:
        """The variables of databases with a case's data, stored unless the last case had the same."""
        wanted = CASES[case].data
        on_emulator = bool(os.environ.get("FIRESTORE_EMULATOR_HOST"))
        is_kept = wanted is not None and (wanted.indexed or wanted.kind == PAGES or not on_emulator)
        if self.variables is None or wanted != self.data or not is_kept:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir()
            self.data, self.variables = wanted, databases(str(self.folder))
            process(case, self.variables, "--prepare")
        return self.variables


def process(case: str, variables: Mapping[str, str], *more: str) -> str:
    """Run one case, or its preparation, in a process of its own; what it prints."""
    environment = {**os.environ, **variables, "APP_ENV": "test", "DJANGO_SETTINGS_MODULE": "settings"}
    command = [sys.executable, "-m", "benchmarks.bounds", "--case", case, *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout  # noqa: S603


def copied(variables: Mapping[str, str], source: Path, target: Path) -> Mapping[str, str]:
    """The variables of a copy of SQLite's files; a project of the emulator is the same."""
    shutil.copytree(source, target)
    return {name: value.replace(str(source), str(target)) for name, value in variables.items()}


def databases(folder: str) -> dict[str, str]:
    """The variables of the service's databases: SQLite files in a folder, or a project of the emulator."""
    files = {name: f"sqlite:////{folder.lstrip('/')}/{name}" for name in ("DATABASE_URL", "MEMORY_DATABASE_URL")}
    if not os.environ.get("FIRESTORE_EMULATOR_HOST"):
        return files
    return {"DATABASE_URL": files["DATABASE_URL"], "GCP_PROJECT_ID": f"bounds-{uuid.uuid4().hex[:12]}"}


def main() -> int:
    """All cases; the number of those above the bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--only", default="", help="the cases whose names contain this")
    parser.add_argument("--prepare", action="store_true", help="store the data of the case, and measure nothing")
    given = parser.parse_args()
    if given.case:
        run(given.case, given.prepare)
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        prepared, copy = Prepared(Path(folder, "prepared")), Path(folder, "copy")
        # Those of the same data follow each other.
        for case in sorted((case for case in CASES if given.only in case), key=order):
            out = process(case, copied(prepared.of(case), prepared.folder, copy))
            shutil.rmtree(copy)
            failed += shown(case, float(out.split()[-2]), int(out.split()[-1]))
    return failed


def order(case: str) -> tuple[int, int]:
    """Cases of the same data together, otherwise as in `CASES`."""
    names, data = list(CASES), CASES[case].data
    first = next(number for number, name in enumerate(names) if CASES[name].data == data)
    return first, names.index(case)


def shown(case: str, seconds: float, growth: int) -> bool:
    """Print the figures of a case; whether it is above the bounds."""
    above = case != LOADING and (growth > MOST_GROWTH or (case.startswith("search") and seconds > MOST_CPU_SECONDS))
    print(f"{case:40} {seconds:6.2f} CPU-s {growth / MIB:6.0f} MiB{'  above' if above else ''}", flush=True)
    return above


if __name__ == "__main__":
    sys.exit(main())
