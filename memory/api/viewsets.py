"""The API's records: memory items, agents' data, sessions.

Every policy is stated here, so that the API is the same in a project whose REST_FRAMEWORK says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPMethod
from types import SimpleNamespace
from typing import Any, ClassVar, cast
from urllib.parse import quote

from django.db import IntegrityError, models, router, transaction
from django.http import Http404
from django_filters.rest_framework import DjangoFilterBackend
from django_filters.utils import translate_validation
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed, ErrorDetail, NotFound, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.versioning import BaseVersioning
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from .. import history, limits
from ..models import AgentData, MemoryItem, UserSession
from ..querysets import MemoryItemQuerySet
from . import filters, serializers
from .authentication import authentication_classes
from .errors import Conflict, LengthRequired, exception_handler, shown
from .fields import taken
from .pagination import CursorPagination, HistoryPagination
from .parsers import StrictJSONParser
from .permissions import acts_for_any_user, may_act_for, principal
from .schema import MemorySchema
from .throttling import AnonymousThrottle, UserThrottle


class HeaderNegotiation(DefaultContentNegotiation):
    """By the Accept header alone: `format` is an unknown parameter like any other."""

    settings = SimpleNamespace(URL_FORMAT_OVERRIDE=None)  # type: ignore[assignment]


class Endpoint(GenericViewSet[Any]):
    """The policies of every view, and what a request must hold to before it is looked at."""

    authentication_classes = authentication_classes()
    permission_classes = (IsAuthenticated,)
    throttle_classes = (UserThrottle, AnonymousThrottle)
    renderer_classes = (JSONRenderer,)
    parser_classes = (StrictJSONParser,)
    content_negotiation_class = HeaderNegotiation
    versioning_class: type[BaseVersioning] | None = None
    metadata_class = None
    filter_backends = (DjangoFilterBackend,)
    pagination_class: type[CursorPagination] | None = CursorPagination
    filterset_class: ClassVar[type[filters.RecordFilter]]
    schema = MemorySchema()

    def get_exception_handler(self) -> Any:
        """Ours, whatever the project's is."""
        return exception_handler

    def perform_authentication(self, request: Request) -> None:
        """Throttled before anything is asked of a permission: guesses at tokens are counted too."""
        try:
            super().perform_authentication(request)
        except AuthenticationFailed:
            super().check_throttles(request)
            raise
        super().check_throttles(request)

    def check_throttles(self, request: Request) -> None:
        """Done in `perform_authentication`."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse what would be dropped unread: chunked bodies, unknown parameters."""
        super().initial(request, *args, **kwargs)
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            raise LengthRequired
        if getattr(self, "action", None) in (None, "metadata"):  # a method that is not allowed: 405 follows
            return
        errors = dict(parameter_errors(request, self.query_parameters()))
        if errors:
            raise ValidationError(errors)

    def query_parameters(self) -> frozenset[str]:
        """Names of the query parameters that the current action takes."""
        taken_by_pages = self.pagination_class.parameters if self.pagination_class else frozenset()
        match getattr(self, "action", None):
            case "list" | "search":
                return taken_by_pages | frozenset(self.filterset_class.base_filters)
            case "history":
                return taken_by_pages
            case _:
                return frozenset()


class UnknownPathView(APIView):
    """404 in the API's shape, for a project's last route below its API."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    renderer_classes = (JSONRenderer,)
    versioning_class = None
    content_negotiation_class = HeaderNegotiation
    schema = None

    def get_exception_handler(self) -> Any:
        """The API's."""
        return exception_handler

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Nothing is here, whatever is asked of it."""
        super().initial(request, *args, **kwargs)
        raise NotFound("There is no such path; /api/docs/ tells which there are.")


def parameter_errors(request: Request, known: frozenset[str]) -> Iterator[tuple[str, list[ErrorDetail]]]:
    """What is wrong with the names of the query parameters, and with empty and repeated ones."""
    for name, values in request.query_params.lists():
        if name not in known:
            yield shown(name), [ErrorDetail("There is no such parameter here.", code="unknown")]
        elif len(values) > 1:
            yield name, [ErrorDetail("Give this once.", code="repeated")]
        elif not values[0]:
            yield name, [ErrorDetail("This is empty: give a value, or leave it out.", code="blank")]


class RecordViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    Endpoint,
):
    """Records of one model; those of others are not there for a principal that may not act for them."""

    lookup_value_regex = "[^/]+"

    # The name in paths and in the schema.
    collection: ClassVar[str]
    model: ClassVar[type[models.Model]]
    replacement_class: ClassVar[type[BaseSerializer[Any]]]
    orderings: ClassVar[Sequence[str]] = ("-timestamp", "timestamp")
    owner: ClassVar[str] = "user_id"
    # The field that is blamed for an id that is taken.
    identity: ClassVar[str] = "id"

    def get_queryset(self) -> models.QuerySet[Any]:
        """The live records that the principal may see; locked where they are about to be changed."""
        records: models.QuerySet[Any] = self.model._default_manager.all()
        if not acts_for_any_user(self.request):
            records = records.filter(**{self.owner: principal(self.request)})
        return records.select_for_update() if self.action in ("update", "partial_update") else records

    def get_object(self) -> Any:
        """The record in the URL; an id that cannot be one is nobody's."""
        pk = self.kwargs["pk"]
        if "\x00" in pk or limits.document_id_problem(pk):
            raise Http404
        return self.find(pk)

    def find(self, pk: str) -> Any:
        """The record of that id that the principal may see; `Http404` where there is none."""
        return super().get_object()

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        """A PUT has a body of its own."""
        return self.replacement_class if self.action == "update" else super().get_serializer_class()

    def in_transaction(self) -> transaction.Atomic:
        """A transaction on the database that holds the records."""
        return transaction.atomic(using=router.db_for_write(self.model))

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        """Insert; an id that is taken is the client's error."""
        try:
            with self.in_transaction():
                serializer.save()
        except IntegrityError as error:
            raise taken(self.identity) from error

    def get_success_headers(self, data: Any) -> dict[str, str]:
        """Where the new record is."""
        collection = self.request.build_absolute_uri(self.request.path.rstrip("/") + "/")
        return {"Location": f"{collection}{quote(data['id'], safe='')}/"}

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read and write in one transaction, so that nothing written in between is lost."""
        with self.in_transaction():
            return super().update(request, *args, **kwargs)

    def perform_destroy(self, instance: Any) -> None:
        """Delete, with what hangs on the record."""
        with self.in_transaction():
            instance.delete()


class MemoryItemViewSet(RecordViewSet):
    """Memory items."""

    collection = "memory-items"
    model = MemoryItem
    queryset = MemoryItem.objects.none()
    serializer_class = serializers.MemoryItemSerializer
    replacement_class = serializers.MemoryItemReplacement
    filterset_class = filters.MemoryItemFilter

    def get_queryset(self) -> models.QuerySet[Any]:
        """As everywhere; what is only shown is read without what search alone needs."""
        items = cast(MemoryItemQuerySet, super().get_queryset())
        return items.without_search_data() if self.action in ("list", "retrieve") else items

    @action(detail=False, methods=[HTTPMethod.POST], serializer_class=serializers.MemoryItemBulkSerializer)
    def bulk(self, request: Request) -> Response:
        """Create many, all or none."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            with self.in_transaction():
                created = serializer.save()
        except IntegrityError as error:
            raise Conflict from error
        return Response({"created": len(created), "ids": [item.pk for item in created]}, status.HTTP_201_CREATED)

    @action(
        detail=False,
        methods=[HTTPMethod.POST],
        url_path="check-duplicate",
        serializer_class=serializers.DuplicateQuerySerializer,
    )
    def check_duplicate(self, request: Request) -> Response:
        """Tell whether the item is there already."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        found = MemoryItem.objects.duplicates_of(MemoryItem(**serializer.validated_data))
        first = found.order_by("timestamp", "pk").values_list("pk", flat=True).first()
        return Response({"duplicate": first is not None, "id": first})

    @action(
        detail=False,
        filterset_class=filters.MemoryItemSearch,
        serializer_class=serializers.FoundItemSerializer,
        pagination_class=None,
    )
    def search(self, request: Request) -> Response:
        """Find what was said."""
        asked = filters.MemoryItemSearch(request.query_params, queryset=MemoryItem.objects.all(), request=request)
        if not asked.is_valid():
            raise cast(ValidationError, translate_validation(asked.errors))  # its stub tells another type
        values = asked.form.cleaned_data
        owner = values["user_id"] or principal(request)
        limit, explain = values["limit"] or filters.RESULTS, bool(values["explain"])
        items = cast(MemoryItemQuerySet, asked.qs)
        if not may_act_for(request, owner):
            items = items.none()  # as a memory of nobody, and as a list that is narrowed to another's
        found = items.search(values["q"], user_id=owner, limit=limit, explain=explain)
        return Response({"results": self.get_serializer(found, many=True).data})


class AgentDataViewSet(RecordViewSet):
    """Agents' data."""

    collection = "agent-data"
    model = AgentData
    queryset = AgentData.objects.none()
    serializer_class = serializers.AgentDataSerializer
    replacement_class = serializers.AgentDataReplacement
    filterset_class = filters.AgentDataFilter
    owner = "agent_id"


class UserSessionViewSet(RecordViewSet):
    """Sessions, and the conversations in them."""

    collection = "sessions"
    model = UserSession
    queryset = UserSession.objects.none()
    serializer_class = serializers.UserSessionSerializer
    replacement_class = serializers.UserSessionReplacement
    filterset_class = filters.UserSessionFilter
    orderings = ("-last_activity", "last_activity")
    identity = "session_id"

    def find(self, pk: str) -> Any:
        """What is read and not changed is read through the cache."""
        if self.action not in ("retrieve", "history"):
            return super().find(pk)
        found = history.session_by_id(pk)
        if found is None or not (acts_for_any_user(self.request) or found.user_id == principal(self.request)):
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
