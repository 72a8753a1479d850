"""Questions and what they find: search, duplicates, contexts."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from rest_framework import serializers

from ...querysets.contexts import MOST_TOKENS, RECALLED, TOKENS, TURNS
from ...search import MIN_SCORE
from ...text_index import MOST_RESULTS
from .. import fields
from ..filters import ASKER, DEFAULT_RESULTS
from .base import OwnedSerializer, StrictSerializer
from .records import MemoryItemSerializer

MOST_QUESTIONS = 10
MOST_TURNS_OF_API = 200
FILTERS = frozenset({"session_id", "item_type", "persona_active", "since", "until", "metadata_key", "metadata_value"})


class DuplicateQuerySerializer(OwnedSerializer):
    """The item to check for duplicates."""

    user_id = fields.OwnerField(
        required=False, max_length=255, help_text="The user whose memory is checked; default: yourself."
    )
    item_type = fields.TextField(max_length=255)
    text_content = fields.TextField(allow_blank=True)


class DuplicateSerializer(serializers.Serializer[Any]):
    """Whether an item with the same user, type and text exists."""

    duplicate = serializers.BooleanField()
    id = serializers.CharField(allow_null=True, help_text="The oldest such item, or null.")


class FoundItemSerializer(MemoryItemSerializer):
    """A search result: a memory item without its vector."""

    score = serializers.FloatField(
        read_only=True, help_text="The estimated probability, 0 to 1, that the item belongs to the answer."
    )
    valid = serializers.BooleanField(
        read_only=True, help_text="Whether the item is valid at `as_of`. Results that are not valid come last."
    )
    count = serializers.SerializerMethodField(help_text="The number of items with this text; one of them is returned.")
    parts = serializers.DictField(
        source="score_parts",
        child=serializers.FloatField(),
        read_only=True,
        allow_null=True,
        default=None,
        help_text="The parts of the score by name, see docs/search.md. Null unless `explain` is true.",
    )

    class Meta(MemoryItemSerializer.Meta):
        fields = (
            *(name for name in MemoryItemSerializer.Meta.fields if name != "embedding"),
            *("score", "valid", "count", "parts"),
        )

    def get_count(self, item: Any) -> int:
        """With this one."""
        return 1 + len(item.same)


class FoundSerializer(serializers.Serializer[Any]):
    """Search results, best first."""

    results = FoundItemSerializer(many=True)
    nothing_found = serializers.BooleanField(
        help_text=f"Whether no result has a score of at least {MIN_SCORE}: the memory has probably no answer."
    )
    waiting = serializers.IntegerField(
        help_text="Items that wait for the search index and were not searched in full; 0 if all were.", min_value=0
    )


class AnsweredSerializer(FoundSerializer):
    """The results of one of several questions."""

    q = serializers.CharField(help_text="The question.")


class AnswersSerializer(serializers.Serializer[Any]):
    """The results of several questions, in their order."""

    searches = AnsweredSerializer(many=True)


class QuestionsSerializer(StrictSerializer):
    """Questions to one user's memory, with the filters of a list."""

    questions = serializers.ListField(
        child=fields.QuestionField(),
        min_length=1,
        max_length=MOST_QUESTIONS,
        help_text=f"1 to {MOST_QUESTIONS} questions, or keywords. Each has results of its own.",
    )
    user_id = fields.FilterTextField(required=False, help_text="The user whose memory is searched; default: yourself.")
    limit = fields.StrictIntegerField(
        default=DEFAULT_RESULTS,
        min_value=1,
        max_value=MOST_RESULTS,
        help_text="Maximum number of results for each question.",
    )
    min_score = fields.StrictNumberField(
        default=0.0, min_value=0, max_value=1, help_text=f"Leave out results with a lower score, such as {MIN_SCORE}."
    )
    hidden = fields.StrictBooleanField(
        default=False, help_text="Whether to find items whose metadata has a true `hidden`, too."
    )
    explain = fields.StrictBooleanField(default=False, help_text="Whether to include the parts of each score.")
    asker = fields.FilterTextField(required=False, help_text=ASKER)
    as_of = fields.TimestampField(required=False, help_text="Results that are valid at this time come first.")
    importance = fields.StrictNumberField(
        default=0.0, min_value=0, max_value=1, help_text="Weight of the items' `importance` in the order."
    )
    recency = fields.StrictNumberField(
        default=0.0, min_value=0, max_value=1, help_text="Weight of how new an item is in the order."
    )
    touch = fields.StrictBooleanField(
        default=False, help_text="Whether to note the results as used, at most once a day each."
    )
    session_id = fields.FilterTextField(required=False, help_text="The session.")
    item_type = fields.FilterTextField(required=False, help_text="The type.")
    persona_active = fields.FilterTextField(required=False, help_text="The persona.")
    since = fields.TimestampField(required=False, help_text="At or after this time.")
    until = fields.TimestampField(required=False, help_text="Before this time.")
    metadata_key = fields.FilterTextField(required=False, help_text="Items whose `metadata` has this top-level key.")
    metadata_value = fields.ScalarField(
        required=False, help_text="The value of `metadata_key`: a text, a number, true, false or null."
    )

    @property
    def parameters(self) -> dict[str, str]:
        """The filters, as the query parameters of a list have them."""
        values = {name: value for name, value in self.validated_data.items() if name in FILTERS}
        return {name: _parameter(value) for name, value in values.items() if name != "metadata_value"} | (
            {"metadata_value": json.dumps(values["metadata_value"])} if "metadata_value" in values else {}
        )


def _parameter(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


class ContextQuerySerializer(StrictSerializer):
    """A question, and the conversation in which it is asked."""

    question = fields.QuestionField(help_text="What the model is about to answer.")
    session_id = fields.TextField(
        required=False,
        allow_null=True,
        default=None,
        help_text="The session of the recent turns; null: the newest of all sessions.",
    )
    user_id = fields.TextField(required=False, help_text="The user whose memory is used; default: yourself.")
    tokens = fields.StrictIntegerField(
        default=TOKENS, min_value=1, max_value=MOST_TOKENS, help_text="The budget: the most tokens of `text`."
    )
    turns = fields.StrictIntegerField(
        default=TURNS, min_value=1, max_value=MOST_TURNS_OF_API, help_text="How many recent turns are considered."
    )
    limit = fields.StrictIntegerField(
        default=RECALLED, min_value=1, max_value=MOST_RESULTS, help_text="How many items are recalled at most."
    )
    min_score = fields.StrictNumberField(
        default=0.0, min_value=0, max_value=1, help_text=f"Recall no items with a lower score, such as {MIN_SCORE}."
    )


class ContextItemSerializer(MemoryItemSerializer):
    """An item of a context, without its vector."""

    class Meta(MemoryItemSerializer.Meta):
        fields = tuple(name for name in MemoryItemSerializer.Meta.fields if name != "embedding")


class ContextSerializer(serializers.Serializer[Any]):
    """A context for a language model."""

    text = serializers.CharField(help_text="The context: a line for each item, with its time and speaker.")
    tokens = serializers.IntegerField(help_text="The tokens of `text`, at most as many as asked for.")
    recent = ContextItemSerializer(many=True, help_text="The recent turns in it, oldest first.")
    recalled = ContextItemSerializer(many=True, help_text="The recalled items in it, oldest first.")
    summary = serializers.CharField(help_text="The summary of what was cut; empty without a summarizer.")
    cut = serializers.SerializerMethodField(help_text="The number of items that were considered and cut.")
    is_truncated = serializers.BooleanField(help_text="Whether the newest turn alone exceeds the budget, and is cut.")

    def get_cut(self, context: Any) -> int:
        """Their number."""
        return len(context.cut)
