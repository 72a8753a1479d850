"""Serializers of records. Unknown fields are errors."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from functools import cache
from typing import Any, ClassVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import SkipField, empty
from rest_framework.settings import api_settings

from ..conf import memory_settings
from ..fields import AnyJSONField, VectorField
from ..fields import MapField as MapModelField
from ..lifecycle.erasure import KEEP, State
from ..models import AgentData, MemoryItem, UserSession
from ..querysets.contexts import MOST_TOKENS, RECALLED, TOKENS, TURNS
from ..search import MIN_SCORE
from ..text_index import MOST_RESULTS
from . import fields
from .errors import MAX_PROBLEMS, printable
from .filters import ASKER, DEFAULT_RESULTS
from .parsers import RECORD_VALUES, has_more_values
from .permissions import principal

MOST_QUESTIONS = 10
MOST_TURNS_OF_API = 200
KEEP_HOURS = int(KEEP / timedelta(hours=1))
MOST_HOURS = 24 * 365
UNKNOWN = "This field does not exist or is read-only."


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that rejects unknown fields."""

    def to_internal_value(self, data: Any) -> Any:
        """Validate; unknown fields are reported with all other errors."""
        names = filter(self._is_unknown, data if isinstance(data, Mapping) else ())
        unknown = {
            printable(name): [ErrorDetail(UNKNOWN, code="unknown")] for name in itertools.islice(names, MAX_PROBLEMS)
        }
        try:
            values = super().to_internal_value(data)
        except ValidationError as error:
            if unknown and isinstance(error.detail, dict):
                raise ValidationError({**error.detail, **unknown}) from error
            raise
        if unknown:
            raise ValidationError(unknown)
        return values

    def _is_unknown(self, name: str) -> bool:
        return name not in self.fields or self.fields[name].read_only


class OwnedSerializer(StrictSerializer):
    """Sets the field `OWNER` of new records to the principal by default."""

    OWNER: ClassVar[str] = "user_id"

    def to_internal_value(self, data: Any) -> Any:
        """Like `StrictSerializer`, with the default owner."""
        if self.instance is None and isinstance(data, Mapping) and self.OWNER not in data:
            data = {**data, self.OWNER: principal(self.context["request"])}
        return super().to_internal_value(data)


class RecordSerializer(OwnedSerializer, serializers.ModelSerializer[Any]):
    """The base of the three record serializers."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: fields.TextField,
        models.TextField: fields.TextField,
        models.DateTimeField: fields.TimestampField,
        AnyJSONField: fields.JSONField,
        MapModelField: fields.MapField,
        VectorField: fields.VectorField,
    }

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Copies of the class' fields, which take a third of the time that it takes to make them from the model."""
        return deepcopy(_fields_of(type(self)))

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """As the base, which makes several calls for each value."""
        if not isinstance(instance, models.Model):
            return super().to_representation(instance)
        loaded = vars(instance)
        made = {}
        for name, attribute, is_text, field in _outputs_of(type(self)):
            try:
                value = loaded[attribute] if attribute in loaded else field.get_attribute(instance)
            except SkipField:
                continue
            is_ready = value is None or (is_text and value.__class__ is str)
            made[name] = value if is_ready else field.to_representation(value)
        return made

    def validate_id(self, value: str) -> str:
        """Reject a change of the id."""
        if self.instance is not None and value != self.instance.pk:
            raise ValidationError("The id cannot be changed.", code="immutable")
        return value

    def create(self, validated_data: dict[str, Any]) -> Any:
        """Insert a new record."""
        model: Any = self.Meta.model
        record = model(**validated_data)
        record.save(force_insert=True)
        return record

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        """Write only the fields of the request."""
        changes = {name: value for name, value in validated_data.items() if name != "id"}
        for name, value in changes.items():
            setattr(instance, name, value)
        if prepared := self.context.get("prepared"):
            instance.take_derived_fields(prepared)
        if changes:
            instance.save(update_fields=list(changes))
        return instance

    def prepared(self) -> Any:
        """The changed instance, not saved, with its derived fields; for `context["prepared"]` of another serializer."""
        for name, value in self.validated_data.items():
            setattr(self.instance, name, value)
        record: Any = self.instance
        record.check_limits(record.with_derived_fields(self.validated_data))
        record.before_transaction([record], record._state.db)
        return record


@cache
def _fields_of(serializer: type[RecordSerializer]) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
    return serializers.ModelSerializer.get_fields(serializer())


@cache
def _outputs_of(serializer: type[RecordSerializer]) -> list[tuple[str, str, bool, Any]]:
    """For each field its name, the attribute, whether its texts are returned as they are, and the field.

    Their output depends on no request, so a response needs no fields of its own.
    """
    return [
        (str(field.field_name), str(field.source), isinstance(field, fields.TextField), field)
        for field in serializer()._readable_fields
    ]


class BoundedListSerializer(serializers.ListSerializer[Any]):
    """Rows of a bulk request: each has at most the values of one record; validation ends when enough is wrong."""

    def to_internal_value(self, data: Any) -> Any:
        """Validate; the rows after the first `MAX_PROBLEMS` errors are not looked at, since no more are reported."""
        self._problems = 0
        return super().to_internal_value(data)

    def run_child_validation(self, data: Any) -> Any:
        """As the base, with both limits."""
        if self._problems >= MAX_PROBLEMS:
            return {}
        try:
            if has_more_values(data, RECORD_VALUES):
                message = f"The item has more than {RECORD_VALUES} values."
                raise ValidationError(
                    {api_settings.NON_FIELD_ERRORS_KEY: [ErrorDetail(message, code="too_many_values")]}
                )
            return super().run_child_validation(data)
        except ValidationError as error:
            self._problems += len(error.detail)
            raise


VALIDITY = ("supersedes", "superseded_by", "valid_from", "valid_to", "source", "derived_from", "importance")
"""Fields of items that a PUT may omit, since earlier versions did not have them."""


class MemoryItemSerializer(RecordSerializer):
    """A message, fact or event in a user's memory."""

    supersedes = fields.IdsField(required=False, help_text="Ids of your items that this one corrects or replaces.")
    derived_from = fields.IdsField(required=False, help_text="Ids of items that this one was made of.")
    importance = fields.StrictNumberField(
        required=False, allow_null=True, min_value=0, max_value=1, help_text="For searches that weigh it."
    )

    id = fields.IdField(required=False, help_text="Generated if omitted. It cannot be changed.")
    user_id = fields.OwnerField(required=False, max_length=255, help_text="The owner; default: yourself.")
    session_id = fields.TextField(required=False, allow_null=True, max_length=255)
    persona_active = fields.TextField(required=False, allow_null=True, max_length=255)

    def _is_unknown(self, name: str) -> bool:
        """What a GET returned is valid for a PUT: `superseded_by`, which the items set, is ignored."""
        return name != "superseded_by" and super()._is_unknown(name)

    class Meta:
        model = MemoryItem
        list_serializer_class = BoundedListSerializer
        fields: tuple[str, ...] = (
            "id",
            "user_id",
            "session_id",
            "timestamp",
            "item_type",
            "persona_active",
            "text_content",
            "embedding",
            "metadata",
            "expiration",
            *VALIDITY,
        )


class AgentDataSerializer(RecordSerializer):
    """Raw data produced by an agent."""

    OWNER = "agent_id"

    id = fields.IdField(required=False, help_text="Generated if omitted. It cannot be changed.")
    agent_id = fields.OwnerField(required=False, max_length=255, help_text="The owner; default: yourself.")

    class Meta:
        model = AgentData
        fields = ("id", "agent_id", "timestamp", "data_type", "content", "metadata", "expiration")


class UserSessionSerializer(RecordSerializer):
    """A conversation of one user. Its `id` is derived from `user_id` and `session_id`."""

    id = fields.IdField(required=False, help_text="Derived from `user_id` and `session_id`.")
    user_id = fields.OwnerField(required=False, max_length=255, help_text="The owner; default: yourself.")

    class Meta:
        model = UserSession
        fields = ("id", "user_id", "session_id", "started_at", "last_activity", "metadata")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Reject an id other than the derived one, and changes of user or session."""
        sent = attrs.pop("id", None)
        if self.instance is None and sent not in (None, UserSession.make_id(attrs["user_id"], attrs["session_id"])):
            raise ValidationError(
                {"id": [ErrorDetail("The id is derived from user_id and session_id.", code="immutable")]}
            )
        kept = {name: getattr(self.instance, name) for name in ("user_id", "session_id") if self.instance is not None}
        changed = [name for name, value in kept.items() if attrs.get(name, value) != value]
        if changed:
            raise ValidationError(
                {name: [ErrorDetail("This cannot be changed.", code="immutable")] for name in changed}
            )
        return attrs


class Replacement(RecordSerializer):
    """The body of a PUT: all fields except for the id are required."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """All fields except for the id are required and have no default."""
        found = super().get_fields()
        for name, field in found.items():
            field.required, field.default = name != "id" and name not in VALIDITY, empty
        return found


class MemoryItemReplacement(Replacement, MemoryItemSerializer):
    """A complete memory item."""


class AgentDataReplacement(Replacement, AgentDataSerializer):
    """Complete agent data."""


class UserSessionReplacement(Replacement, UserSessionSerializer):
    """A complete session."""


class BulkSerializer(StrictSerializer):
    """Up to `MEMORY["BULK_LIMIT"]` records; one invalid record rejects all."""

    ONLY_NEW: ClassVar[bool] = True

    def to_internal_value(self, data: Any) -> Any:
        """Like `StrictSerializer`; checks the number of records before it validates them."""
        check_number(data, "items")
        return super().to_internal_value(data)

    def validate_items(self, rows: list[dict[str, Any]]) -> list[Any]:
        """Unsaved records; the errors of all rows are reported together."""
        model: Any = self.fields["items"].child.Meta.model  # type: ignore[attr-defined]
        records = [model(**row) for row in rows]
        given_ids = [record.pk for record, row in zip(records, rows, strict=True) if "id" in row]
        taken = (
            set(model.all_objects.filter(pk__in=given_ids).values_list("pk", flat=True))
            if given_ids and self.ONLY_NEW
            else set()
        )
        seen: Counter[str] = Counter()
        errors = []
        for record in records:
            seen[record.pk] += 1
            errors.append(row_errors(record, record.pk in taken, seen[record.pk] > 1))
        if any(errors):
            raise ValidationError(errors)
        return records


def check_number(data: Any, name: str) -> None:
    """Raise `ValidationError` for a body with more than `MEMORY["BULK_LIMIT"]` members in this list."""
    rows = data.get(name) if isinstance(data, Mapping) else None
    if isinstance(rows, list) and len(rows) > memory_settings.bulk_limit:
        message = f"Send at most {memory_settings.bulk_limit} {name}; the request has {len(rows)}."
        raise ValidationError({name: [ErrorDetail(message, code="too_many")]})


class MemoryItemBulkSerializer(BulkSerializer):
    """New items."""

    items = MemoryItemSerializer(many=True, allow_empty=False)


class MemoryItemUpsertSerializer(MemoryItemBulkSerializer):
    """New items, and items that replace stored ones."""

    ONLY_NEW = False


class AgentDataBulkSerializer(BulkSerializer):
    """New agent data."""

    items = AgentDataSerializer(many=True, allow_empty=False)


class AgentDataUpsertSerializer(AgentDataBulkSerializer):
    """New agent data, and agent data that replaces stored ones."""

    ONLY_NEW = False


def row_errors(record: Any, taken: bool, repeated: bool) -> dict[str, list[ErrorDetail]]:
    """The errors of one row of a bulk request."""
    if taken:
        return {"id": [fields.ID_TAKEN]}
    if repeated:
        return {"id": [ErrorDetail("A preceding item has the same id.", code="repeated")]}
    try:
        record.check_limits()
    except DjangoValidationError as error:
        return serializers.as_serializer_error(error)
    return {}


class IdsSerializer(StrictSerializer):
    """Ids of records, each once."""

    ids = serializers.ListField(child=fields.IdField(), allow_empty=False, help_text="Ids of records, each once.")

    def to_internal_value(self, data: Any) -> Any:
        """Like `StrictSerializer`; checks the number of ids before it validates them."""
        check_number(data, "ids")
        return super().to_internal_value(data)

    def validate_ids(self, ids: list[str]) -> list[str]:
        """Reject repeated ids."""
        twice = {pk for pk, count in Counter(ids).items() if count > 1}
        if twice:
            message = ErrorDetail("The ids must differ.", code="repeated")
            raise ValidationError({str(ids.index(pk)): [message] for pk in twice})
        return ids


class UpsertResultSerializer(serializers.Serializer[Any]):
    """What happened to one record."""

    id = serializers.CharField()
    status = serializers.ChoiceField(choices=["created", "updated"])


class UpsertedSerializer(serializers.Serializer[Any]):
    """The result of creating and replacing many records."""

    created = serializers.IntegerField(min_value=0, help_text="The number of created records.")
    updated = serializers.IntegerField(min_value=0, help_text="The number of replaced records.")
    results = UpsertResultSerializer(many=True, help_text="In the order of the request.")


class DeletionResultSerializer(serializers.Serializer[Any]):
    """What happened to one record."""

    id = serializers.CharField()
    status = serializers.ChoiceField(choices=["deleted", "not_found"])


class DeletedSerializer(serializers.Serializer[Any]):
    """The result of deleting many records."""

    deleted = serializers.IntegerField(min_value=0, help_text="The number of deleted records.")
    results = DeletionResultSerializer(many=True, help_text="In the order of the request.")


OMITTED = "The response is full; ask for this record again."


class ReadResultSerializer(serializers.Serializer[Any]):
    """One of many records that were read by id.

    Subclasses have the field `status`: drf-spectacular can only name equal choices of several components if their
    labels differ.
    """

    id = serializers.CharField()
    etag = serializers.CharField(allow_null=True, help_text="The record's tag for `If-Match`.")


class MemoryItemReadSerializer(ReadResultSerializer):
    """A memory item, by id."""

    status = serializers.ChoiceField(
        choices=[("found", "The item."), ("not_found", "No item of yours."), ("omitted", OMITTED)]
    )
    item = MemoryItemSerializer(allow_null=True)


class MemoryItemsReadSerializer(serializers.Serializer[Any]):
    """Memory items, by id."""

    results = MemoryItemReadSerializer(many=True, help_text="In the order of the request.")


class AgentDataReadSerializer(ReadResultSerializer):
    """Agent data, by id."""

    status = serializers.ChoiceField(
        choices=[("found", "The data."), ("not_found", "No data of yours."), ("omitted", OMITTED)]
    )
    item = AgentDataSerializer(allow_null=True)


class AgentDataManyReadSerializer(serializers.Serializer[Any]):
    """Many agent data, by id."""

    results = AgentDataReadSerializer(many=True, help_text="In the order of the request.")


class CreatedSerializer(serializers.Serializer[Any]):
    """The result of a bulk request."""

    created = serializers.IntegerField(min_value=1, help_text="The number of created items.")
    ids = serializers.ListField(child=serializers.CharField(), help_text="Their ids, in the order of the request.")


class DuplicateQuerySerializer(OwnedSerializer):
    """The item to check for duplicates."""

    user_id = fields.OwnerField(
        required=False, max_length=255, help_text="The user whose memory is checked; default: yourself."
    )
    item_type = fields.TextField(max_length=255)
    text_content = fields.TextField(allow_blank=True)


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


FILTERS = frozenset({"session_id", "item_type", "persona_active", "since", "until", "metadata_key", "metadata_value"})


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


class DuplicateSerializer(serializers.Serializer[Any]):
    """Whether an item with the same user, type and text exists."""

    duplicate = serializers.BooleanField()
    id = serializers.CharField(allow_null=True, help_text="The oldest such item, or null.")


class ErasureQuerySerializer(StrictSerializer):
    """How a person is erased."""

    keep_hours = fields.StrictIntegerField(
        default=KEEP_HOURS,
        min_value=1,
        max_value=MOST_HOURS,
        help_text="How long writes of the person are refused, from this request on.",
    )
    scan = fields.StrictBooleanField(
        default=True, help_text="Whether to read the data of other agents, for values that name the person."
    )


class ErasureCostSerializer(serializers.Serializer[Any]):
    """What an erasure costs, by what is stored now."""

    owned = serializers.DictField(child=serializers.IntegerField(), help_text="Records of the person, by table.")
    looked_through = serializers.DictField(
        child=serializers.IntegerField(), help_text="Records that are read since they may name the person, by table."
    )
    reads = serializers.IntegerField(help_text="Documents that are read, if nobody writes meanwhile.")
    writes = serializers.IntegerField(help_text="Documents that are written.")
    deletes = serializers.IntegerField(help_text="Documents that are deleted, at least.")
    price = serializers.FloatField(help_text="US dollars on Firestore; 0 on other databases.")


class ReceiptSerializer(serializers.Serializer[Any]):
    """The file that `memory_erase --verify` and `receipts.py` check."""

    payload = serializers.CharField(help_text="A text that is JSON: counts, times, and digests of the ids.")
    signature = serializers.CharField(help_text="Its Ed25519 signature as base64; empty without a key.")


class ErasureSerializer(serializers.Serializer[Any]):
    """How far the erasure of a person is."""

    user_id = serializers.CharField(help_text="The person.")
    state = serializers.ChoiceField(
        choices=("none", *State),
        help_text="`none`: not begun, or ended. `more`: records may be left. `waiting`: writes may be under way until "
        "`go_on_at`. After both, send the POST again. `finished`: there is a receipt.",
    )
    erased = serializers.DictField(
        child=serializers.IntegerField(), help_text="Records that have been erased, by table, in all requests."
    )
    go_on_at = fields.TimestampField(allow_null=True, help_text="When the next POST can finish, if it has to wait.")
    refused_until = fields.TimestampField(allow_null=True, help_text="Until then writes of the person are refused.")
    receipt = ReceiptSerializer(allow_null=True, help_text="The receipt, if the erasure is finished. Keep it.")
    cost = ErasureCostSerializer(help_text="The cost as it was when the request began.")


class ProblemSerializer(serializers.Serializer[Any]):
    """One error."""

    code = serializers.CharField(help_text="A stable code for programs.")
    message = serializers.CharField(help_text="A readable message.")


class ErrorDetailSerializer(ProblemSerializer):
    """The error, with its fields."""

    fields = serializers.DictField(  # type: ignore[assignment]
        child=ProblemSerializer(many=True),
        help_text=(
            "Errors by field: `items.3.item_type` inside a list, `body` for the whole body. "
            "Empty if the error concerns no field."
        ),
    )
    request_id = serializers.CharField(help_text="The id of the request, which the service's log has, too.")


class ErrorSerializer(serializers.Serializer[Any]):
    """The body of all error responses."""

    error = ErrorDetailSerializer()
