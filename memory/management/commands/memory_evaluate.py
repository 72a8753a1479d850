"""`manage.py memory_evaluate FILE`: measure the recall of search on labelled conversations."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import connections
from tqdm import tqdm

from memory.conf import memory_settings
from memory.embedding import is_remote
from memory.lifecycle.commands import AuditedCommand
from memory.management.embedding import load_embedder
from memory.search.corpus import Corpus
from memory.search.embedders import Embedder, EmbedderError
from memory.search.evaluation import LEAST_SCORES, Found, at_least, evaluate, grouped, in_memory, measures
from memory.search.feedback import labelled_data
from memory.search.labelled import Conversation, EvaluationError, Label, read_conversations
from memory.search.stored import stored
from memory.search.terms import LANGUAGES

Table = dict[str, Mapping[str, float]]
"""Measures by the name of a ranking or of a category."""


@dataclass(frozen=True)
class Report:
    """The output: measures of each ranking for all questions and each kind, and of the full ranking by category.

    `least_scores` says what several values of `min_score` do.
    """

    conversations: Sequence[Conversation]
    all: Table
    kinds: Mapping[str, Table]
    categories: Table
    least_scores: Table

    @property
    def size(self) -> dict[str, int]:
        """The number of conversations, turns, questions and skipped entries."""
        return {
            "conversations": len(self.conversations),
            "turns": sum(len(one.passages) for one in self.conversations),
            "questions": sum(len(one.labels) for one in self.conversations),
            "left_out": sum(len(one.left_out) for one in self.conversations),
        }


DEFAULT = "memory.search.embedders.default.default_embedder"
NONE = "none"
MAX_REPORTED = 10  # skipped entries
WIDTH = 20


class Command(AuditedCommand):
    """Evaluates in memory, unless `--database` is given."""

    help = (
        "Measure search on labelled conversations: recall@5/10/20 and any-hit@10 as means over questions; precision, "
        "lost evidence and refused unanswerable questions at the default min_score; the milliseconds of a search. BM25 "
        "over all turns is shown beside it. Results are shown by kind, the worst first, and by category."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the file and the search options."""
        parser.add_argument(
            "file",
            metavar="FILE",
            type=Path,
            nargs="?",
            help="Labelled conversations; for the format see docs/search.md.",
        )
        parser.add_argument(
            "--feedback",
            action="store_true",
            help="Instead of a file: the questions on which people gave feedback in the admin, with their memories.",
        )
        parser.add_argument("--json", action="store_true", help="Output JSON; for the keys see docs/search.md.")
        parser.add_argument(
            "--embedder", metavar="PATH", help=f"Dotted path of the embedder, or none. Default: {DEFAULT}"
        )
        parser.add_argument(
            "--language", choices=sorted(LANGUAGES), metavar="NAME", help="Language of the text. Default: detected"
        )
        parser.add_argument(
            "--database",
            metavar="ALIAS",
            help="Search in this database with the embedder, language and reranker of MEMORY. The conversations are "
            "stored there and deleted at the end.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Evaluate and print."""
        if options["feedback"] == (options["file"] is not None):
            raise CommandError("Give a FILE or --feedback.")
        if options["database"] and (options["embedder"] or options["language"]):
            raise CommandError(
                "--database uses MEMORY['EMBEDDER'] and MEMORY['LANGUAGE']; omit --embedder and --language."
            )
        try:
            report = self._from_database(options) if options["database"] else self._from_memory(options)
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror or error}.") from error
        except (UnicodeDecodeError, EvaluationError, EmbedderError) as error:
            raise CommandError(f"{options['file'] or '--feedback'}: {error}") from error
        if options["json"]:
            self._show_json(report)
        else:
            self._show(report)

    def _from_memory(self, options: dict[str, Any]) -> Report:
        language, path = options["language"], options["embedder"] or DEFAULT
        embedder = None if path == NONE else load_embedder(path, "--embedder")
        conversations = self._conversations(options["file"])
        return self._measured(in_memory(conversations, embedder, language), embedder, language)

    def _from_database(self, options: dict[str, Any]) -> Report:
        language, embedder, using = memory_settings.language, memory_settings.embedder, options["database"]
        if using not in connections.databases:
            raise CommandError(f"--database {using}: unknown alias, not in DATABASES.")
        if embedder is not None and is_remote(embedder):
            raise CommandError("--database does not support remote embedders, which compute vectors after the write.")
        conversations = self._conversations(options["file"])
        try:
            with stored(conversations, using) as memories:
                return self._measured(memories, embedder, language, rerank=memory_settings.reranker is not None)
        except ValidationError as error:
            raise EvaluationError(f"A turn cannot be stored: {' '.join(error.messages)}") from error

    def _conversations(self, file: Path | None) -> list[Conversation]:
        """Read the file or the feedback; report skipped entries on stderr, up to MAX_REPORTED individually."""
        text = self._feedback() if file is None else file.read_text("utf-8-sig")
        conversations = read_conversations(text)
        left_out = [one for conversation in conversations for one in conversation.left_out]
        for one in left_out[:MAX_REPORTED]:
            self.stderr.write(f"Skipped: {one}")
        if len(left_out) > MAX_REPORTED:
            self.stderr.write(f"Skipped: {len(left_out) - MAX_REPORTED} more.")
        if not any(label.evidence for one in conversations for label in one.labels):
            raise EvaluationError("The conversations have no questions with evidence.")
        return conversations

    def _feedback(self) -> str:
        data = labelled_data(memory_settings.database)
        if not data["conversations"]:
            raise EvaluationError('Nobody has answered "Does it answer the question?" on the admin\'s search page yet.')
        return json.dumps(data)

    def _measured(
        self,
        memories: list[tuple[Conversation, Corpus]],
        embedder: Embedder | None,
        language: str | None,
        *,
        rerank: bool = False,
    ) -> Report:
        conversations = [conversation for conversation, _ in memories]
        questions = sum(len(one.labels) for one in conversations)
        outcomes = evaluate(memories, embedder, language, rerank=rerank)
        rankings: dict[str, list[Found]] = {}
        for one in tqdm(outcomes, "Searching", questions, unit=" questions", file=self.stderr, disable=None):
            for name, found in one.items():
                rankings.setdefault(name, []).append(found)
        kinds: dict[str, Table] = {}
        for name, every in rankings.items():
            for kind, some in grouped(every, lambda label: label.kind).items():
                kinds.setdefault(kind, {})[name] = measures(some)
        return Report(
            conversations,
            {name: measures(every) for name, every in rankings.items()},
            kinds,
            {name: measures(some) for name, some in grouped(rankings["all"], _category).items()},
            {str(least): at_least(rankings["all"], least) for least in LEAST_SCORES},
        )

    def _show_json(self, report: Report) -> None:
        tables = {"kinds": report.kinds, "categories": report.categories, "least_scores": report.least_scores}
        parts = {**report.all, **tables, "size": report.size}
        self.stdout.write(json.dumps(parts, indent=2))

    def _show(self, report: Report) -> None:
        self.stdout.write(", ".join(f"{name.replace('_', ' ')}: {number}" for name, number in report.size.items()))
        self._show_table("", report.all)
        for kind, table in sorted(report.kinds.items(), key=lambda one: one[1]["all"]["recall@10"]):
            self._show_table(kind, table)
        if len(report.categories) > 1:
            self._show_table("by category", report.categories)
        self._show_table("by least score", report.least_scores)

    def _show_table(self, title: str, table: Table) -> None:
        names = list(dict.fromkeys(name for values in table.values() for name in values))
        width = max(WIDTH, *(len(name) + 1 for name in (title, *table)))
        self.stdout.write(f"{title:{width}}" + "".join(f"{name:>11}" for name in names))
        for row, values in table.items():
            self.stdout.write(f"{row:{width}}" + "".join(f"{_formatted(name, values.get(name)):>11}" for name in names))


def _category(label: Label) -> str:
    return label.category


def _formatted(name: str, value: float | None) -> str:
    if value is None:
        return ""
    digits = 0 if name == "questions" else 1 if name.endswith("_ms") else 3
    return f"{value:.{digits}f}"
