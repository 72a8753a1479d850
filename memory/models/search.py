"""The stored models of search: the index of a user's items, and feedback on results."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..fields import (
    AnyJSONField,
    ContentHashField,
    DocumentIdField,
    LongTextField,
    NameField,
    WriteTimeField,
    content_hash,
    new_id,
)
from ..tombstones import Guarded


class SearchIndex(Guarded):
    """The directory of a user's search index: its segments, and from when on items are read one by one.

    `memory.search.packing` writes it and `memory.search.reading` reads it. Every change increments `generation`.
    """

    id = DocumentIdField(editable=False)
    user_id = NameField(_("user"))
    generation = models.BigIntegerField(default=0)
    segments = AnyJSONField(default=list, blank=True)
    # Microseconds since 1970 by the database's clock: items written later may not be in the segments. Null: all items.
    since = models.BigIntegerField(null=True)
    newest = models.BigIntegerField(default=0)  # when the last item in a segment was written
    claimed = WriteTimeField()

    firestore_unindexed = ("segments",)

    class Meta:
        db_table = "memory_search_indexes"
        verbose_name = _("search index")
        verbose_name_plural = _("search indexes")
        indexes = (models.Index(fields=["user_id"], name="memory_search_indexes_user"),)

    def __str__(self) -> str:
        return str(self.user_id)


class SearchSegment(Guarded):
    """A part of a user's search index, below 1 MiB; it never changes. `memory.search.segments` has its form."""

    id = DocumentIdField(default=new_id, editable=False)
    user_id = NameField(_("user"))
    data = models.BinaryField()

    firestore_unindexed = ("data",)

    class Meta:
        db_table = "memory_search_segments"
        verbose_name = _("segment of a search index")
        verbose_name_plural = _("segments of search indexes")
        indexes = (models.Index(fields=["user_id"], name="memory_search_segments_user"),)

    def __str__(self) -> str:
        return str(self.pk)


class SearchLabel(Guarded):
    """Feedback on a search: whether an item answers a question. `memory_evaluate --feedback` reads it.

    An empty `item_id` says that no item answers it.
    """

    id = DocumentIdField(editable=False)
    user_id = NameField(_("user"))
    question = LongTextField(_("question"))
    question_hash = ContentHashField(source="question")
    item_id = models.CharField(_("item"), max_length=1_500, blank=True, default="")
    answers = models.BooleanField(_("answers"), default=False)
    labelled_by = models.CharField(_("labelled by"), max_length=150, blank=True, default="")
    labelled_at = models.DateTimeField(_("labelled"), default=timezone.now)

    class Meta:
        db_table = "memory_search_labels"
        verbose_name = _("search feedback")
        verbose_name_plural = _("search feedback")
        ordering = ("-labelled_at", "-id")
        indexes = (
            models.Index(fields=["user_id", "question_hash", "item_id"], name="memory_labels_user_question"),
            models.Index(fields=["user_id", "-labelled_at"], name="memory_labels_user_time"),
            models.Index(fields=["-labelled_at", "-id"], name="memory_labels_time"),
        )

    def __str__(self) -> str:
        return f"{self.user_id}: {self.question[:60]}"

    @classmethod
    def of_question(cls, user_id: str, question: str) -> models.QuerySet[SearchLabel]:
        """The feedback on a question about a user's memory."""
        return cls._default_manager.order_by().filter(user_id=user_id, question_hash=content_hash(question))

    @classmethod
    def store(cls, user_id: str, question: str, item_id: str, *, answers: bool, by: str) -> SearchLabel:
        """Store feedback in the place of an earlier one on the same item. "Nothing" and "yes" replace each other."""
        rows = cls.of_question(user_id, question)
        contrary = rows.filter(answers=True) if not item_id else rows.filter(item_id="") if answers else rows.none()
        contrary.delete()
        parts = "\0".join((user_id, question, item_id))
        row = cls(
            id=content_hash(parts),
            user_id=user_id,
            question=question,
            item_id=item_id,
            answers=answers,
            labelled_by=by,
            labelled_at=timezone.now(),
        )
        row.save()
        return row
