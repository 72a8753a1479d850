"""Object permissions: principals access their own records, or all with `memory.act_for_any_user`; scopes of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from ..conf import memory_settings

ACT_FOR_ANY_USER = "memory.act_for_any_user"
ERASE_PERSON = "memory.erase_person"
READ, WRITE, FORGET = "read", "write", "forget"
# By method, except for actions that POST a query.
SCOPE_OF_METHOD: Mapping[str, str] = {
    "GET": READ,
    "HEAD": READ,
    "OPTIONS": READ,
    "POST": WRITE,
    "PUT": WRITE,
    "PATCH": WRITE,
    "DELETE": FORGET,
}
SCOPE_OF_ACTION: Mapping[str, str] = {
    "check_duplicate": READ,
    "context": READ,
    "search_many": READ,
    "bulk_get": READ,
    "bulk_delete": FORGET,
    "erase": FORGET,
}


class InsufficientScope(APIException):
    """403: the token does not have the scope of the operation."""

    status_code = status.HTTP_403_FORBIDDEN
    default_code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"The token needs the scope {scope!r}.")


class HasScope(BasePermission):
    """Raises `InsufficientScope` for a token without the scope of the operation. Other credentials have all scopes."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Check the token, if there is one."""
        require_scope(request, scope_of(str(request.method), getattr(view, "action", None)))
        return True


class MayErasePerson(BasePermission):
    """Whether the user may erase the person of the URL; their own memory needs the permission, too, as in the admin.

    A token for one owner only may erase no other.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Check the user and the token."""
        return bool(request.user.has_perm(ERASE_PERSON)) and only_owner(request) in ("", view.kwargs.get("user_id"))


def require_scope(request: Request, scope: str) -> None:
    """Raise `InsufficientScope` if the request has a token without this scope."""
    allows = getattr(request.auth, "allows", None)
    if allows is not None and not allows(scope):
        raise InsufficientScope(scope)


def scope_of(method: str, action: str | None) -> str:
    """The scope that an operation needs; that of an unknown method is `forget`."""
    return SCOPE_OF_ACTION.get(action or "") or SCOPE_OF_METHOD.get(method, FORGET)


def username(user: Any) -> str:
    """A `MEMORY["PRINCIPAL"]`: the user name. A later user of the same name reads the records of the earlier one."""
    return str(user.get_username())


def owner_id(user: Any) -> str:
    """The default `MEMORY["PRINCIPAL"]`: the first name of the user, which no other user ever gets as an owner id.

    Without the app `memory.access` it is the user name.
    """
    if not apps.is_installed("memory.access"):
        return username(user)
    from ..access.owners import owner_id_of  # a model: only if its app is installed

    return owner_id_of(user)


def principal(request: Request) -> str:
    """The owner's id of records that the request's user creates: the only one of its token, or the user's own."""
    return only_owner(request) or memory_settings.principal(request.user)


def only_owner(request: Request) -> str:
    """The owner's id to which the request's token is limited; empty for other credentials."""
    return str(getattr(request.auth, "owner", ""))


def acts_for_any_user(request: Request) -> bool:
    """Whether the request's user may read and write all records with these credentials."""
    return not only_owner(request) and bool(request.user.has_perm(ACT_FOR_ANY_USER))


def may_act_for(request: Request, owner: str) -> bool:
    """Whether the request's user may act for `owner`."""
    return owner == principal(request) or acts_for_any_user(request)


def may_be_limited_to(user: Any, owner: str) -> bool:
    """Whether a token of the user may be for this owner only: its own id, or any with the permission for all."""
    return owner == memory_settings.principal(user) or bool(user.has_perm(ACT_FOR_ANY_USER))
