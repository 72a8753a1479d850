"""Memory items, by user, session, type, vector and text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from asgiref.sync import sync_to_async
from django.db import models
from django.utils import timezone

from ..batches import activities_of
from ..contention import retried_on_contention, retry_on_contention
from ..distances import CosineDistance, VectorDistance
from ..fields import content_hash
from ..telemetry import DELETE, traced
from ..text_index import Results, SearchOptions, text_index
from . import validity
from .contexts import RECALLED, TOKENS, TURNS, ContextOptions, MemoryContext, checked, context_of
from .moments import CurrentTime
from .records import RecordQuerySet

if TYPE_CHECKING:
    from ..models import MemoryItem

TOUCHED_FOR: Final = timedelta(days=1)


class MemoryItemQuerySet(RecordQuerySet["MemoryItem"]):
    """Memory items."""

    def for_user(self, user_id: str) -> Self:
        """One user's items."""
        return self.filter(user_id=user_id)

    def in_session(self, session_id: str | None) -> Self:
        """Items of one session; None: items without a session."""
        return self.filter(session_id=session_id)

    def of_type(self, *item_types: str) -> Self:
        """Items of any of these types."""
        return self.filter(item_type__in=item_types)

    def as_of(self, time: datetime | None = None) -> Self:
        """Items that are valid at `time`, by default whenever the query runs.

        An item is valid from `valid_from` up to but not including `valid_to`; empty ones leave that side open.
        """
        moment = CurrentTime() if time is None else time
        return self.exclude(valid_to__lte=moment).exclude(valid_from__gt=moment)

    def nearest(self, vector: Sequence[float], count: int, distance: type[VectorDistance] = CosineDistance) -> Self:
        """The `count` items whose embeddings are nearest to `vector`, nearest first, annotated with `distance`.

        Items without an embedding, or with one of another dimension, are excluded.
        """
        measured = self.annotate(distance=distance("embedding", vector))
        return measured.filter(distance__isnull=False).order_by("distance")[:count]

    def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        item_type: str | None = None,
        limit: int = 10,
        min_score: float = 0.0,
        hidden: bool = False,
        explain: bool = False,
        asker: str = "",
        as_of: datetime | None = None,
        importance: float = 0.0,
        recency: float = 0.0,
        touch: bool = False,
    ) -> Results:
        """The items that answer `query` best, by words and by meaning, best first.

        The search covers one user's items: pass `user_id` or filter by it. All filters of the queryset apply; its order
        does not. Items without text, and those whose metadata has a true `hidden` (unless `hidden` is True), are not
        found; of items with the same text one is.

        Each result has `score`, the estimated probability (0 to 1) that it belongs to the answer, and `same`, the ids
        of other items with its text. Results below `min_score` are left out; `memory.search.MIN_SCORE` is a good value.
        With `explain` each has `score_parts`, a dict of the parts of its score. `asker` is the speaker who says "I" in
        the query; by default it is the user.

        Results that are valid at `as_of`, by default now, come first, and an item takes the place of the one that it
        supersedes; the others follow, with a false `valid`. `importance` and `recency` (0 to 1) are weights of the
        item's importance, and of its age since it was written or used, which are added to its score for the order. With
        `touch` the results are noted as used (`touch()`).

        `waiting` of the returned list is the number of items that wait for the search index and were not searched in
        full; 0 if all were.

        Raises `ValueError` unless exactly one user is selected, for a limit outside 1..100, a `min_score` outside 0..1,
        and a query over 10,000 characters; `TypeError` for a sliced, grouped or `values()` queryset, a limit that is
        not an integer, and a query that is not a string; `EmbedderError` if the query cannot be embedded.
        """
        [found] = self.search_many(
            [query],
            user_id=user_id,
            session_id=session_id,
            item_type=item_type,
            limit=limit,
            min_score=min_score,
            hidden=hidden,
            explain=explain,
            asker=asker,
            as_of=as_of,
            importance=importance,
            recency=recency,
            touch=touch,
        )
        return found

    async def asearch(self, query: str, **options: Any) -> Results:
        """As `search`."""
        return await sync_to_async(self.search)(query, **options)

    def search_many(
        self,
        queries: Sequence[str],
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        item_type: str | None = None,
        limit: int = 10,
        min_score: float = 0.0,
        hidden: bool = False,
        explain: bool = False,
        asker: str = "",
        as_of: datetime | None = None,
        importance: float = 0.0,
        recency: float = 0.0,
        touch: bool = False,
    ) -> list[Results]:
        """The results of `search` for each of several queries; the memory is read once."""
        if self._is_not_plain() or self.query.group_by is not None:
            raise TypeError("search() needs a queryset without slices, combinators, grouping, distinct() or values().")
        wanted = {"user_id": user_id, "session_id": session_id, "item_type": item_type}
        items = self.filter(**{name: value for name, value in wanted.items() if value is not None}).defer(None)
        options = SearchOptions(limit, min_score, hidden, explain, asker, as_of, importance, recency, touch)
        return text_index().search(items.order_by(), queries, options)

    async def asearch_many(self, queries: Sequence[str], **options: Any) -> list[Results]:
        """As `search_many`."""
        return await sync_to_async(self.search_many)(queries, **options)

    def context(
        self,
        user_id: str,
        session_id: str | None,
        question: str,
        tokens: int = TOKENS,
        *,
        turns: int = TURNS,
        limit: int = RECALLED,
        min_score: float = 0.0,
    ) -> MemoryContext:
        """A context for a language model in at most `tokens` tokens: recent turns, and what answers `question`.

        The `turns` newest items of the session (None: of all the user's sessions) that are valid now are read, by one
        query unless some are not, and `limit` (1 to 100) results of `search()`, of all sessions, with at least
        `min_score`. All filters of the queryset apply. docs/context.md has the rules.

        Raises as `search()` does, and `ValueError` and `TypeError` for `tokens` outside 1..1,000,000 and `turns`
        outside 1..1,000.
        """
        options = checked(ContextOptions(tokens, turns, limit, min_score))
        found = self.search(question, user_id=user_id, limit=options.limit, min_score=options.min_score)
        items = self.for_user(user_id).without_search_data()
        recent = items if session_id is None else items.in_session(session_id)
        turns_now = list(validity.first_valid(recent.newest_first(), options.turns))
        return context_of(turns_now, found, options.tokens)

    async def acontext(
        self, user_id: str, session_id: str | None, question: str, tokens: int = TOKENS, **options: Any
    ) -> MemoryContext:
        """As `context`."""
        return await sync_to_async(self.context)(user_id, session_id, question, tokens, **options)

    def touch(self, items: Iterable[MemoryItem], now: datetime | None = None) -> int:
        """Note that items were used, at most once a day each; return how many were written.

        Items that were noted within a day cost nothing. Cached items may have the earlier time.
        """
        now = timezone.now() if now is None else now
        before = now - TOUCHED_FOR
        stale = [item for item in items if item.touched is None or item.touched <= before]
        if not stale:
            return 0
        keys = {item.pk for item in stale}
        rows = self.order_by().filter(pk__in=keys)
        rows = rows.filter(models.Q(touched__isnull=True) | models.Q(touched__lte=before))
        # Neither the text nor the conversation changes: no limit, index or cache has to follow.
        update = partial(models.QuerySet.update, rows, touched=now)
        touched: int = retried_on_contention(update, using=self.db, keys=keys)
        for item in stale:
            item.touched = now
        return touched

    touch.alters_data = True  # type: ignore[attr-defined]

    def without_search_data(self) -> Self:
        """Defer the fields that only search reads: the vector of a text is larger than most texts.

        For reading: saving such an item updates it, and raises if it was deleted meanwhile.
        """
        return self.defer(*self.model.UNREAD_FIELDS)

    def duplicates_of(self, item: MemoryItem) -> Self:
        """The same user's live items of the same type with the same text, as far as they are valid now.

        Empty for an item without text.
        """
        if item.text_content is None:
            return self.none()
        same = {"user_id": item.user_id, "content_hash": content_hash(item.text_content), "item_type": item.item_type}
        return self.live().as_of().filter(**same)

    @retry_on_contention
    def update(self, **values: Any) -> int:
        """As `RecordQuerySet.update`; a change of session or time also updates the rows of the sessions."""
        if self._checked or {"user_id", "session_id", "timestamp"}.isdisjoint(values):
            return super().update(**values)
        return self._update_records(values)

    update.alters_data = True  # type: ignore[attr-defined]

    @traced(DELETE)
    @retry_on_contention
    def delete(self) -> tuple[int, dict[str, int]]:
        """As `RecordQuerySet.delete`; the times of sessions whose first or last item is deleted are corrected."""
        if self._is_not_plain():
            return super().delete()
        with self.model.writing(self.db) as changes:
            places, gone = activities_of(self.order_by())
            deleted = self._delete_places(places, changes)
            self.model.sessions(self.db).narrow(gone)
        return deleted

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def delete_with_sessions(self) -> tuple[int, dict[str, int]]:
        """Delete items whose sessions are deleted in the same transaction."""
        return super().delete()
