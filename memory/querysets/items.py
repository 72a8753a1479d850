"""Items of users' memories, by user, session, type, meaning and text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from asgiref.sync import sync_to_async

from ..contention import retry_on_contention
from ..distances import CosineDistance, VectorDistance
from ..fields import content_hash
from ..text_index import text_index
from .records import RecordQuerySet

if TYPE_CHECKING:
    from ..models import MemoryItem


class MemoryItemQuerySet(RecordQuerySet["MemoryItem"]):
    """Items of users' memories."""

    def for_user(self, user_id: str) -> Self:
        """One user's items."""
        return self.filter(user_id=user_id)

    def in_session(self, session_id: str | None) -> Self:
        """Items of one session; None means those of no session."""
        return self.filter(session_id=session_id)

    def of_type(self, *item_types: str) -> Self:
        """Items of any of these types."""
        return self.filter(item_type__in=item_types)

    def nearest(self, vector: Sequence[float], count: int, distance: type[VectorDistance] = CosineDistance) -> Self:
        """The `count` items whose embeddings are nearest to `vector`, nearest first, each with its `distance`.

        Items without an embedding, or with one of another dimension, are left out.
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
        explain: bool = False,
    ) -> list[MemoryItem]:
        """The items that answer `query` best, best first, each with its `score`, by words and by meaning.

        They are one user's, named by `user_id` or by the queryset's filters, which hold for all that is found; its
        order does not matter. With `explain` each has its `score_parts`, a dict whose values add up to the score.
        Raises `ValueError` where there is no one user, for a limit outside 1..100 and a question over 10,000
        characters; `TypeError` for a slice, `values()` or groups, for a limit that is no whole number and a question
        that is no text; `EmbedderError` where the question's vector cannot be had.
        """
        if self._is_not_plain() or self.query.group_by is not None:
            raise TypeError("Search a queryset before it is sliced, combined, grouped, or made distinct or of values.")
        wanted = {"user_id": user_id, "session_id": session_id, "item_type": item_type}
        items = self.filter(**{name: value for name, value in wanted.items() if value is not None}).defer(None)
        return text_index().search(items.order_by(), query, limit, explain)

    async def asearch(self, query: str, **options: Any) -> list[MemoryItem]:
        """As `search`."""
        return await sync_to_async(self.search)(query, **options)

    def without_search_data(self) -> Self:
        """The items without what search alone has of them (terms, vector, their versions): more than most texts take.

        For reading: to save such an item is to update it, and fails where it is gone.
        """
        return self.defer(*self.model.UNREAD_FIELDS)

    def duplicates_of(self, item: MemoryItem) -> Self:
        """The same user's live items of the same type with the same text; none where the item has no text."""
        if item.text_content is None:
            return self.none()
        return self.live().filter(
            user_id=item.user_id, content_hash=content_hash(item.text_content), item_type=item.item_type
        )

    @retry_on_contention
    def update(self, **values: Any) -> int:
        """As `RecordQuerySet.update`; items that move to another session or time are told to their sessions."""
        if self._checked or {"user_id", "session_id", "timestamp"}.isdisjoint(values):
            return super().update(**values)
        return self._update_records(values)

    update.alters_data = True  # type: ignore[attr-defined]
