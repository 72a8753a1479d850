"""`manage.py memory_export [--user-id ID]... [--model MODEL]... [--html] [-o FILE]`: JSON lines, or a page to read."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError
from tqdm import tqdm

from memory.interchange.export import MODELS, json_lines
from memory.lifecycle import exports
from memory.lifecycle.commands import AuditedCommand

STDOUT = "-"


class Command(AuditedCommand):
    """The inverse of memory_import: importing the output creates equal records."""

    help = "Export records as JSON lines for memory_import. Expired records are excluded by default."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's options."""
        parser.add_argument(
            "--user-id",
            action="append",
            default=[],
            metavar="ID",
            help="Export only records of this user or agent. Can be repeated.",
        )
        parser.add_argument(
            "--model", action="append", choices=list(MODELS), help="Export only records of this model. Can be repeated."
        )
        parser.add_argument("--include-expired", action="store_true", help="Include expired records.")
        parser.add_argument("--html", action="store_true", help="A page to read about the one user of --user-id.")
        parser.add_argument(
            "-o", "--output", default=STDOUT, metavar="FILE", help="Output file. Default: standard output."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the lines. An output file is created only if the export completes."""
        unit = "parts" if options["html"] else "records"
        shown = tqdm(_lines(options), unit=f" {unit}", disable=options["verbosity"] == 0 or not sys.stderr.isatty())
        try:
            count = self._to_stdout(shown) if options["output"] == STDOUT else _to_file(shown, Path(options["output"]))
        except BrokenPipeError:
            # The reader closed the pipe. Prevent another flush at interpreter exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        except OSError as error:
            raise CommandError(f"{options['output']}: {error.strerror}.") from error
        except DatabaseError as error:
            raise CommandError(f"Database error: {error}.") from error
        if options["verbosity"]:
            self.stderr.write(f"{count:,} {unit} exported.", style_func=str)

    def _to_stdout(self, lines: Iterable[str]) -> int:
        if reconfigure := getattr(self.stdout._out, "reconfigure", None):
            reconfigure(encoding="utf-8")
        count = 0
        for line in lines:
            self.stdout.write(line)
            count += 1
        self.stdout.flush()
        return count


def _lines(options: Mapping[str, Any]) -> Iterator[str]:
    """What is exported, in parts that end without a newline."""
    if not options["html"]:
        models = [name for name in MODELS if name in (options["model"] or MODELS)]
        return json_lines(models, options["user_id"], options["include_expired"])
    if len(options["user_id"]) != 1 or options["model"]:
        raise CommandError("--html needs exactly one --user-id, and no --model.")
    return (part.rstrip("\n") for part in exports.page(options["user_id"][0]))


def _to_file(lines: Iterable[str], path: Path) -> int:
    count = 0
    with _complete(path) as file:
        for line in lines:
            file.write(line + "\n")
            count += 1
    return count


@contextmanager
def _complete(path: Path) -> Iterator[Any]:
    """A temporary file next to `path`, renamed to it on success. What is no file, such as a device, is written to."""
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
