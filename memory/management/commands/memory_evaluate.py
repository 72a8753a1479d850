"""`manage.py memory_evaluate FILE`: how much of what was asked for does search find?"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from django.core.management.base import BaseCommand, CommandError

from memory.management.embedding import made_embedder
from memory.search.embedders import EmbedderError
from memory.search.evaluation import EvaluationError, by_kind, evaluate, measures, read_conversations
from memory.search.terms import LANGUAGES

STATIC = "memory.search.embedders.static.StaticEmbedder"
NONE = "none"

Table: TypeAlias = dict[str, Mapping[str, float]]
"""The measures of each ranking."""


class Command(BaseCommand):
    """Reads nothing but the file; no database is touched."""

    help = (
        "Measure search on labelled conversations: recall@5/10/20, any-hit@10 and reach (the share of the evidence "
        "that was read at all), means over questions, 0 to 1; the most documents read, rounds, and milliseconds of a "
        "search; with each part of the ranking on and off, for all questions and for each kind of them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, and how to search in it."""
        parser.add_argument("file", metavar="FILE", type=Path, help="Labelled conversations: docs/search.md.")
        parser.add_argument("--json", action="store_true", help="For machines: a key for each ranking, and `kinds`.")
        parser.add_argument(
            "--embedder", default=STATIC, metavar="PATH", help=f"Dotted path, or none. Default: {STATIC}"
        )
        parser.add_argument(
            "--language", default="english", choices=sorted(LANGUAGES), metavar="NAME", help="Of the words."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Evaluate and print."""
        try:
            text = options["file"].read_text("utf-8")
            conversations = read_conversations(text, options["language"])
            path = options["embedder"]
            embedder = None if path == NONE else made_embedder(path, "--embedder")
            outcomes = dict(evaluate(conversations, embedder, options["language"]))
            table = {name: measures(found) for name, found in outcomes.items()}
        except (OSError, UnicodeDecodeError, EvaluationError, EmbedderError) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        kinds: dict[str, Table] = {}
        for name, found in outcomes.items():
            for kind, some in by_kind(found).items():
                kinds.setdefault(kind, {})[name] = measures(some)
        if options["json"]:
            self.stdout.write(json.dumps({**table, "kinds": kinds}, indent=2))
            return
        for title, rows in (("", table), *kinds.items()):
            self._write(title, rows)

    def _write(self, title: str, rows: Table) -> None:
        names = list(rows["all"])
        self.stdout.write(f"{title:20}" + "".join(f"{name:>11}" for name in names))
        for variant, values in rows.items():
            self.stdout.write(f"{variant:20}" + "".join(f"{_shown(name, values[name]):>11}" for name in names))


def _shown(name: str, value: float) -> str:
    digits = 3 if "@" in name or name == "reach" else 1 if name.endswith("_ms") else 0
    return f"{value:.{digits}f}"
