"""Object permissions: principals access their own records, or all with `memory.act_for_any_user`."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from ..conf import memory_settings

ACT_FOR_ANY_USER = "memory.act_for_any_user"


def username(user: Any) -> str:
    """The default `MEMORY["PRINCIPAL"]`: the owner's id is the username."""
    return str(user.get_username())


def principal(request: Request) -> str:
    """The owner's id of records that the request's user creates."""
    return memory_settings.principal(request.user)


def acts_for_any_user(request: Request) -> bool:
    """Whether the request's user may read and write all records."""
    return bool(request.user.has_perm(ACT_FOR_ANY_USER))


def may_act_for(request: Request, owner: str) -> bool:
    """Whether the request's user may act for `owner`."""
    return owner == principal(request) or acts_for_any_user(request)
