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

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property, partial
from typing import Any, Final

from django.db import connections, models
from django.utils import timezone

from memory.backends import clock

from .. import sealing
from ..breaker import Unavailable
from ..cache import Conversation
from ..coherence import cache_of
from ..conf import memory_settings
from ..contention import in_transaction, retried_on_contention
from ..exceptions import ConnectionError, ValidationError
from ..extras import missing
from ..fields import new_id
from ..models import ErasedIds, Erasure, MemoryItem, UserSession
from ..tombstones import digest_of, digests_of, tombstones
from .audit import ERASE, PYTHON, Record, emit
from .deleting import (
    KEYS_AT_ONCE,
    alias_of,
    delete_keys,
    model_of,
    named_rows,
    owned_rows,
    pages_of_keys,
    pages_of_values,
    table_of,
    tables_by_kind,
)
from .digests import SALT_BYTES, digest
from .inventory import Holding, How, holdings
from .naming import MATCHERS, Person
from .receipts import Receipt, written
from .scrubbing import forget_snapshots, scrub, secure_deletion

logger = logging.getLogger(__name__)

KEEP: Final = timedelta(hours=24)
"""How long writes are refused. It must be longer than any write, transaction or queue of the project."""

MARGIN_SECONDS: Final = 2.0
WRITE_SECONDS: Final = 5.0
"""How long a write on an SQL database is under way at most, from its check to its commit."""

LONGEST_TRANSACTION: Final = timedelta(minutes=1)
"""How long an erasure waits for transactions of PostgreSQL that other writers have open."""
REDIS_SECONDS: Final = 60.0
"""How long an erasure waits for a Redis that does not answer."""
AGAIN: Final = timedelta(seconds=2)
"""When to call again while transactions are open."""

Report = Callable[[str, int], None]
"""Called with the name of a table and the number of rows that were deleted from it just now."""


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
    work = _Work(user_id, alias, row, report, most, scan)
    return work.run(wait=wait, vacuum=vacuum)


def progress_of(user_id: str, using: str | None = None) -> Progress | None:
    """The state of a person's erasure; None if there is none, or its tombstone has ended."""
    alias = using or memory_settings.database
    row = _stored(user_id, alias)
    return None if row is None else _Work(user_id, alias, row).progress()


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


class Horizon:
    """The transactions of a PostgreSQL that have begun, with a write, until now."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.next = self._read("xmax")

    def is_passed(self) -> bool:
        """Whether all of them have ended."""
        return self._read("xmin") >= self.next

    def _read(self, bound: str) -> int:
        with connections[self.alias].cursor() as cursor:
            cursor.execute(f"SELECT pg_snapshot_{bound}(pg_current_snapshot())::text::bigint")
            return int(cursor.fetchone()[0])


@dataclass(eq=False)
class _Work:
    user_id: str
    alias: str
    row: Erasure
    report: Report = lambda table, count: None
    most: int | None = None
    scan: bool = True
    began: float = field(default_factory=clock.monotonic)
    erased: dict[str, set[str]] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    deleted: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for one in ErasedIds.objects.using(self.alias).filter(erasure=self.row.pk):
            self.erased.setdefault(one.table, set()).update(one.digests)

    def progress(self, state: State | None = None, go_on_at: datetime | None = None) -> Progress:
        state = state or (State.FINISHED if self.row.finished else State.MORE)
        receipt = self.receipt() if state is State.FINISHED else ""
        return Progress(state, self.counts, self.row.until, go_on_at, receipt)

    @property
    def counts(self) -> dict[str, int]:
        """The number of erased records by table."""
        return {table: len(found) for table, found in sorted(self.erased.items()) if found}

    @property
    def person(self) -> Person:
        return Person(self.row.salt, digest(self.row.salt, self.user_id), self.erased)

    def run(self, *, wait: bool, vacuum: bool) -> Progress:
        if self.row.finished is not None:
            return self.progress(State.FINISHED)
        with secure_deletion(self.alias):
            settled = self.row.began + timedelta(seconds=settle_seconds(self.alias))
            while True:
                is_settled = timezone.now() >= settled and self._others_ended(settled, wait)
                if not self._pass():
                    return self.progress(State.MORE)
                self._forget_caches_in_time(wait)
                if is_settled and not self._found:
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
                self.notes = ["A transaction was open for longer than the erasure waits: verify when it has ended."]
                return True
            if not wait:
                return False
            time.sleep(0.1)
        self.notes = []
        return True

    @cached_property
    def _horizon(self) -> Horizon:
        return Horizon(self.alias)

    def _pass(self) -> bool:
        """Delete all rows. Returns False if it stopped at `most` rows.

        On SQLite it writes before it reads: there is one writer at a time, so what others wrote is committed then.
        """
        self._found = 0
        if connections[self.alias].vendor == "sqlite":
            self._save("passes")
        for holding, model, alias in self._installed(How.OWNED):
            for keys in pages_of_keys(owned_rows(holding, model, alias, self.user_id), self._page_size()):
                if not self._delete(model, alias, keys):
                    return False
        for holding, model, alias in self._installed(How.NAMED):
            if holding.label == "memory.AgentData" and not self.scan:
                continue
            if not self._delete_named(holding, model, alias):
                return False
        self.row.passes += 1
        self._save("passes")
        return True

    def _page_size(self) -> int:
        return KEYS_AT_ONCE if self.most is None else max(1, min(KEYS_AT_ONCE, self.most - self.deleted))

    def _delete_named(self, holding: Holding, model: type[models.Model], alias: str) -> bool:
        matches, who = MATCHERS[holding.label], self.person
        tables = tables_by_kind(alias) if holding.label == "admin.LogEntry" else None
        fields = holding.fields if tables is None else (*holding.fields, "content_type_id")
        for page in pages_of_values(named_rows(holding, model, alias), fields):
            if tables is not None:
                page = [(key, {**values, "table": tables.get(values["content_type_id"], "")}) for key, values in page]
            keys = [key for key, values in page if matches(values, who)]
            if keys and not self._delete(model, alias, keys):
                return False
        return True

    def _delete(self, model: type[models.Model], alias: str, keys: list[Any]) -> bool:
        """Note the digests of these rows, then delete them. Returns False if `most` rows are deleted."""
        table = table_of(model)
        noted = self.erased.setdefault(table, set())
        made = [digest(self.row.salt, str(key)) for key in keys]
        if new := [one for one in made if one not in noted]:
            ErasedIds.objects.using(self.alias).create(
                pk=f"{self.row.pk}-{new_id()}", erasure=self.row.pk, table=table, digests=new
            )
            noted.update(new)
        if model is UserSession:
            self.sessions.update(parts[1] for key in keys if (parts := UserSession.parts_of(key)))
        delete_keys(model, alias, keys)
        self.deleted += len(keys)
        self._found += len(keys)
        self.report(table, len(keys))
        return self.most is None or self.deleted < self.most

    def _installed(self, how: How) -> Iterator[tuple[Holding, type[models.Model], str]]:
        for holding in holdings(how):
            if (model := model_of(holding)) is not None:
                yield holding, model, alias_of(model, self.alias)

    def _forget_caches_in_time(self, wait: bool) -> None:
        """Forget what caches know; with `wait` a Redis that restarts is waited for."""
        until = clock.monotonic() + (REDIS_SECONDS if wait else 0.0)
        while True:
            try:
                return self._forget_caches()
            except ConnectionError:
                if clock.monotonic() >= until:
                    raise
                time.sleep(1.0)

    def _forget_caches(self) -> None:
        """Forget what this process and Redis know of the person."""
        sealing.known.forget(self.alias, self.user_id)
        self._forget_search()
        self._forget_snapshots()
        cache = cache_of(self.alias, MemoryItem)
        if cache is None:
            return
        try:
            for session_id in self.sessions:
                cache.drop(Conversation(self.user_id, session_id))
            cache.forget(self.user_id)
        except Unavailable as error:
            raise ConnectionError("Redis cannot be reached; erase again when it runs.") from error
        self.sessions.clear()

    def _forget_snapshots(self) -> None:
        try:
            forget_snapshots(self.user_id)
        except Unavailable as error:
            raise ConnectionError("Redis cannot be reached; erase again when it runs.") from error

    def _forget_search(self) -> None:
        if missing("search"):
            return
        from ..search import known, shared  # slow to import, and an extra

        known.cache.forget(self.alias, self.user_id)
        if digests := self.erased.get("memory_search_segments"):
            try:
                shared.forget_matching(lambda one: digest(self.row.salt, one) in digests)
            except Unavailable as error:
                raise ConnectionError("Redis cannot be reached; erase again when it runs.") from error

    def _finish(self, notes: list[str]) -> None:
        self.row.finished = timezone.now()
        self.row.receipt = {"notes": notes if self.scan else [*notes, "The data of other agents was not read."]}
        self._save("finished", "receipt")
        total = sum(self.counts.values())
        emit(Record(PYTHON, ERASE, "erase", self.row.requested_by, "", (self.user_id,), total, "done"))

    def _save(self, *fields: str) -> None:
        retried_on_contention(partial(self.row.save, using=self.alias, update_fields=fields), using=self.alias)

    def receipt(self) -> str:
        """The text of the receipt, signed if `MEMORY["RECEIPT_KEY"]` is set."""
        connection = connections[self.alias]
        made = Receipt(
            person=self.person.person,
            salt=self.row.salt,
            began=_text(self.row.began),
            finished=_text(self.row.finished),
            refused_until=_text(self.row.until),
            requested_by=self.row.requested_by,
            database=connection.vendor,
            passes=self.row.passes,
            counts=self.counts,
            ids={table: sorted(found) for table, found in sorted(self.erased.items()) if found},
            notes=tuple(self.row.receipt.get("notes", ())),
        )
        return written(made, memory_settings.receipt_key)


def _text(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()
