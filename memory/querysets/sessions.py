"""Sessions: their rows follow their items' times and are deleted with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

from memory.backends.firestore.querysets import FirestoreQuerySet

from ..batches import ROWS_AT_ONCE, Activity, activities, batches, places_of
from ..cache import Conversation
from ..contention import retry_on_contention, write_lock
from ..telemetry import CREATE_SESSION, DELETE_SESSION, UPDATE_SESSION, traced
from ..tombstones import tombstones

if TYPE_CHECKING:
    from ..models import MemoryItem, UserSession


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

        One write without a read, so concurrent writers of a session do not meet. Rows are written in the order of their
        keys: on PostgreSQL, writers of the same sessions in different orders end in a deadlock.
        """
        rows = [
            self.model(
                id=self.model.make_id(found.user_id, found.session_id),
                user_id=found.user_id,
                session_id=found.session_id,
                started_at=found.first,
                last_activity=found.last,
            )
            for found in activities((item.user_id, item.session_id, item.timestamp) for item in items)
        ]
        if not rows:
            return
        # Not refused: this may follow a commit. Items were checked before it.
        live = tombstones.without_erased({row.user_id for row in rows}, self.db)
        rows = [row for row in rows if row.user_id in live]
        rows.sort(key=attrgetter("pk"))
        with self.model.writing(self.db) as changes:
            changes.expect(row.conversation for row in rows)
            for batch in batches(rows, ROWS_AT_ONCE):
                self.widen(batch, same=("user_id", "session_id"), least=("started_at",), greatest=("last_activity",))
            changes.sessions_touched(rows)

    def narrow(self, deleted: Iterable[Activity]) -> None:
        """Correct the times of sessions of which items were deleted. Call it in the transaction that deleted them.

        Only a first or last item matters. A session without items keeps its times. The rows are locked, so that items
        which are added meanwhile widen them afterwards.
        """
        gone = {self.model.make_id(each.user_id, each.session_id): each for each in deleted}
        for batch in batches(sorted(gone), ROWS_AT_ONCE):
            for row in self.filter(pk__in=batch).order_by("pk").select_for_update():
                each = gone[row.pk]
                if each.first > row.started_at and each.last < row.last_activity:
                    continue
                left = self.model.stored_items(self.db).for_user(row.user_id).in_session(row.session_id)
                times = left.order_by("timestamp").values_list("timestamp", flat=True)
                first, last = times.first(), times.reverse().first()
                if first is not None and (first, last) != (row.started_at, row.last_activity):
                    self.filter(pk=row.pk).update(started_at=first, last_activity=last)

    @traced(CREATE_SESSION)
    @retry_on_contention
    def bulk_create(self, objs: Iterable[UserSession], *args: Any, **kwargs: Any) -> list[UserSession]:
        """Django's `bulk_create`; raises `ValidationError` for rows beyond the limits."""
        sessions = list(objs)
        self.model.refuse_erased(sessions, self.db)
        for session in sessions:
            session.check_limits()
        with self.model.writing(self.db) as changes:
            changes.expect(session.conversation for session in sessions)
            created = super().bulk_create(sessions, *args, **kwargs)
            changes.sessions_changed(session.conversation for session in sessions)
        return created

    @traced(UPDATE_SESSION)
    @retry_on_contention
    def update(self, **values: Any) -> int:
        """Django's `update`."""
        if not self.model.is_cached(self.db) or self.query.is_sliced:
            with write_lock(self.db):
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

    @traced(DELETE_SESSION)
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
                counts.update(some.delete_with_sessions()[1])
            counts.update(super().delete()[1])
            changes.sessions_changed(conversations)
        return counts.total(), dict(counts)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]
