"""Sessions: their rows follow their items' times and are deleted with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from memory.backends.firestore.querysets import FirestoreQuerySet

from ..batches import places_of
from ..cache import Conversation
from ..contention import retry_on_contention

if TYPE_CHECKING:
    from ..models import MemoryItem, UserSession


@dataclass(frozen=True)
class Activity:
    """The times of a session's first and last item."""

    user_id: str
    session_id: str
    first: datetime
    last: datetime


def activities(items: Iterable[MemoryItem]) -> list[Activity]:
    """One `Activity` for each session that the items belong to."""
    found: dict[tuple[str, str], Activity] = {}
    for item in items:
        if item.session_id is None:
            continue
        key = (item.user_id, item.session_id)
        known = found.get(key, Activity(*key, first=item.timestamp, last=item.timestamp))
        found[key] = Activity(*key, first=min(known.first, item.timestamp), last=max(known.last, item.timestamp))
    return list(found.values())


class UserSessionQuerySet(FirestoreQuerySet["UserSession"]):
    """Sessions, which do not expire; their items do."""

    def for_user(self, user_id: str) -> Self:
        """One user's sessions."""
        return self.filter(user_id=user_id)

    def newest_first(self) -> Self:
        """Order by last activity, newest first; ties by id."""
        return self.order_by("-last_activity", "-id")

    def recent(self, count: int) -> Self:
        """The `count` sessions with the newest activity."""
        return self.newest_first()[:count]

    @retry_on_contention
    def touch(self, items: Iterable[MemoryItem]) -> None:
        """Create the missing rows of the items' sessions, and widen the times of the others to include the items.

        Safe with concurrent writers: rows are inserted if missing, and times only move outwards.
        """
        seen = {self.model.make_id(found.user_id, found.session_id): found for found in activities(items)}
        if not seen:
            return
        with self.model.writing(self.db) as changes:
            conversations = {pk: Conversation(found.user_id, found.session_id) for pk, found in seen.items()}
            changes.expect(conversations.values())
            known = [changes.session(conversation) for conversation in conversations.values()]
            widened = {row.pk: row for row in known if row is not None and self._widen(row, seen[row.pk])}
            unknown = [found for pk, found in seen.items() if pk not in widened]
            for row in self._make_missing(unknown):
                if self._widen(row, seen[row.pk]):
                    widened[row.pk] = row
            for row in widened.values():
                changes.session_saved(row)
            changes.sessions_changed(conversations[pk] for pk in seen.keys() - widened.keys())

    def _make_missing(self, wanted: Sequence[Activity]) -> list[UserSession]:
        """The rows of the sessions; missing ones are created."""
        rows = [
            self.model(
                user_id=found.user_id, session_id=found.session_id, started_at=found.first, last_activity=found.last
            )
            for found in wanted
        ]
        for row in rows:
            row.check_limits()
        if rows:
            super().bulk_create(rows, ignore_conflicts=True)
        return list(self.filter(pk__in=[row.pk for row in rows])) if rows else []

    def _widen(self, row: UserSession, found: Activity) -> bool:
        """Move the row's times outwards, in the database and in memory; False if another writer moved them."""
        wider: dict[str, Any] = {}
        unmoved: dict[str, Any] = {}
        if found.last > row.last_activity:
            wider["last_activity"] = unmoved["last_activity__lt"] = found.last
        if found.first < row.started_at:
            wider["started_at"] = unmoved["started_at__gt"] = found.first
        if not wider:
            return True
        for name, value in wider.items():
            setattr(row, name, value)
        mine = self.filter(pk=row.pk)
        if super(UserSessionQuerySet, mine.filter(**unmoved)).update(**wider):
            return True
        if len(wider) == 2:  # one of the two may still have to move
            super(UserSessionQuerySet, mine.filter(last_activity__lt=found.last)).update(last_activity=found.last)
            super(UserSessionQuerySet, mine.filter(started_at__gt=found.first)).update(started_at=found.first)
        return False

    @retry_on_contention
    def bulk_create(self, objs: Iterable[UserSession], *args: Any, **kwargs: Any) -> list[UserSession]:
        """Django's `bulk_create`; raises `ValidationError` for rows beyond the limits."""
        sessions = list(objs)
        for session in sessions:
            session.check_limits()
        with self.model.writing(self.db) as changes:
            changes.expect(session.conversation for session in sessions)
            created = super().bulk_create(sessions, *args, **kwargs)
            changes.sessions_changed(session.conversation for session in sessions)
        return created

    @retry_on_contention
    def update(self, **values: Any) -> int:
        """Django's `update`."""
        if not self.model.is_cached(self.db) or self.query.is_sliced:
            return super().update(**values)
        changed = 0
        with self.model.writing(self.db) as changes:
            for found in places_of(self.order_by()):
                conversations = [conversation for _, conversation in found]
                changes.expect(conversations)
                some = self.order_by().filter(pk__in=[pk for pk, _ in found])
                changed += super(UserSessionQuerySet, some).update(**values)
                changes.sessions_changed(conversations)
        return changed

    update.alters_data = True  # type: ignore[attr-defined]

    @retry_on_contention
    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the sessions and all their items, expired ones too."""
        items = self.model.stored_items(self.db)
        counts: Counter[str] = Counter()
        with self.model.writing(self.db) as changes:
            conversations = [Conversation(*both) for both in self.values_list("user_id", "session_id")]
            changes.expect(conversations)
            for conversation in conversations:
                some = items.for_user(conversation.user_id).in_session(conversation.session_id)
                counts.update(some.delete()[1])
            counts.update(super().delete()[1])
            changes.sessions_changed(conversations)
        return counts.total(), dict(counts)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]
