"""The OpenAPI schema of the views, from the table in `operations`. It depends on no setting of the project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from ..conf import memory_settings
from ..request_ids import HEADER as REQUEST_ID
from .etags import TAGGED, TAGS_PATTERN
from .fields import NO_NUL_PATTERN, prohibits_nul
from .operations import (
    CONDITIONAL,
    ERROR_EXAMPLE,
    ERRORS,
    EVERYWHERE,
    OPERATIONS,
    WITH_BODY,
    WITH_KEY,
    WRITING,
    Operation,
)
from .permissions import scope_of
from .serializers import ErrorSerializer
from .throttling import LIMIT, POLICY

MethodT = TypeVar("MethodT", bound=Callable[..., Any])

BODIES = frozenset({"POST", "PUT", "PATCH"})
LISTS = frozenset({"list", "history"})
READ = frozenset({"retrieve"})
CHANGES = frozenset({"update", "partial_update", "destroy"})
IDEMPOTENT = frozenset({"create", "bulk", "bulk_upsert", "bulk_delete", "erase"}) | CHANGES
SUCCESS = 0
"""In `Header.statuses`: the status of the operation's success."""


@dataclass(frozen=True)
class Header:
    """A header of requests; of responses with these statuses if there are any, `True` for all. No `actions`: of all."""

    name: str
    description: str
    statuses: Sequence[int] | bool = False
    actions: frozenset[str] | None = None
    schema: type[str] | type[int] | dict[str, Any] = str

    def parameter(self, success: int) -> OpenApiParameter:
        """Its parameter of an operation with this status."""
        statuses = self.statuses
        if not isinstance(statuses, bool):
            statuses = [success if status == SUCCESS else status for status in statuses]
        return OpenApiParameter(
            self.name, self.schema, OpenApiParameter.HEADER, response=statuses, description=self.description
        )


TAGS = {"type": "string", "pattern": TAGS_PATTERN}
KEY = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
TAG = "The record's tag. That of a PUT is sent only if the record is stored as it was sent."
HEADERS: Sequence[Header] = (
    Header("Retry-After", "Seconds to wait before the next request.", [429, 503], schema=int),
    Header("WWW-Authenticate", "The authentication scheme.", [401]),
    Header(REQUEST_ID, "The request's id, which the service's log has, too.", True),
    Header(POLICY, 'The limit of the rate: `"memory-user";q=6000;w=60` is 6,000 requests in 60 seconds.', True),
    Header(
        LIMIT,
        'What is left of it: `"memory-user";r=5999;t=42` is 5,999 requests in the next 42 seconds.',
        True,
    ),
    Header(REQUEST_ID, "The request's id; by default a new one."),
    Header(
        "Idempotency-Key",
        "A new random text for each write; a repeated request with it is applied once.",
        actions=IDEMPOTENT,
        schema=KEY,
    ),
    Header(
        "Idempotent-Replayed",
        "`true` if an earlier request with the same key was applied.",
        [SUCCESS],
        actions=IDEMPOTENT,
    ),
    Header(
        "If-None-Match",
        "The tags of records that the client has: if the record has one of them, the status is 304.",
        actions=READ,
        schema=TAGS,
    ),
    Header("If-Match", "The tags that the record may have; otherwise the status is 412.", actions=READ, schema=TAGS),
    Header(
        "If-Match",
        "The record's tag when the client read it: if it changed since, the status is 412.",
        actions=CHANGES,
        schema=TAGS,
    ),
    Header(
        "If-None-Match",
        "The tags that the record must not have; otherwise the status is 412.",
        actions=CHANGES,
        schema=TAGS,
    ),
    Header("ETag", TAG, [SUCCESS], actions=TAGGED - READ),
    Header("ETag", TAG, [SUCCESS, 304], actions=READ),
    Header("Location", "The new record's URL.", [201], actions=frozenset({"create"})),
)
"""The headers of all operations. Those of the rate are absent from responses if there is no limit."""
FILTERED = frozenset({"list", "search"})


class LoginScheme(SessionScheme):  # type: ignore[no-untyped-call]
    """The OpenAPI security scheme of session authentication."""

    target_class = "memory.api.authentication.LoginAuthentication"
    priority = 1


class AccessTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The OpenAPI security schemes of access tokens: both spellings of the header."""

    target_class = "memory.api.authentication.AccessTokenAuthentication"
    name = ["tokenAuth", "bearerAuth"]
    priority = 1

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """One scheme for each name."""
        token = {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token <access token>`. Each operation names the scope that the token needs.",
        }
        return [token, {"type": "http", "scheme": "bearer", "description": "The same token as `Bearer`."}]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        """Either scheme is sufficient."""
        return [{name: []} for name in self.name]


class MemorySchema(AutoSchema):
    """Describes an action by its entry in `OPERATIONS`."""

    view: Any

    @property
    def operation(self) -> Operation:
        """The action's entry."""
        return OPERATIONS[self.view.collection][self.view.action]

    def get_summary(self) -> str:
        """The entry's summary."""
        return self.operation.summary

    def get_description(self) -> str:  # type: ignore[override]
        """The entry's description, and the scope of tokens."""
        scope = f"Tokens need the scope `{scope_of(self.method, self.view.action)}`."
        return f"{self.operation.description}\n\n{scope}".strip()

    def get_operation_id(self) -> str:
        """`memory_items_list`, `sessions_history`, ..."""
        return f"{self.view.collection}_{self.view.action}".replace("-", "_")

    def get_tags(self) -> list[str]:
        """The collection."""
        return [self.view.collection]

    def get_request_serializer(self) -> Any:
        """The entry's, or the view's."""
        return self.operation.request or super().get_request_serializer()

    def get_response_serializers(self) -> Any:
        """The success response and all error responses."""
        operation = self.operation
        if operation.status == 204:
            success = OpenApiResponse(description="Deleted.")
        else:
            success = OpenApiResponse(operation.response or self._record_serializer(), description="Success.")
        statuses = [*EVERYWHERE, *operation.errors]
        if self.method != "GET":
            statuses += WRITING
        if self.method in BODIES:
            statuses += WITH_BODY
        if self.view.action in IDEMPOTENT:
            statuses += WITH_KEY
        if self.view.action in CHANGES | READ:
            statuses += CONDITIONAL
        errors = {code: OpenApiResponse(ErrorSerializer, description=ERRORS[code]) for code in sorted(set(statuses))}
        if self.view.action == "retrieve":
            errors[304] = OpenApiResponse(description=ERRORS[304])
        return {operation.status: success, **errors}

    def _record_serializer(self) -> Any:
        # PUT has a separate serializer for the request, but returns the usual record.
        return self.view.serializer_class

    def get_override_parameters(self) -> list[Any]:
        """The headers of the action."""
        action, success = self.view.action, self.operation.status
        return [each.parameter(success) for each in HEADERS if each.actions is None or action in each.actions]

    def get_examples(self) -> list[OpenApiExample]:
        """The entry's examples, and an error."""
        operation, examples = (
            self.operation,
            [OpenApiExample("Invalid request", ERROR_EXAMPLE, response_only=True, status_codes=["400"])],
        )
        if operation.request_example is not None:
            examples.append(OpenApiExample("Request", operation.request_example, request_only=True))
        if operation.response_example is not None:
            examples.append(
                OpenApiExample(
                    "Response", operation.response_example, response_only=True, status_codes=[str(operation.status)]
                )
            )
        return examples

    def get_filter_backends(self) -> list[Any]:
        """Only lists and search have filters."""
        return list(self.view.filter_backends) if self.view.action in FILTERED else []

    def _is_list_view(self, serializer: Any = None) -> bool:
        return self.view.action in LISTS


def document(**kwargs: Any) -> Callable[[MethodT], MethodT]:
    """`extend_schema` for a view's method that also works without `DEFAULT_SCHEMA_CLASS`."""

    def decorate(method: MethodT) -> MethodT:
        method.schema = AutoSchema  # type: ignore[attr-defined]
        return extend_schema(**kwargs)(method)

    return decorate


def only_own_views(endpoints: list[Any], **kwargs: Any) -> list[Any]:
    """Exclude the project's other views from the schema."""
    return [endpoint for endpoint in endpoints if endpoint[3].cls.__module__.startswith("memory.")]


def be_strict(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Forbid other fields in requests, and NUL if the database does, and mark all fields of responses as required."""
    components = result["components"]["schemas"]
    for name, component in components.items():
        properties = component.get("properties", {})
        if name.endswith("Request"):
            component["additionalProperties"] = False
            for schema in filter(_is_free_text, properties.values()) if prohibits_nul() else ():
                schema["pattern"] = NO_NUL_PATTERN
        for listed in properties.keys() & {"items", "ids"}:
            properties[listed].update(minItems=1, maxItems=memory_settings.bulk_limit)
        for distinct in properties.keys() & {"ids", "supersedes", "derived_from"}:
            properties[distinct]["uniqueItems"] = True
        if "items" not in properties and f"{name}Request" in components:
            component["required"] = sorted(properties)
    return result


def _is_free_text(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "string" and schema.keys().isdisjoint({"format", "pattern", "enum"})
