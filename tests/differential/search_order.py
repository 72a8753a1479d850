"""All questions of labelled memories on SQLite, PostgreSQL and Firestore: the same results in the same order.

    python -m tests.differential.search_order                   # the held-out halves
    python -m tests.differential.search_order --halves tuning

Starts Debian's PostgreSQL and the emulator. Each memory is stored, the first questions are asked before it is indexed,
the others afterwards, on all three databases and, once indexed, in memory. Prints counts; exits with 1 after a
difference.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "search" / "data"
LIMIT, UNINDEXED = 10, 3
MOST_APART = 1e-5
"""The difference of two scores."""


def files(half: str) -> list[Path]:
    """The labelled memories of a half."""
    friends = {"heldout": "friends_heldout.json", "tuning": "friends.json"}[half]
    return [DATA / f"{half}.json", DATA / friends, *sorted((DATA / "kinds").glob(f"*_{half}.json"))]


def compared(conversation: Any, aliases: Sequence[str]) -> Iterator[str]:
    """What differs, for each question."""
    from memory.models import MemoryItem
    from memory.search.corpus import Corpus
    from memory.search.packing import pack
    from memory.search.recall import visible
    from memory.search.relevance import asked, rank
    from memory.search.stored import items_of
    from memory.search.tail import configured_maker

    user = conversation.id
    passages = [replace(passage, id=f"{user}:{passage.id}") for passage in conversation.passages]
    for alias in aliases:
        MemoryItem.objects.using(alias).bulk_create(items_of(passages, user))
    maker = configured_maker(strict=True)
    corpus = Corpus.of(maker.entries(list(items_of(passages, user))))
    for number, label in enumerate(conversation.labels):
        if number == UNINDEXED:
            for alias in aliases:
                pack(user, alias)
        expected: list[tuple[str, float]] | None = None
        if number >= UNINDEXED:  # before, vectors are estimated
            question = asked(label.question, maker.embedder, maker.language, label.asker)
            ranked = rank(question, corpus, visible(corpus, hidden=False), LIMIT)
            expected = [(corpus.ids[one.place], one.score) for one in ranked]
        for alias in aliases:
            items = MemoryItem.objects.using(alias)
            results = items.search(label.question, user_id=user, limit=LIMIT, asker=label.asker)
            found = [(one.pk, one.score) for one in results]
            expected = found if expected is None else expected
            apart = max((abs(one[1] - other[1]) for one, other in zip(found, expected, strict=False)), default=0.0)
            if [pk for pk, _ in found] != [pk for pk, _ in expected] or apart > MOST_APART:
                yield f"{user} on {alias}: {label.question!r}, scores differ by {apart:.2g}"


def show(*lines: str) -> None:
    """Print at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def main() -> None:
    """Print what differs, and the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--halves", nargs="*", choices=["heldout", "tuning"], default=["heldout"])
    parser.add_argument("--sets", nargs="*", help="stems of files, e.g. chinese_heldout; default: all of the halves")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.environ |= {
            "APP_ENV": "test",
            "DJANGO_SETTINGS_MODULE": "settings",
            "DATABASE_URL": f"sqlite:///{folder}/service.sqlite3",
            "MEMORY_DATABASE_URL": f"sqlite:///{folder}/memory.sqlite3",
        }
        os.environ.pop("FIRESTORE_EMULATOR_HOST", None)
        import dj_database_url
        import django
        from django.conf import settings
        from django.core.management import call_command
        from django.test import override_settings

        django.setup()
        from memory.search.labelled import read_conversations
        from memory.testing.emulator import emulator
        from tests import databases, postgres

        postgresql = {**dj_database_url.parse(postgres.url())}
        aliases = [
            "memory",
            stack.enter_context(databases.added("postgresql", postgresql)),
            stack.enter_context(databases.firestore("firestore", emulator(uuid.uuid4().hex), "order", timeout=60)),
        ]
        call_command("migrate", database="memory", verbosity=0)
        with override_settings(MEMORY={**settings.MEMORY, "DATABASE": "postgresql"}):  # which the router asks
            call_command("migrate", database="postgresql", verbosity=0)
        different: list[str] = []
        asked = memories = 0
        paths = [path for half in options.halves for path in files(half)]
        for path in [path for path in paths if not options.sets or path.stem in options.sets]:
            for conversation in read_conversations(path.read_text("utf-8")):
                found = list(compared(replace(conversation, id=f"{path.stem}:{conversation.id}"), aliases))
                different += found
                asked, memories = asked + len(conversation.labels), memories + 1
                show(f"{path.stem} {conversation.id}: {len(found)} differ", *found)
        counts = {"memories": memories, "questions": asked, "databases": aliases, "different": len(different)}
        show(json.dumps(counts))
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
