"""Loads a file into the database: opens, splits, parses and writes it in batches."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, BinaryIO

from django.db import connections, reset_queries, router

from memory.models import MemoryItem

from . import store
from .entries import Context, Empty, Entry, Outcome, Reject, Removal
from .formats import parse
from .frames import Frame, frames
from .order import Order

BATCH_ENTRIES = 500
# An entry with its vector takes 100 kB while it is encoded for Firestore.
FIRESTORE_BATCH_ENTRIES = 250
# Bytes of the file per batch. Limits memory and the size of the transaction for large records.
BATCH_BYTES = 1 << 20
ZIP_MAGIC = b"PK\x03\x04"
HEAD_BYTES = 1 << 16
READ_ERRORS = (OSError, EOFError, zipfile.BadZipFile, zlib.error)
MAX_ZIP_DEPTH = 2
# Google Takeout's activity of Gemini.
ACTIVITIES = frozenset({"MyActivity.json", "My Activity.json"})
NOTHING_IN_ZIP = (
    "The zip file has no conversations.json or MyActivity.json. If a JSON file in it has another name, unpack it and "
    "import that file. If it is from Google Takeout and has MyActivity.html, export again with the format JSON."
)
HTML = (b"<!doctype", b"<html")
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class UnusableError(Exception):
    """The file as a whole cannot be imported."""


@dataclass
class Totals:
    """The results of a file by model name. `empty` counts skipped messages without content."""

    added: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    empty: int = 0
    rejected: int = 0

    def by_outcome(self) -> list[tuple[str, Counter[str]]]:
        """The counts of stored records with their labels."""
        return [
            ("added", self.added),
            ("updated", self.updated),
            ("already there", self.present),
            ("removed", self.removed),
        ]

    def __iadd__(self, other: Totals) -> Totals:
        for (_, mine), (_, others) in zip(self.by_outcome(), other.by_outcome(), strict=True):
            mine.update(others)
        self.empty += other.empty
        self.rejected += other.rejected
        return self


@dataclass(frozen=True)
class Listeners:
    """Callbacks for rejects, and for the number of bytes read since the last call."""

    reject: Callable[[Reject], None]
    progress: Callable[[int], None] = lambda count: None


class _Source:
    """A stream that reports its progress, and ends at read errors."""

    def __init__(self, stream: BinaryIO, progress: Callable[[int], None]) -> None:
        self.stream, self.progress = stream, progress
        self.problem: str | None = None
        self.head = self._read(HEAD_BYTES)

    def read(self, size: int = -1) -> bytes:
        chunk = self.head or self._read(size)
        self.head = b""
        self.progress(len(chunk))
        return chunk

    def _read(self, size: int) -> bytes:
        try:
            return self.stream.read(size)
        except READ_ERRORS as error:
            self.problem = f"The file cannot be read to its end: {error}."
            return b""


def load(stream: BinaryIO, context: Context, listeners: Listeners, update: bool = False) -> Totals:
    """Import a stream. `update` overwrites existing records that differ.

    Raises `UnusableError` for other data than JSON, `UserIdMissingError` if a user id is required, and Django's
    `DatabaseError`. Batches that were written before are kept, and another run does not add them again.
    """
    source = _Source(stream, listeners.progress)
    refuse_unusable(source.head)
    totals = Totals()
    for batch in _batches(frames(source), context, _batch_entries()):
        rejects = [outcome for outcome in batch if isinstance(outcome, Reject)]
        written = store.write([outcome for outcome in batch if isinstance(outcome, Entry | Removal)], update)
        totals.empty += sum(isinstance(outcome, Empty) for outcome in batch)
        totals.added += written.added
        totals.present += written.present
        totals.updated += written.updated
        totals.removed += written.removed
        for reject in sorted(
            [*rejects, *written.rejects], key=lambda reject: (reject.place.line, reject.place.index or 0)
        ):
            totals.rejected += 1
            listeners.reject(reject)
        reset_queries()  # with DEBUG, Django keeps the last 9,000 queries
    if source.problem:
        raise UnusableError(source.problem)
    return totals


def _batch_entries() -> int:
    vendor = connections[router.db_for_write(MemoryItem)].vendor
    return min(BATCH_ENTRIES, FIRESTORE_BATCH_ENTRIES) if vendor == "firestore" else BATCH_ENTRIES


def _batches(values: Iterator[Frame], context: Context, most: int) -> Iterator[list[Outcome]]:
    batch: list[Outcome] = []
    size = 0
    order = Order(context.time)
    for frame in values:
        for outcome in order.fit(parse(frame, context)):
            batch.append(outcome)
            if len(batch) >= most:
                yield batch
                batch, size = [], 0
        size += len(frame.raw)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    batch += order.rest()
    if batch:
        yield batch


def refuse_unusable(head: bytes) -> None:
    """Raise `UnusableError` if the start of a file is not JSON in UTF-8."""
    if head.startswith(UTF_16_MARKS):
        raise UnusableError("The file is UTF-16; save it as UTF-8.")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:16].lower().startswith(HTML):
        raise UnusableError(
            "This is an HTML page. Import the zip file of the export as it is, or its JSON file, such as the "
            "conversations.json beside chat.html. For Google's MyActivity.html, export again with the format JSON."
        )
    if text and not text.startswith((b"{", b"[")) and (b"\0" in head or not {b"{"[0], b"["[0]} & set(head)):
        raise UnusableError("The file is neither JSON nor JSON lines.")


@dataclass(frozen=True)
class Part:
    """A stream of a file with its size in bytes, and its name if it is a member of a zip file."""

    stream: BinaryIO
    size: int
    member: str | None = None


@contextmanager
def opened(path: str) -> Iterator[list[Part]]:
    """The streams of a file: the file, or the conversations in a zip, also in zips inside of it.

    Raises `OSError`, and `UnusableError` for a zip that cannot be read or has no conversations.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open(path, "rb"))
        if file.peek(len(ZIP_MAGIC))[: len(ZIP_MAGIC)] != ZIP_MAGIC:
            yield [Part(file, os.fstat(file.fileno()).st_size)]
            return
        try:
            parts = list(_members(file, stack, "", MAX_ZIP_DEPTH))
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise UnusableError(f"The zip file cannot be read: {error}.") from error
        if not parts:
            raise UnusableError(NOTHING_IN_ZIP)
        yield parts


def _members(file: IO[bytes], stack: ExitStack, prefix: str, depth: int) -> Iterator[Part]:
    archive = stack.enter_context(zipfile.ZipFile(file))
    for info in archive.infolist():
        if _is_conversations(info.filename):
            yield Part(stack.enter_context(archive.open(info)), info.file_size, prefix + info.filename)  # type: ignore[arg-type]
        elif depth and info.filename.lower().endswith(".zip"):
            inner = stack.enter_context(archive.open(info))
            yield from _members(inner, stack, f"{prefix}{info.filename}/", depth - 1)


def _is_conversations(name: str) -> bool:
    base = name.rpartition("/")[2]
    return (base.startswith("conversations") and base.endswith(".json")) or base in ACTIVITIES
