"""What the indexes of the admin's lists cost a write on SQL databases: `python -m benchmarks.indexes [--rounds 9]`.

Two databases, with and without the indexes, are written in turns. Prints the ratio of the CPU time of this process,
which is the whole cost on SQLite; bytes of the database for each row; and on PostgreSQL, whose server does the work,
bytes of its log for each row, which do not depend on the load.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import django
from django.conf import settings

INDEXES: Final = ("memory_items_type_time", "memory_items_persona_time", "agent_data_type_time")
"""Those of migration 0009 on tables that had been there."""

ALIASES: Final = ("default", "without")
BULK, SINGLE = 500, 50


def configure(kind: str, folder: str) -> None:
    """Two databases of the kind."""
    if kind == "sqlite":
        databases = {
            alias: {"ENGINE": "memory.backends.sqlite", "NAME": f"{folder}/{alias}.sqlite3"} for alias in ALIASES
        }
    else:
        import dj_database_url  # is installed with the development requirements

        from tests import postgres

        databases = {alias: dict(dj_database_url.parse(postgres.url())) for alias in ALIASES}
        databases["without"]["NAME"] = "without_indexes"
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "memory"],
        USE_TZ=True,
        DATABASES=databases,
        MEMORY={"CACHE": None, "EMBEDDER": None, "INDEX_AFTER": 0},
    )
    django.setup()


def prepare(kind: str) -> None:
    """The tables of both databases, and the indexes of one."""
    from django.core.management import call_command
    from django.db import connections

    if kind == "postgresql":
        with connections["default"].cursor() as cursor:
            cursor.execute("CREATE DATABASE without_indexes")
    for alias in ALIASES:
        call_command("migrate", database=alias, verbosity=0)
    with connections["without"].cursor() as cursor:
        for name in INDEXES:
            cursor.execute(f"DROP INDEX {name}")


def stored(alias: str) -> int:
    """The bytes of a database: of its file, or of its tables and indexes."""
    from django.db import connections

    sql = "SELECT pg_database_size(current_database())"
    if connections[alias].vendor == "sqlite":
        sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchone()[0])


@contextmanager
def logged(alias: str, counted: list[int]) -> Iterator[None]:
    """Adds the bytes that PostgreSQL's log grows by; 0 on SQLite."""
    from django.db import connections

    def position() -> int:
        if connections[alias].vendor == "sqlite":
            return 0
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
            return int(cursor.fetchone()[0])

    before = position()
    yield
    counted.append(position() - before)


def write(alias: str, number: int) -> dict[str, float]:
    """CPU seconds of single creates and of a bulk."""
    from memory.models import AgentData, MemoryItem

    def item(n: int) -> Any:
        return MemoryItem(user_id=f"u{n % 50}", session_id=f"s{n % 7}", item_type="message", text_content=f"Turn {n}")

    def data(n: int) -> Any:
        return AgentData(agent_id=f"a{n % 5}", data_type="state", content={"n": n})

    done: dict[str, float] = {}
    for name, model, make, count in (
        ("create() of an item", MemoryItem, item, SINGLE),
        ("create() of agent data", AgentData, data, SINGLE),
        (f"bulk_create() of {BULK} items", MemoryItem, item, 0),
    ):
        made = [make(number * 1000 + n) for n in range(count or BULK)]
        began = time.process_time()
        if count:
            for one in made:
                one.save(using=alias)
        else:
            model.objects.using(alias).bulk_create(made)
        done[name] = time.process_time() - began
    return done


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description="What the indexes of the admin's lists cost a write.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        configure(given.database, folder)
        prepare(given.database)
        empty = {alias: stored(alias) for alias in ALIASES}
        log: dict[str, list[int]] = {alias: [] for alias in ALIASES}
        ratios: dict[str, list[float]] = {}
        for number in range(given.rounds + 1):
            times = {}
            for alias in ALIASES if number % 2 else ALIASES[::-1]:
                with logged(alias, log[alias]):
                    times[alias] = write(alias, number)
            if number:  # the first fills caches
                for name, seconds in times["default"].items():
                    ratios.setdefault(name, []).append(seconds / times["without"][name])
        for name, found in ratios.items():
            low, middle, high = statistics.quantiles(found, n=4)
            print(f"{name}: {middle:.2f} ({low:.2f} to {high:.2f})")
        rows = (given.rounds + 1) * (BULK + 2 * SINGLE)
        for alias in ALIASES:
            print(
                f"{alias}: {(stored(alias) - empty[alias]) / rows:.0f} bytes a row, {sum(log[alias]) / rows:.0f} logged"
            )


if __name__ == "__main__":
    main()
