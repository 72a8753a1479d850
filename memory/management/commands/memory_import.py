"""`manage.py memory_import [--user-id ID] FILE...`: import conversations and records from files."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DatabaseError
from tqdm import tqdm

from memory.interchange.entries import Context, Reject, UserIdMissingError
from memory.interchange.load import Listeners, Part, Totals, UnusableError, load, opened
from memory.lifecycle.commands import AuditedCommand
from memory.models import MemoryItem

STDIN = "-"
REJECTED, UNUSABLE, INTERRUPTED = 1, 2, 130
MAX_SESSION_CHARACTERS = 200


@dataclass
class RejectFile:
    """The file of rejected entries, created with its first line. `source` is the name of the imported file."""

    path: Path
    source: str
    member: str | None = None
    lines: IO[str] | None = None

    def add(self, reject: Reject) -> None:
        """Write a rejected entry."""
        if self.lines is None:
            self.lines = self.path.open("w", encoding="utf-8", newline="\n")
        self.lines.write(reject.to_json_line(self.source, self.member) + "\n")

    def remove_old(self) -> None:
        """Remove the file of an earlier run if this run rejected nothing."""
        if self.lines is None:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file if it was created."""
        if self.lines is not None:
            self.lines.close()


class Command(AuditedCommand):
    """Exit code 0: everything was imported. 1: entries were rejected. 2: a file could not be used."""

    help = (
        "Import JSON lines of memory_export, data exports of ChatGPT, Claude and Gemini (JSON or the zip), messages of "
        "LangChain, OpenAI, Anthropic and ShareGPT, prompts of Google AI Studio, sessions of ADK, agents of Letta, or "
        "memories of mem0. The import is idempotent. Rejected entries are written to FILE.rejects.jsonl with their "
        "position and the reason, and the exit code is 1. It is 2 if a file could not be used."
    )

    # Without those of URLs and templates, which import the whole API: 17 MB.
    requires_system_checks = ["memory", "models", "database", "caches"]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the files and the command's options."""
        parser.add_argument("files", nargs="+", metavar="FILE", help="A file to import; - for standard input.")
        parser.add_argument("--user-id", metavar="ID", help="The user, for files that do not contain one.")
        parser.add_argument(
            "--session-id",
            metavar="ID",
            help="The session of messages without one. Default: the file name without its extension.",
        )
        parser.add_argument("--update", action="store_true", help="Overwrite existing records that differ.")
        parser.add_argument(
            "--rejects-dir",
            metavar="DIR",
            type=Path,
            help="Directory for reject files. Default: the directory of each file.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Import each file, even if others cannot be used."""
        _check_user_id(options["user_id"])
        codes = [self._import(path, options) for path in options["files"]]
        if code := max(codes):
            raise CommandError(
                "Not everything was imported." if code == REJECTED else "Not every file was imported.", returncode=code
            )

    def _import(self, path: str, options: dict[str, Any]) -> int:
        rejects = RejectFile(_reject_path(path, options["rejects_dir"]), path)
        try:
            totals = self._load(path, rejects, options)
            rejects.remove_old()
        except UserIdMissingError:
            self.stderr.write(f"{path}: The file does not name a user. Use --user-id ID.")
            return UNUSABLE
        except (UnusableError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            where = f" ({error.filename})" if isinstance(error, OSError) and error.filename not in (None, path) else ""
            self.stderr.write(f"{path}: {reason}{where}")
            return UNUSABLE
        except DatabaseError as error:
            raise CommandError(
                f"{path}: Database error: {error}. Imported records are kept; run the command again to continue.",
                returncode=UNUSABLE,
            ) from error
        except KeyboardInterrupt as error:
            raise CommandError(
                f"{path}: Interrupted. Imported records are kept; run the command again to continue.",
                returncode=INTERRUPTED,
            ) from error
        finally:
            rejects.close()
        self.stdout.write(f"{path}: {_summary(totals, rejects.path)}")
        return REJECTED if totals.rejected else 0

    def _load(self, path: str, rejects: RejectFile, options: dict[str, Any]) -> Totals:
        totals = Totals()
        context = _context(path, options["user_id"], options["session_id"])
        with _parts(path) as parts, _bar(path, parts, quiet=options["verbosity"] == 0) as bar:
            listeners = Listeners(rejects.add, bar.update)
            for part in parts:
                rejects.member = part.member
                totals += load(part.stream, context, listeners, options["update"])
        return totals


def _check_user_id(user_id: str | None) -> None:
    if user_id is None:
        return
    try:
        MemoryItem._meta.get_field("user_id").clean(user_id, None)
    except ValidationError as error:
        raise CommandError(f"--user-id: {' '.join(error.messages)}", returncode=UNUSABLE) from error


def _context(path: str, user_id: str | None, session_id: str | None) -> Context:
    if path == STDIN:
        return Context(user_id, session_id or "stdin", datetime.now(UTC))
    changed = datetime.fromtimestamp(Path(path).stat().st_mtime, UTC)
    return Context(user_id, session_id or Path(path).stem[:MAX_SESSION_CHARACTERS], changed)


def _parts(path: str) -> Any:
    return nullcontext([Part(sys.stdin.buffer, 0)]) if path == STDIN else opened(path)


@contextmanager
def _bar(path: str, parts: list[Part], quiet: bool) -> Iterator[Any]:
    total = sum(part.size for part in parts)
    hidden = quiet or not sys.stderr.isatty()
    with tqdm(desc=Path(path).name, total=total or None, unit="B", unit_scale=True, disable=hidden) as bar:
        yield bar


def _reject_path(path: str, folder: Path | None) -> Path:
    file = Path("stdin" if path == STDIN else path)
    return (folder or file.parent) / f"{file.name}.rejects.jsonl"


def _summary(totals: Totals, rejects: Path) -> str:
    parts = [
        f"{count:,} {name} {what}" for what, counts in totals.by_outcome() for name, count in sorted(counts.items())
    ]
    if totals.empty:
        parts.append(f"{totals.empty:,} empty messages skipped")
    if totals.rejected:
        parts.append(f"{totals.rejected:,} rejected, see {rejects}")
    return "; ".join(parts) or "no records"
