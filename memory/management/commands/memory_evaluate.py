"""`manage.py memory_evaluate FILE`: how much of what was asked for does search find?"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from memory.management.embedding import made_embedder
from memory.search.embedders import EmbedderError
from memory.search.evaluation import EvaluationError, evaluate, measures, read_conversations
from memory.search.terms import LANGUAGES

STATIC = "memory.search.embedders.static.StaticEmbedder"
NONE = "none"


class Command(BaseCommand):
    """Reads nothing but the file; no database is touched."""

    help = (
        "Measure search on labelled conversations: recall@5/10/20 and any-hit@10 (means over questions, 0 to 1), the "
        "most documents read, rounds, and milliseconds of a search; with each part of the ranking on and off."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, and how to search in it."""
        parser.add_argument("file", metavar="FILE", type=Path, help="Labelled conversations: docs/search.md.")
        parser.add_argument("--json", action="store_true", help="For machines: one object, a key for each ranking.")
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
            outcomes = evaluate(conversations, embedder, options["language"])
            table = {name: measures(found) for name, found in outcomes}
        except (OSError, UnicodeDecodeError, EvaluationError, EmbedderError) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        if options["json"]:
            self.stdout.write(json.dumps(table, indent=2))
            return
        names = list(table["all"])
        self.stdout.write(" " * 20 + "".join(f"{name:>11}" for name in names))
        for variant, values in table.items():
            self.stdout.write(f"{variant:20}" + "".join(f"{_shown(name, values[name]):>11}" for name in names))


def _shown(name: str, value: float) -> str:
    return f"{value:.3f}" if "@" in name else f"{value:.1f}" if name.endswith("_ms") else f"{value:.0f}"
