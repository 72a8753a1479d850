"""Erases a person: everything that the project stores of them, so that writers cannot bring it back.

    progress = erase("ada", by="dpo@example.org")
    Path("receipt.json").write_text(progress.receipt)

1. A tombstone is stored. From then on processes refuse writes of the person as they read it (`memory.tombstones`).
2. A pass over the inventory deletes all rows. Digests of the ids of each page are stored before the page is deleted.
3. After `settle_seconds` no write that began before the tombstone is under way. Passes go on until one finds nothing.
4. Caches are cleared, an SQLite file is vacuumed, and the receipt is made.

An erasure that was interrupted goes on when it is called again: what is done is not in the database any more, and its
digests are. Writes are refused until the tombstone ends; after that the person may be written again, and
`manage.py memory_purge` deletes the tombstone with the digests.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from django.db import connections
from django.utils import timezone

from ..conf import memory_settings
from ..contention import in_transaction
from ..exceptions import ValidationError
from ..models import ErasedIds, Erasure
from ..tombstones import digest_of, digests_of, tombstones
from . import caches
from .audit import ERASE, PYTHON, Record, emit
from .deleting import KEYS_AT_ONCE, delete_keys, pages_of_keys
from .digests import SALT_BYTES, digest
from .open_transactions import LONGEST_TRANSACTION, TOO_LONG, Horizon
from .receipts import Receipt, written
from .scrubbing import scrub, secure_deletion
from .sweeping import Report, Sweep, save

KEEP: Final = timedelta(hours=24)
"""How long writes are refused. It must be longer than any write, transaction or queue of the project."""

MARGIN_SECONDS: Final = 2.0
WRITE_SECONDS: Final = 5.0
"""How long a write on an SQL database is under way at most, from its check to its commit."""

AGAIN: Final = timedelta(seconds=2)
"""When to call again while transactions are open."""


class State(StrEnum):
    """`MORE`: rows are left. `WAITING`: call again when writes that were under way have ended. `FINISHED`."""

    MORE = "more"
    WAITING = "waiting"
    FINISHED = "finished"


@dataclass(frozen=True)
class Progress:
    """How far an erasure is. `counts` are the erased records by table. `receipt` is a file's text once it is finished.

    `go_on_at`: when the next call does something. `until`: when the tombstone ends.
    """

    state: State
    counts: Mapping[str, int]
    until: datetime
    go_on_at: datetime | None = None
    receipt: str = ""

    @property
    def total(self) -> int:
        """The number of erased records."""
        return sum(self.counts.values())


def erase(
    user_id: str,
    *,
    by: str = "",
    using: str | None = None,
    keep: timedelta = KEEP,
    most: int | None = None,
    wait: bool = True,
    scan: bool = True,
    vacuum: bool = True,
    report: Report = lambda table, count: None,
) -> Progress:
    """Erase a person, or go on with an erasure. `by` says who asked for it, and is in the receipt.

    With `wait` it returns when the erasure is finished. Otherwise it deletes up to `most` rows, and returns early where
    it would wait; call it again until `state` is `FINISHED`. `scan=False` does not read the data of other agents, for
    values that name the person. `vacuum=False` does not vacuum an SQLite file, whose lock that takes.

    Raises `ValidationError` for an empty id and inside a transaction, `ConnectionError` while Redis is down, and errors
    of the database; what was erased stays so, and another call goes on.
    """
    if not user_id:
        raise ValidationError("The id of the person is empty.")
    alias = using or memory_settings.database
    if wait and in_transaction(connections[alias]):
        raise ValidationError("An erasure cannot wait inside a transaction: other writers wait for its end.")
    row = _begun(user_id, alias, by, keep)
    return _Work(Sweep(user_id, alias, row, report, most, scan)).run(wait=wait, vacuum=vacuum)


def progress_of(user_id: str, using: str | None = None) -> Progress | None:
    """The state of a person's erasure; None if there is none, or its tombstone has ended."""
    alias = using or memory_settings.database
    row = _stored(user_id, alias)
    return None if row is None else _Work(Sweep(user_id, alias, row)).progress()


def settle_seconds(using: str) -> float:
    """How long after the tombstone writes may be under way that did not know of it."""
    check = memory_settings.erasure_check
    if check is None:
        return 0.0
    connection: Any = connections[using]
    under_way = float(connection.option("timeout")) if connection.vendor == "firestore" else WRITE_SECONDS
    return check + under_way + MARGIN_SECONDS


def end(user_id: str, using: str | None = None) -> bool:
    """End a person's tombstone now, so that they may be written again. False if there is none.

    Processes go on to refuse writes for up to `MEMORY["ERASURE_CHECK"]` seconds.
    """
    alias = using or memory_settings.database
    row = _stored(user_id, alias)
    if row is None:
        return False
    _forget(row, alias)
    tombstones.clear()
    return True


def purge_ended(using: str | None = None, dry_run: bool = False) -> int:
    """Delete tombstones that have ended, with their digests. Returns how many."""
    alias = using or memory_settings.database
    ended = list(Erasure.objects.using(alias).filter(until__lte=timezone.now()))
    for row in [] if dry_run else ended:
        _forget(row, alias)
    return len(ended)


def _forget(row: Erasure, alias: str) -> None:
    for keys in pages_of_keys(ErasedIds.objects.using(alias).filter(erasure=row.pk), KEYS_AT_ONCE):
        delete_keys(ErasedIds, alias, keys)
    Erasure.objects.using(alias).filter(pk=row.pk).delete()


def _stored(user_id: str, alias: str) -> Erasure | None:
    found = Erasure.objects.using(alias).in_bulk(digests_of(user_id))
    live = [row for row in found.values() if row.until > timezone.now()]
    return max(live, key=lambda row: row.until, default=None)


def _begun(user_id: str, alias: str, by: str, keep: timedelta) -> Erasure:
    """The row of the erasure, which is a tombstone from its commit on."""
    until = timezone.now() + keep
    found = _stored(user_id, alias)
    if found is None:
        Erasure.objects.using(alias).filter(pk=digest_of(user_id)).delete()  # one that has ended
        salt = secrets.token_hex(SALT_BYTES)
        found, _ = Erasure.objects.using(alias).get_or_create(
            pk=digest_of(user_id), defaults={"salt": salt, "until": until, "requested_by": by[:150]}
        )
    elif found.finished is not None or found.until < until:
        # Another erasure of the same person: what has been erased stays in the receipt.
        found.finished, found.passes, found.until = None, 0, max(until, found.until)
        found.requested_by = by[:150] or found.requested_by
        found.save(using=alias)
    tombstones.clear()
    return found


@dataclass(eq=False)
class _Work:
    """One call: passes, waits between them, and the end."""

    sweep: Sweep
    notes: list[str] = field(default_factory=list)

    @property
    def row(self) -> Erasure:
        return self.sweep.row

    @property
    def alias(self) -> str:
        return self.sweep.alias

    def progress(self, state: State | None = None, go_on_at: datetime | None = None) -> Progress:
        state = state or (State.FINISHED if self.row.finished else State.MORE)
        receipt = self.receipt() if state is State.FINISHED else ""
        return Progress(state, self.sweep.counts, self.row.until, go_on_at, receipt)

    def run(self, *, wait: bool, vacuum: bool) -> Progress:
        if self.row.finished is not None:
            return self.progress(State.FINISHED)
        with secure_deletion(self.alias):
            settled = self.row.began + timedelta(seconds=settle_seconds(self.alias))
            while True:
                is_settled = timezone.now() >= settled and self._others_ended(settled, wait)
                if not self.sweep.run():
                    return self.progress(State.MORE)
                caches.forget_in_time(self._forget_caches, caches.REDIS_SECONDS if wait else 0.0)
                if is_settled and not self.sweep.found:
                    break
                if not is_settled:
                    if not wait:
                        return self.progress(State.WAITING, max(settled, timezone.now() + AGAIN))
                    time.sleep(max(0.0, (settled - timezone.now()).total_seconds()) + 0.01)
        self._finish([*self.notes, *(scrub(self.alias) if vacuum else [])])
        return self.progress(State.FINISHED)

    def _others_ended(self, settled: datetime, wait: bool) -> bool:
        """Whether the transactions of a PostgreSQL that were open when all writers had the tombstone have ended.

        Those that are open for longer than `LONGEST_TRANSACTION` are waited for no more, and the receipt says so.
        """
        if connections[self.alias].vendor != "postgresql":
            return True
        while not self._horizon.is_passed():
            if timezone.now() >= settled + LONGEST_TRANSACTION:
                self.notes = [TOO_LONG]
                return True
            if not wait:
                return False
            time.sleep(0.1)
        self.notes = []
        return True

    @cached_property
    def _horizon(self) -> Horizon:
        return Horizon(self.alias)

    def _forget_caches(self) -> None:
        erased, sessions = self.sweep.erased.get("memory_search_segments"), self.sweep.sessions
        is_erased = (lambda one: digest(self.row.salt, one) in erased) if erased else None
        caches.forget(self.sweep.user_id, self.alias, sessions, is_erased)
        sessions.clear()

    def _finish(self, notes: list[str]) -> None:
        self.row.finished = timezone.now()
        self.row.receipt = {"notes": notes if self.sweep.scan else [*notes, "The data of other agents was not read."]}
        save(self.row, self.alias, "finished", "receipt")
        total = sum(self.sweep.counts.values())
        emit(Record(PYTHON, ERASE, "erase", self.row.requested_by, "", (self.sweep.user_id,), total, "done"))

    def receipt(self) -> str:
        """The text of the receipt, signed if `MEMORY["RECEIPT_KEY"]` is set."""
        erased = self.sweep.erased
        made = Receipt(
            person=self.sweep.person.person,
            salt=self.row.salt,
            began=_text(self.row.began),
            finished=_text(self.row.finished),
            refused_until=_text(self.row.until),
            requested_by=self.row.requested_by,
            database=connections[self.alias].vendor,
            passes=self.row.passes,
            counts=self.sweep.counts,
            ids={table: sorted(found) for table, found in sorted(erased.items()) if found},
            notes=tuple(self.row.receipt.get("notes", ())),
        )
        return written(made, memory_settings.receipt_key)


def _text(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()
