"""`manage.py memory_evaluate FILE`: how much of what was asked for does search find?"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from memory.conf import memory_settings
from memory.management.embedding import made_embedder
from memory.search.candidates import Source
from memory.search.embedders import Embedder, EmbedderError
from memory.search.embedders.base import is_remote
from memory.search.evaluation import (
    Conversation,
    EvaluationError,
    by_kind,
    evaluate,
    in_memory,
    measures,
    read_conversations,
)
from memory.search.stored import stored
from memory.search.terms import LANGUAGES

Table = dict[str, Mapping[str, float]]
"""The measures of each ranking."""

STATIC = "memory.search.embedders.static.StaticEmbedder"
ENGLISH, NONE, ALL = "english", "none", ""


class Command(BaseCommand):
    """Reads nothing but the file, unless it is told to use a database."""

    help = (
        "Measure search on labelled conversations: recall@5/10/20, any-hit@10 and reach (the share of the evidence "
        "that was read at all), means over questions, 0 to 1; the most documents read, rounds, and milliseconds of a "
        "search; with each part of the ranking on and off, for all questions and for each kind of them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, and how to search in it."""
        parser.add_argument("file", metavar="FILE", type=Path, help="Labelled conversations: docs/search.md.")
        parser.add_argument("--json", action="store_true", help="For machines: a key for each ranking, and `kinds`.")
        parser.add_argument("--embedder", metavar="PATH", help=f"Dotted path, or none. Default: {STATIC}")
        parser.add_argument(
            "--language", choices=sorted(LANGUAGES), metavar="NAME", help=f"Of the words. Default: {ENGLISH}"
        )
        parser.add_argument(
            "--database",
            metavar="ALIAS",
            help="Search in this database: the conversations are stored there, by MEMORY's embedder and language, "
            "and deleted in the end.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Evaluate and print."""
        if options["database"] and (options["embedder"] or options["language"]):
            raise CommandError("--database goes by MEMORY['EMBEDDER'] and MEMORY['LANGUAGE']: leave the others out.")
        try:
            tables = self._from_database(options) if options["database"] else self._from_memory(options)
        except (OSError, UnicodeDecodeError, EvaluationError, EmbedderError) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        self._show(tables, options["json"])

    def _from_memory(self, options: dict[str, Any]) -> dict[str, Table]:
        language, path = options["language"] or ENGLISH, options["embedder"] or STATIC
        conversations = read_conversations(options["file"].read_text("utf-8"), language)
        embedder = None if path == NONE else made_embedder(path, "--embedder")
        return _measured(in_memory(conversations, embedder), embedder, language)

    def _from_database(self, options: dict[str, Any]) -> dict[str, Table]:
        language, embedder, using = memory_settings.language, memory_settings.embedder, options["database"]
        if using not in connections.databases:
            raise CommandError(f"--database {using}: there is no such alias in DATABASES.")
        if embedder is not None and is_remote(embedder):
            raise CommandError("--database needs vectors at once, and those of a remote model come after the write.")
        conversations = read_conversations(options["file"].read_text("utf-8"), language)
        with stored(conversations, using) as memories:
            return _measured(memories, embedder, language)

    def _show(self, tables: dict[str, Table], for_machines: bool) -> None:
        if for_machines:
            whole = tables.pop(ALL)
            self.stdout.write(json.dumps({**whole, "kinds": tables}, indent=2))
            return
        for title, table in tables.items():
            names = list(table["all"])
            self.stdout.write(f"{title:20}" + "".join(f"{name:>11}" for name in names))
            for variant, values in table.items():
                self.stdout.write(f"{variant:20}" + "".join(f"{_shown(name, values[name]):>11}" for name in names))


def _measured(
    memories: list[tuple[Conversation, Source]], embedder: Embedder | None, language: str
) -> dict[str, Table]:
    """A table of all questions, and one for each kind of them."""
    tables: dict[str, Table] = {ALL: {}}
    for name, found in evaluate(memories, embedder, language):
        for kind, some in {ALL: found, **by_kind(found)}.items():
            tables.setdefault(kind, {})[name] = measures(some)
    return tables


def _shown(name: str, value: float) -> str:
    digits = 3 if "@" in name or name == "reach" else 1 if name.endswith("_ms") else 0
    return f"{value:.{digits}f}"
