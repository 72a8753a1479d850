"""Who may see and write what: a principal its own records, or anybody's with `memory.act_for_any_user`."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from ..conf import memory_settings

ACT_FOR_ANY_USER = "memory.act_for_any_user"


def username(user: Any) -> str:
    """The default `MEMORY["PRINCIPAL"]`: a user owns the records that carry its user name."""
    return str(user.get_username())


def principal(request: Request) -> str:
    """The owner's id of the records that the request's user makes."""
    return memory_settings.principal(request.user)


def acts_for_any_user(request: Request) -> bool:
    """Whether the request's user may see and write everybody's records."""
    return bool(request.user.has_perm(ACT_FOR_ANY_USER))


def may_act_for(request: Request, owner: str) -> bool:
    """Whether the request's user may write a record of `owner`."""
    return owner == principal(request) or acts_for_any_user(request)
