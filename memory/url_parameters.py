"""Parameters in the URLs of admin pages that Django itself answers with a server error."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.core.exceptions import BadRequest
from django.http import HttpRequest

View = TypeVar("View", bound=Callable[..., Any])


def refuses_large_numbers(view: View) -> View:
    """Decorates a list of the admin: a number that no date and no column can hold is a 400."""

    @wraps(view)
    def shown(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return view(self, request, *args, **kwargs)
        except OverflowError as error:
            if not request.GET:
                raise
            raise BadRequest("A number in the URL is too large.") from error

    return cast(View, shown)


class FoundByKey:
    """A mixin of admins: an empty `_to_field` names the primary key, as without the parameter."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """As Django's."""
        return super().get_object(request, object_id, from_field or None)  # type: ignore[misc]
