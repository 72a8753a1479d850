"""The feedback on searches as labelled conversations: `memory_evaluate --feedback` measures a search by them.

A question is measured if an item was said to answer it, or if it was said that nothing does. An item that was
said not to answer it is no evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from django.db.models import QuerySet

from memory.conf import memory_settings
from memory.models import MemoryItem, SearchLabel

from .labelled import UNANSWERABLE

ROWS_AT_ONCE = 1_000
CATEGORY = "feedback"


def labelled_data(using: str, user_ids: Iterable[str] = ()) -> dict[str, Any]:
    """The conversations of people on whose searches there is feedback, in the format of `memory.search.labelled`.

    `user_ids` restricts them. All live items of these people are read.
    """
    labels = SearchLabel.objects.using(using).order_by("user_id", "question_hash", "item_id")
    if wanted := list(user_ids):
        labels = labels.filter(user_id__in=wanted)
    found = groupby(labels.iterator(chunk_size=ROWS_AT_ONCE), key=lambda label: label.user_id)
    return {
        "conversations": [
            {"id": user_id, "turns": list(turns(items_of(user_id, using))), "questions": list(questions(of_user))}
            for user_id, of_user in found
        ]
    }


def items_of(user_id: str, using: str) -> QuerySet[MemoryItem]:
    """A user's live items, oldest first, without vectors."""
    items = MemoryItem.objects.using(using).for_user(user_id).without_search_data().defer("embedding")
    return items.order_by("timestamp", "id")


def turns(items: QuerySet[MemoryItem]) -> Iterator[dict[str, Any]]:
    """The items with a text as turns."""
    speaker = memory_settings.speaker
    for item in items.iterator(chunk_size=ROWS_AT_ONCE):
        if item.text_content is not None:
            yield {
                "id": item.pk,
                "session": item.session_id or "",
                "speaker": speaker(item),
                "role": item.role,
                "time": item.timestamp.isoformat(),
                "text": item.text_content,
            }


def questions(labels: Iterable[SearchLabel]) -> Iterator[dict[str, Any]]:
    """One question for all labels of its text, if they say what answers it."""
    for _, group in groupby(labels, key=lambda label: label.question_hash):
        of_question = list(group)
        evidence = [label.item_id for label in of_question if label.answers and label.item_id]
        nothing = any(not label.item_id for label in of_question)
        if evidence or nothing:
            category = CATEGORY if evidence else f"{CATEGORY}/{UNANSWERABLE}"
            yield {"question": of_question[0].question, "evidence": evidence, "category": category}
