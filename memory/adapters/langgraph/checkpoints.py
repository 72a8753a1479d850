"""Checkpoints and writes in the database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from django.db import IntegrityError, connections
from django.db.models import QuerySet

from memory.adapters.paths import digest
from memory.batches import ROWS_AT_ONCE, batches
from memory.contention import in_transaction, retried_on_contention, write_transaction
from memory.exceptions import StorageError, ValidationError
from memory.fields import new_id
from memory.models import AgentCheckpoint, AgentPart, AgentWrites
from memory.stores.validation import check_name

from .frames import Frame, frames_of, joined, split

RowT = TypeVar("RowT", AgentCheckpoint, AgentWrites)

READS = 3
"""Times that a row is read whose parts were deleted meanwhile."""
IDS_AT_ONCE = 30
"""Checkpoints whose writes are read at once: the most of a disjunction on Firestore."""
PAGE = 50
LONGEST_NAME = 255


@dataclass(frozen=True)
class Where:
    """A thread's graph or subgraph. `user_id` is the owner."""

    user_id: str
    thread_id: str
    namespace: str

    @property
    def place(self) -> str:
        """A digest of all three."""
        return digest("place", self.user_id, self.thread_id, self.namespace)

    def row_id(self, checkpoint_id: str) -> str:
        """The id of a checkpoint's row."""
        return digest("checkpoint", self.user_id, self.thread_id, self.namespace, checkpoint_id)


@dataclass(frozen=True)
class Wanted:
    """Which checkpoints to list. None: any. `before` is the id of a checkpoint."""

    thread_id: str | None = None
    namespace: str | None = None
    checkpoint_id: str | None = None
    before: str | None = None


@dataclass(frozen=True)
class Saved:
    """A checkpoint as it is stored: its frames, and those of the writes after it in the order of their tasks."""

    where: Where
    checkpoint_id: str
    parent_id: str | None
    frames: Mapping[str, Frame]
    writes: Sequence[tuple[str, Frame]] = ()


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one user in one database."""

    alias: str
    user_id: str

    def where(self, thread_id: object, namespace: str) -> Where:
        """The place of a thread's graph. Raises `ValidationError` for an id that cannot be stored."""
        _check("thread_id", str(thread_id))
        return Where(self.user_id, str(thread_id), namespace)

    def put(
        self,
        where: Where,
        checkpoint_id: str,
        parent_id: str | None,
        frames: Sequence[Frame],
        about: Mapping[str, Any],
    ) -> None:
        """Store a checkpoint. `about` are values of fields. One with the same id is replaced."""
        _check("checkpoint_id", checkpoint_id)
        row = AgentCheckpoint(
            id=where.row_id(checkpoint_id),
            user_id=self.user_id,
            thread_id=where.thread_id,
            namespace=where.namespace,
            place=where.place,
            checkpoint_id=checkpoint_id,
            parent_id=parent_id,
            **about,
        )
        self._create(row, frames, lambda old: list(frames))

    def put_writes(self, where: Where, checkpoint_id: str, task_id: str, frames: Sequence[Frame]) -> None:
        """Store writes of a task. A frame is about `[index, channel, path]`.

        Of an ordinary write, which has an index from 0 on, the first one stays; of a special one the last.
        """
        _check("task_id", task_id)
        checkpoint = where.row_id(checkpoint_id)
        row = AgentWrites(
            id=digest("writes", checkpoint, task_id),
            user_id=self.user_id,
            thread_id=where.thread_id,
            checkpoint=checkpoint,
            task_id=task_id,
        )
        self._create(row, frames, partial(merged, frames))

    def _create(self, row: RowT, frames: Sequence[Frame], merge: Callable[[list[Frame]], list[Frame]]) -> None:
        """Create a row without a read; if it exists, read it and store what `merge` makes of its frames."""
        if not in_transaction(connections[self.alias]):
            self._fill(row, frames)
            try:
                with write_transaction(self.alias):
                    row.save(force_insert=True, using=self.alias)
            except IntegrityError:
                self._delete_parts(row.parts)
            else:
                return
        retried_on_contention(partial(self._replace, row, frames, merge), using=self.alias, keys=[row.pk])

    def _replace(self, row: RowT, frames: Sequence[Frame], merge: Callable[[list[Frame]], list[Frame]]) -> None:
        with write_transaction(self.alias):
            old = type(row)._default_manager.using(self.alias).select_for_update().filter(pk=row.pk).first()
            self._fill(row, frames if old is None else merge(frames_of(self._data([old])[row.pk])))
            if old is None:
                row.save(force_insert=True, using=self.alias)
            else:
                row.save(force_update=True, using=self.alias)
                self._delete_parts(old.parts)

    def _fill(self, row: RowT, frames: Iterable[Frame]) -> None:
        """Set the row's bytes; parts are stored at once."""
        data = joined(frames)
        parts = [
            AgentPart(id=new_id(), user_id=self.user_id, thread_id=row.thread_id, data=part) for part in split(data)
        ]
        AgentPart.objects.using(self.alias).bulk_create(parts)
        row.parts, row.data = [part.pk for part in parts], b"" if parts else data

    def _delete_parts(self, ids: Sequence[str]) -> None:
        for batch in batches(list(ids), ROWS_AT_ONCE):
            AgentPart.objects.using(self.alias).filter(pk__in=batch).delete()

    def get(self, where: Where, checkpoint_id: str | None, *, writes: bool = True) -> Saved | None:
        """A checkpoint, by default the latest, or None."""
        for _ in range(READS):
            row = self._row(where, checkpoint_id)
            if row is None:
                return None
            if found := self._saved([row], writes):
                return found[0]
        raise StorageError("Parts of this checkpoint are missing.")

    def _row(self, where: Where, checkpoint_id: str | None) -> AgentCheckpoint | None:
        rows = AgentCheckpoint.objects.using(self.alias)
        if checkpoint_id is None:
            return rows.filter(place=where.place).order_by("-checkpoint_id").first()
        return rows.filter(pk=where.row_id(checkpoint_id)).first()

    def _saved(self, rows: Sequence[AgentCheckpoint], writes: bool) -> list[Saved]:
        """The checkpoints of rows, without those whose parts were deleted meanwhile."""
        after = self._writes([row.pk for row in rows]) if writes else {}
        data = self._data(rows)
        return [
            Saved(
                Where(row.user_id, row.thread_id, row.namespace),
                row.checkpoint_id,
                row.parent_id,
                {frame.about: frame for frame in frames_of(data[row.pk])},
                after.get(row.pk, ()),
            )
            for row in rows
            if row.pk in data
        ]

    def _data(self, rows: Iterable[RowT]) -> dict[str, bytes]:
        """The bytes of rows, by id; without rows whose parts are missing."""
        listed = list(rows)
        ids = [part for row in listed for part in row.parts]
        parts: dict[str, AgentPart] = {}
        for batch in batches(ids, ROWS_AT_ONCE):
            parts |= AgentPart.objects.using(self.alias).in_bulk(batch)
        return {
            row.pk: b"".join(bytes(parts[part].data) for part in row.parts) if row.parts else bytes(row.data)
            for row in listed
            if all(part in parts for part in row.parts)
        }

    def _writes(self, checkpoints: Sequence[str]) -> dict[str, list[tuple[str, Frame]]]:
        """Task ids and frames by checkpoint, in the order in which a run applies them: path, task, index."""
        rows = [
            row
            for batch in batches(list(checkpoints), IDS_AT_ONCE)
            for row in AgentWrites.objects.using(self.alias).filter(checkpoint__in=batch)
        ]
        data, found = self._data(rows), dict[str, list[tuple[str, Frame]]]()
        for row in rows:
            frames = frames_of(data[row.pk]) if row.pk in data else []
            found.setdefault(row.checkpoint, []).extend((row.task_id, frame) for frame in frames)
        for writes in found.values():
            writes.sort(key=lambda write: (write[1].about[2], write[0], write[1].about[0]))
        return found

    def page(self, wanted: Wanted, seen: Collection[str], size: int) -> tuple[list[Saved], str | None, list[str]]:
        """Checkpoints, newest first, without `seen` rows; the id from which the next page starts; the ids of the rows.

        The id is None after the last page.
        """
        rows = self._rows(wanted).order_by("-checkpoint_id", "-id")
        if wanted.before is not None:
            # Copies of a thread have the same ids: those of a page's last id are read again.
            rows = (
                rows.filter(checkpoint_id__lte=wanted.before) if seen else rows.filter(checkpoint_id__lt=wanted.before)
            )
        read = list(rows[: size + len(seen)])
        last = read[-1].checkpoint_id if len(read) == size + len(seen) else None
        fresh = [row for row in read if row.pk not in seen]
        return self._saved(fresh, writes=True), last, [row.pk for row in read if row.checkpoint_id == last]

    def _rows(self, wanted: Wanted) -> QuerySet[AgentCheckpoint]:
        rows = AgentCheckpoint.objects.using(self.alias)
        if wanted.thread_id is None:
            rows = rows.filter(user_id=self.user_id)
        elif wanted.namespace is None:
            rows = rows.filter(user_id=self.user_id, thread_id=wanted.thread_id)
        else:
            rows = rows.filter(place=Where(self.user_id, wanted.thread_id, wanted.namespace).place)
        return rows if wanted.checkpoint_id is None else rows.filter(checkpoint_id=wanted.checkpoint_id)

    def ancestors(self, where: Where, checkpoint_id: str) -> Iterator[Saved]:
        """The checkpoints before this one on its path, newest first, each with its writes.

        Those of a page are read at once, since most of a thread's checkpoints are on the path.
        """
        row = self._row(where, checkpoint_id)
        parent = None if row is None else row.parent_id
        known: dict[str, AgentCheckpoint] = {}
        while parent is not None:
            if parent not in known:
                place = AgentCheckpoint.objects.using(self.alias).filter(place=where.place)
                found = place.filter(checkpoint_id__lte=parent).order_by("-checkpoint_id")[:PAGE]
                known = {row.checkpoint_id: row for row in found}
            if parent not in known:
                return
            path = list(_path(known, parent))
            yield from self._saved(path, writes=True)
            parent = path[-1].parent_id

    def delete_thread(self, thread_id: object) -> None:
        """Delete everything of a thread."""
        for model in (AgentCheckpoint, AgentWrites, AgentPart):
            model._default_manager.using(self.alias).filter(user_id=self.user_id, thread_id=str(thread_id)).delete()

    def delete_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of these runs, and their writes."""
        rows = AgentCheckpoint.objects.using(self.alias).filter(user_id=self.user_id)
        for batch in batches(list(run_ids), IDS_AT_ONCE):
            self._delete(list(rows.filter(run_id__in=batch).only("id", "parts")))

    def _delete(self, rows: Sequence[AgentCheckpoint]) -> None:
        writes = AgentWrites.objects.using(self.alias)
        for batch in batches(list(rows), IDS_AT_ONCE):
            ids = [row.pk for row in batch]
            AgentCheckpoint.objects.using(self.alias).filter(pk__in=ids).delete()
            after = list(writes.filter(checkpoint__in=ids).only("id", "parts"))
            for gone in batches([row.pk for row in after], ROWS_AT_ONCE):
                writes.filter(pk__in=gone).delete()
            self._delete_parts([part for row in (*batch, *after) for part in row.parts])

    def prune(self, thread_id: object, is_needed: Callable[[Iterable[Saved]], Iterator[bool]]) -> None:
        """Keep the latest checkpoint of each namespace, and those before it on its path that are needed.

        `is_needed` gets the path, newest first, which is read as it is asked for. It yields True for each that is
        needed, and ends.
        """
        places: dict[str, list[AgentCheckpoint]] = {}
        for row in self._of_thread(thread_id):
            places.setdefault(row.place, []).append(row)
        for found in places.values():
            path = list(_path({row.checkpoint_id: row for row in found}, found[0].checkpoint_id))
            saved = (checkpoint for row in path for checkpoint in self._saved([row], writes=False))
            kept = {row.pk for row, _ in zip(path, is_needed(saved), strict=False)}
            self._delete([row for row in found if row.pk not in kept])

    def copy(self, source: object, target: object) -> None:
        """Copy all checkpoints and writes of a thread to another one, which keeps what it has under other ids."""
        if str(source) == str(target):
            return
        for batch in batches(self._of_thread(source)[::-1], IDS_AT_ONCE):  # oldest first: a parent before its children
            rows = AgentCheckpoint.objects.using(self.alias).in_bulk([row.pk for row in batch])
            for saved in self._saved([rows[row.pk] for row in batch if row.pk in rows], writes=True):
                self._copy(rows[saved.where.row_id(saved.checkpoint_id)], saved, target)

    def _copy(self, row: AgentCheckpoint, saved: Saved, target: object) -> None:
        where = self.where(target, row.namespace)
        tasks: dict[str, list[Frame]] = {}
        for task_id, frame in saved.writes:
            tasks.setdefault(task_id, []).append(frame)
        for task_id, frames in tasks.items():
            self.put_writes(where, row.checkpoint_id, task_id, frames)
        about = {name: getattr(row, name) for name in ("run_id", "step", "source", "created")}
        self.put(where, row.checkpoint_id, row.parent_id, list(saved.frames.values()), about)

    def _of_thread(self, thread_id: object) -> list[AgentCheckpoint]:
        """The rows of a thread, newest first; their bytes are read when they are asked for."""
        rows = AgentCheckpoint.objects.using(self.alias).filter(user_id=self.user_id, thread_id=str(thread_id))
        return list(rows.defer("data").order_by("-checkpoint_id"))


def _check(argument: str, value: str) -> None:
    """Raise `ValidationError` for an id that some database cannot store."""
    check_name(argument, value)
    if len(value) > LONGEST_NAME:
        raise ValidationError({argument: f"This must have at most {LONGEST_NAME} characters, not {len(value)}."})


def _path(rows: Mapping[str, AgentCheckpoint], checkpoint_id: str | None) -> Iterator[AgentCheckpoint]:
    """The checkpoint and those before it, as far as `rows` has them. A circle ends it."""
    left = dict(rows)
    while checkpoint_id is not None and (row := left.pop(checkpoint_id, None)) is not None:
        yield row
        checkpoint_id = row.parent_id


def merged(new: Iterable[Frame], old: Iterable[Frame]) -> list[Frame]:
    """The frames of a task: ordinary ones as they were first written, special ones as they were last."""
    found = {frame.about[0]: frame for frame in old}
    for frame in new:
        if frame.about[0] < 0 or frame.about[0] not in found:
            found[frame.about[0]] = frame
    return list(found.values())
