"""OpenAPI of the views, made from the table in `operations`: no decorators, so no setting of a project is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from ..conf import memory_settings
from .fields import NO_NUL
from .operations import ERROR_EXAMPLE, ERRORS, EVERYWHERE, OPERATIONS, WITH_BODY, WRITING, Operation
from .serializers import ErrorSerializer

MethodT = TypeVar("MethodT", bound=Callable[..., Any])

BODIES = frozenset({"POST", "PUT", "PATCH"})
LISTS = frozenset({"list", "history"})
FILTERED = frozenset({"list", "search"})


class LoginScheme(SessionScheme):  # type: ignore[no-untyped-call]
    """The session cookie in OpenAPI."""

    target_class = "memory.api.authentication.LoginAuthentication"
    priority = 1


class MemorySchema(AutoSchema):
    """Describes a view's action by its row in `OPERATIONS`."""

    view: Any

    @property
    def row(self) -> Operation:
        """The action's row."""
        return OPERATIONS[self.view.collection][self.view.action]

    def get_summary(self) -> str:
        """The row's summary."""
        return self.row.summary

    def get_description(self) -> str:  # type: ignore[override]
        """The row's description."""
        return self.row.description

    def get_operation_id(self) -> str:
        """`memory_items_list`, `sessions_history`, ..."""
        return f"{self.view.collection}_{self.view.action}".replace("-", "_")

    def get_tags(self) -> list[str]:
        """The collection."""
        return [self.view.collection]

    def get_request_serializer(self) -> Any:
        """The row's, or else the view's."""
        return self.row.request or super().get_request_serializer()

    def get_response_serializers(self) -> Any:
        """Success, and every error that this operation can answer."""
        row = self.row
        if row.status == 204:
            success = OpenApiResponse(description="Deleted.")
        else:
            success = OpenApiResponse(row.response or self._record_serializer(), description="Success.")
        statuses = [*EVERYWHERE, *row.errors]
        if self.method != "GET":
            statuses += WRITING
        if self.method in BODIES:
            statuses += WITH_BODY
        errors = {code: OpenApiResponse(ErrorSerializer, description=ERRORS[code]) for code in sorted(statuses)}
        return {row.status: success, **errors}

    def _record_serializer(self) -> Any:
        # A PUT's body is described by a class of its own, its answer is a record like any other.
        return self.view.serializer_class

    def get_override_parameters(self) -> list[Any]:
        """The headers of answers."""
        headers = [
            OpenApiParameter(
                "Retry-After", int, OpenApiParameter.HEADER, response=[429, 503], description="Seconds to wait."
            ),
            OpenApiParameter(
                "WWW-Authenticate", str, OpenApiParameter.HEADER, response=[401], description="How to authenticate."
            ),
        ]
        if self.view.action == "create":
            headers.append(
                OpenApiParameter(
                    "Location", str, OpenApiParameter.HEADER, response=[201], description="The new record's URL."
                )
            )
        return headers

    def get_examples(self) -> list[OpenApiExample]:
        """The row's bodies, and an error."""
        row, examples = (
            self.row,
            [OpenApiExample("A wrong request", ERROR_EXAMPLE, response_only=True, status_codes=["400"])],
        )
        if row.sent is not None:
            examples.append(OpenApiExample("Request", row.sent, request_only=True))
        if row.answered is not None:
            examples.append(OpenApiExample("Answer", row.answered, response_only=True, status_codes=[str(row.status)]))
        return examples

    def get_filter_backends(self) -> list[Any]:
        """Filters are a list's and a search's; a conversation has none."""
        return list(self.view.filter_backends) if self.view.action in FILTERED else []

    def _is_list_view(self, serializer: Any = None) -> bool:
        return self.view.action in LISTS


def described(**kwargs: Any) -> Callable[[MethodT], MethodT]:
    """`extend_schema` for a view's method, in a project that names no DEFAULT_SCHEMA_CLASS too."""

    def decorate(method: MethodT) -> MethodT:
        method.schema = AutoSchema  # type: ignore[attr-defined]
        return extend_schema(**kwargs)(method)

    return decorate


def only_own_views(endpoints: list[Any], **kwargs: Any) -> list[Any]:
    """Leave out of the schema what else the project serves."""
    return [endpoint for endpoint in endpoints if endpoint[3].cls.__module__.startswith("memory.")]


def be_strict(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Say that bodies take no other fields and no NUL, and that records come with every field."""
    components = result["components"]["schemas"]
    for name, component in components.items():
        properties = component.get("properties", {})
        if name.endswith("Request"):
            component["additionalProperties"] = False
            for schema in filter(_is_free_text, properties.values()):
                schema["pattern"] = NO_NUL
        if "items" in properties:
            properties["items"].update(minItems=1, maxItems=memory_settings.bulk_limit)
        elif f"{name}Request" in components:
            component["required"] = sorted(properties)
    return result


def _is_free_text(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "string" and schema.keys().isdisjoint({"format", "pattern", "enum"})
