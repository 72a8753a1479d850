"""The viewsets of memory items, agent data and sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from datetime import timedelta
from http import HTTPMethod
from typing import Any, ClassVar, cast
from urllib.parse import quote

from django.db import IntegrityError, connections, models, router
from django.http import Http404
from django_filters.utils import translate_validation
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from .. import history, limits
from ..coherence.changes import TOUCH_AFTER
from ..contention import in_transaction, retried_on_contention, write_transaction
from ..fields import new_id
from ..models import AgentData, MemoryItem, Record, UserSession
from ..querysets import MemoryItemQuerySet, context_of
from ..search import MIN_SCORE
from ..text_index import Results
from . import filters, serializers
from .bulk import BulkMixin
from .endpoints import Endpoint
from .errors import naming
from .etags import ETAG, TAGGED, Preconditions, etag_of, preconditions
from .fields import id_taken, prohibits_nul
from .idempotency import Claim, once
from .pagination import PAGE_BYTES, HistoryPagination, up_to
from .permissions import WRITE, acts_for_any_user, may_act_for, principal, require_scope


class RecordViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    Endpoint,
):
    """CRUD of one model's records, restricted to those that the principal may access."""

    lookup_value_regex = "[^/]+"

    # The name in URLs and in the schema.
    collection: ClassVar[str]
    model: ClassVar[type[models.Model]]
    replacement_class: ClassVar[type[BaseSerializer[Any]]]
    orderings: ClassVar[Sequence[str]] = ("-timestamp", "timestamp")
    owner: ClassVar[str] = "user_id"
    # The field that reports an existing id.
    identity: ClassVar[str] = "id"
    # The result of `prepare`, the claim of the request's idempotency key, and its conditions.
    prepared: Any = None
    claim: Claim | None = None
    conditions: Preconditions = Preconditions()
    # Whether lists leave out what is not valid now; and whether this request's list does.
    lists_current: ClassVar[bool] = False
    is_current = False

    def get_queryset(self) -> models.QuerySet[Any]:
        """The unexpired records that the principal may read; locked for updates and conditional deletions."""
        records: models.QuerySet[Any] = self.model._default_manager.all()
        if not acts_for_any_user(self.request):
            records = records.filter(**{self.owner: principal(self.request)})
        locked = self.action in ("update", "partial_update") or (self.action == "destroy" and self.conditions)
        return records.select_for_update() if locked else records

    def get_object(self) -> Any:
        """The record in the URL; 404 for an invalid id."""
        return self.find(self.valid_pk())

    def valid_pk(self) -> str:
        """The id in the URL; raises `Http404` for one that no record can have."""
        pk = str(self.kwargs["pk"])
        if limits.document_id_problem(pk) or ("\x00" in pk and prohibits_nul()):
            raise Http404
        return pk

    def find(self, pk: str) -> Any:
        """The record with this id; raises `Http404` if the principal cannot read it."""
        return super().get_object()

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        """PUT has a separate serializer."""
        return self.replacement_class if self.action == "update" else super().get_serializer_class()

    @property
    def alias(self) -> str:
        """The alias of the model's database for writes."""
        return router.db_for_write(self.model)

    def in_transaction(self) -> AbstractContextManager[None]:
        """A transaction for writes on the model's database."""
        return write_transaction(self.alias)

    def inside_a_callers(self) -> AbstractContextManager[Any]:
        """A savepoint where the project runs requests in a transaction, else nothing.

        A write of one record opens its own transaction, and is retried after contention only if no other is open.
        """
        return self.in_transaction() if in_transaction(connections[self.alias]) else nullcontext()

    def new_id(self, values: Mapping[str, Any]) -> str:
        """The id of a record with these validated values."""
        return str(values.get("id") or new_id())

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the tag of the record in the response.

        That of a PUT has one only if the record is stored as it was sent: RFC 9110, section 9.3.4.
        """
        final = super().finalize_response(request, response, *args, **kwargs)
        if getattr(self, "action", None) in TAGGED and final.status_code in (200, 201):
            sent = cast(Any, request.data) if request.method == "PUT" else final.data
            if final.data == {"id": final.data["id"], **sent}:
                final[ETAG] = etag_of(final.data)
        return final

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The record; 304 if the client has it already."""
        conditions = preconditions(request)
        response = super().retrieve(request, *args, **kwargs)
        if conditions and conditions.is_known(tag := etag_of(response.data)):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={ETAG: tag})
        return response

    def tags_of(self, record: Any) -> list[str]:
        """The tags of a stored record which conditions may name."""
        return [etag_of(cast(Any, self.serializer_class)(record, context={"request": self.request}).data)]

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Insert, once for each idempotency key."""
        create = super().create

        def run(claim: Claim | None) -> Response:
            self.claim = claim
            return create(request, *args, **kwargs)

        response = once(request, self.alias, run)
        for name, value in self.get_success_headers(response.data).items():
            response[name] = value
        return response

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        """Insert; an existing id is a 400."""
        pk = self.new_id(serializer.validated_data)
        try:
            with naming([pk]):
                if self.claim is None:
                    with self.inside_a_callers():
                        serializer.save(id=pk)
                else:
                    self.create_claimed(serializer, pk, self.claim)
        except IntegrityError as error:
            raise id_taken(self.identity) from error

    def create_claimed(self, serializer: BaseSerializer[Any], pk: str, claim: Claim) -> None:
        """Insert, and store the answer, in one transaction."""
        record = self.model(**{**serializer.validated_data, "id": pk})
        if isinstance(record, Record):
            record.check_limits()
            record.before_transaction([record], self.alias)
        serializer.instance = record

        def attempt() -> None:
            with self.in_transaction():
                record.save(force_insert=True)
                claim.finish(status.HTTP_201_CREATED, serializer.to_representation(record))

        retried_on_contention(attempt, using=self.alias, records=[record])

    def get_success_headers(self, data: Any) -> dict[str, str]:
        """The URL of the new record."""
        collection = self.request.build_absolute_uri(self.request.path.rstrip("/") + "/")
        return {"Location": f"{collection}{quote(data['id'], safe='')}/"}

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read and write in one transaction, so that no concurrent write is lost; both are retried after contention."""
        self.conditions = preconditions(request)
        update = super().update
        is_partial = kwargs.get("partial", False)

        def run(claim: Claim | None) -> Response:
            self.prepared = self.prepare(request, partial=is_partial)

            def attempt() -> Response:
                with self.in_transaction():
                    response = update(request, *args, **kwargs)
                    if claim is not None:
                        claim.finish(response.status_code, None if is_partial else response.data)
                    return response

            with naming([self.kwargs["pk"]]):
                return retried_on_contention(attempt, using=self.alias, keys=[self.kwargs["pk"]])

        return once(request, self.alias, run, self.current if is_partial else None)

    def perform_update(self, serializer: BaseSerializer[Any]) -> None:
        """Write, if the stored record meets the request's conditions."""
        if self.conditions:
            self.conditions.check(self.tags_of(serializer.instance))
        super().perform_update(serializer)

    def current(self) -> Response:
        """The record as it is now."""
        self.action = "retrieve"
        return Response(self.get_serializer(self.get_object()).data)

    def prepare(self, request: Request, partial: bool) -> Any:
        """The record as it will be, with its derived fields, computed before the transaction; None if that is quick.

        Vectors of long texts take seconds, during which the transaction would lock an SQLite database.
        """
        return None

    def get_serializer_context(self) -> dict[str, Any]:
        """With what was prepared for an update."""
        return {**super().get_serializer_context(), "prepared": self.prepared}

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete, once for each idempotency key, if the stored record meets the request's conditions."""
        self.conditions = preconditions(request)
        destroy = super().destroy

        def run(claim: Claim | None) -> Response:
            if claim is None and not self.conditions:
                return destroy(request, *args, **kwargs)

            def attempt() -> Response:
                with self.in_transaction():
                    response = destroy(request, *args, **kwargs)
                    if claim is not None:
                        claim.finish(response.status_code)
                    return response

            with naming([self.kwargs["pk"]]):
                return retried_on_contention(attempt, using=self.alias, keys=[self.kwargs["pk"]])

        return once(request, self.alias, run)

    def perform_destroy(self, instance: Any) -> None:
        """Delete the record and its dependents."""
        if self.conditions:
            self.conditions.check(self.tags_of(instance))
        with naming([instance.pk]), self.inside_a_callers():
            instance.delete()


# `queryset` is for the schema's generator. `objects` would read `MEMORY`, at the import: before the system checks can
# report a wrong value.
class MemoryItemViewSet(BulkMixin, RecordViewSet):
    """The viewset of memory items."""

    collection = "memory-items"
    model = MemoryItem
    queryset = MemoryItem.all_objects.none()
    serializer_class = serializers.MemoryItemSerializer
    replacement_class = serializers.MemoryItemReplacement
    bulk_class = serializers.MemoryItemBulkSerializer
    upsert_class = serializers.MemoryItemUpsertSerializer
    links = ("supersedes", "superseded_by")
    lists_current = True
    filterset_class = filters.MemoryItemFilter

    def get_queryset(self) -> models.QuerySet[Any]:
        """Like the base; lists and details do not load the fields of search."""
        items = cast(MemoryItemQuerySet, super().get_queryset())
        return items.without_search_data() if self.action in ("list", "retrieve") else items

    def continue_record(self, record: Any, stored: Any) -> None:
        """As the base: what superseded the stored item, and what that superseded."""
        record.superseded_by = stored.superseded_by
        vars(record)["_linked"] = tuple(stored.supersedes)

    def prepare(self, request: Request, partial: bool) -> Any:
        """As the base, for a new text on SQLite. The record is read again, and validated, in the transaction."""
        changes = request.data if isinstance(request.data, Mapping) else {}
        text = changes.get("text_content")
        if connections[self.alias].vendor != "sqlite" or not isinstance(text, str):
            return None
        serializer = self.get_serializer(self.get_object(), data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        return cast(serializers.RecordSerializer, serializer).prepared()

    @action(
        detail=False,
        methods=[HTTPMethod.POST],
        url_path="check-duplicate",
        serializer_class=serializers.DuplicateQuerySerializer,
    )
    def check_duplicate(self, request: Request) -> Response:
        """Return whether the item exists, and the oldest one's id."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        found = MemoryItem.objects.duplicates_of(MemoryItem(**serializer.validated_data))
        # Without an order, for which Firestore has no index: they are few.
        _, first = min(found.order_by().values_list("timestamp", "pk"), default=(None, None))
        return Response({"duplicate": first is not None, "id": first})

    @action(
        detail=False,
        filterset_class=filters.MemoryItemSearch,
        serializer_class=serializers.FoundItemSerializer,
        pagination_class=None,
    )
    def search(self, request: Request) -> Response:
        """Search one user's memory."""
        filterset = filters.MemoryItemSearch(request.query_params, queryset=MemoryItem.objects.all(), request=request)
        if not filterset.is_valid():
            raise cast(ValidationError, translate_validation(filterset.errors))  # its stub declares another type
        values = filterset.form.cleaned_data
        limit = values["limit"] or filters.DEFAULT_RESULTS
        found = self.searched(filterset, values["user_id"]).search(
            values["q"],
            limit=limit,
            min_score=values["min_score"] or 0.0,
            hidden=bool(values["hidden"]),
            explain=bool(values["explain"]),
            asker=values["asker"],
            as_of=values["as_of"],
            importance=values["importance"] or 0.0,
            recency=values["recency"] or 0.0,
        )
        return Response(self.found(found, limit))

    @search.mapping.post
    def search_many(self, request: Request) -> Response:
        """Search one user's memory for several questions. They are in no log."""
        serializer = serializers.QuestionsSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        if values["touch"]:
            require_scope(request, WRITE)
        items = MemoryItem.objects.all()
        filterset = filters.MemoryItemQuestions(serializer.parameters, queryset=items, request=request)
        if not filterset.is_valid():
            raise cast(ValidationError, translate_validation(filterset.errors))
        names = ("limit", "min_score", "hidden", "explain", "importance", "recency", "touch")
        options = {name: values[name] for name in names}
        options |= {"as_of": values.get("as_of"), "asker": values.get("asker", "")}
        questions = values["questions"]
        every = self.searched(filterset, values.get("user_id")).search_many(questions, **options)
        bytes_of_each = PAGE_BYTES // len(questions)
        searches = [
            {"q": question, **self.found(found, values["limit"], bytes_of_each)}
            for question, found in zip(questions, every, strict=True)
        ]
        return Response({"searches": searches})

    @action(
        detail=False, methods=[HTTPMethod.POST], serializer_class=serializers.ContextQuerySerializer, url_path="context"
    )
    def context(self, request: Request) -> Response:
        """Make a context for a language model."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        owner = values.get("user_id") or principal(request)
        turns: list[MemoryItem] = []
        found: list[MemoryItem] = []
        if may_act_for(request, owner):  # of others there is nothing, as for a user without items
            turns = history.recent(owner, values["session_id"], values["turns"], most_bytes=PAGE_BYTES)
            found = MemoryItem.objects.search(
                values["question"], user_id=owner, limit=values["limit"], min_score=values["min_score"]
            )
        made = context_of(turns, up_to(found, values["limit"]).records, values["tokens"])
        return Response(serializers.ContextSerializer(made, context=self.get_serializer_context()).data)

    def searched(self, filterset: filters.MemoryItemSearch, user_id: str | None) -> MemoryItemQuerySet:
        """The filtered items of a user, by default of the principal."""
        owner = user_id or principal(self.request)
        items = cast(MemoryItemQuerySet, filterset.qs).for_user(owner)
        # Of others there are none, as for a user without items.
        return items if may_act_for(self.request, owner) else items.none()

    def found(self, results: Results, limit: int, most_bytes: int | None = None) -> dict[str, Any]:
        """The response of one search."""
        best = up_to(results, limit, most_bytes).records
        return {
            "results": serializers.FoundItemSerializer(best, many=True).data,
            "nothing_found": all(one.score < MIN_SCORE for one in cast(Any, best)),
            "waiting": results.waiting,
        }


class AgentDataViewSet(BulkMixin, RecordViewSet):
    """The viewset of agent data."""

    collection = "agent-data"
    model = AgentData
    queryset = AgentData.all_objects.none()
    serializer_class = serializers.AgentDataSerializer
    replacement_class = serializers.AgentDataReplacement
    bulk_class = serializers.AgentDataBulkSerializer
    upsert_class = serializers.AgentDataUpsertSerializer
    filterset_class = filters.AgentDataFilter
    owner = "agent_id"


class UserSessionViewSet(RecordViewSet):
    """The viewset of sessions and their items."""

    collection = "sessions"
    model = UserSession
    queryset = UserSession.objects.none()
    serializer_class = serializers.UserSessionSerializer
    replacement_class = serializers.UserSessionReplacement
    filterset_class = filters.UserSessionFilter
    orderings = ("-last_activity", "last_activity")
    identity = "session_id"
    # The session as the cache has it, for conditions.
    cached: UserSession | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """As the base; reads the cached session before a transaction, inside which the cache is not read."""
        super().initial(request, *args, **kwargs)
        if self.action in ("update", "partial_update", "destroy") and preconditions(request):
            self.cached = history.session_by_id(self.valid_pk())

    def valid_pk(self) -> str:
        """As the base. A session's `session_id` alone is no id, and the error says so."""
        pk = super().valid_pk()
        if ":" not in pk:
            raise NotFound("Not found. The id of a session is user_id:session_id, such as ada:chat-1.")
        return pk

    def tags_of(self, record: Any) -> list[str]:
        """As the base, and that of the cached session, whose last activity may be ahead of the row's by a minute."""
        tags, cached = super().tags_of(record), self.cached
        if cached is not None and timedelta(0) < cached.last_activity - record.last_activity <= TOUCH_AFTER:
            ahead = copy(record)
            ahead.last_activity = cached.last_activity
            tags += super().tags_of(ahead)
        return tags

    def new_id(self, values: Mapping[str, Any]) -> str:
        """The id made of user and session."""
        return UserSession.make_id(values["user_id"], values["session_id"])

    def find(self, pk: str) -> Any:
        """Read through the cache, unless the record is about to change."""
        if self.action not in ("retrieve", "history"):
            return super().find(pk)
        found = history.session_by_id(pk)
        if found is None or not may_act_for(self.request, found.user_id):
            raise Http404
        self.check_object_permissions(self.request, found)
        return found

    @action(
        detail=True,
        pagination_class=HistoryPagination,
        serializer_class=serializers.MemoryItemSerializer,
    )
    def history(self, request: Request, pk: str) -> Response:
        """The session's items, newest first."""
        page = self.paginate_queryset(self.get_object())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
