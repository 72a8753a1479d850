"""Erasing a person over the API: what it costs and how far it is by GET, the erasure by POST, which is repeated."""

from __future__ import annotations

import json
from datetime import timedelta
from http import HTTPMethod
from typing import Any, Final

from django.db import connections, transaction
from django.http import Http404
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from ..conf import memory_settings
from ..lifecycle.costs import Cost, cost_of
from ..lifecycle.erasure import Progress, progress_of
from ..lifecycle.erasure import erase as erase_person
from . import serializers
from .endpoints import Endpoint
from .errors import TooBroad
from .fields import prohibits_nul
from .idempotency import Claim, once
from .permissions import HasScope, MayErasePerson

ERASED_AT_ONCE: Final = 5_000
"""Records that one request erases."""
MOST_LOOKED_THROUGH: Final = 50_000
"""Rows that a request looks through for the person's id. It reads all of them in each pass."""
TOO_MANY: Final = (
    "{count:,} records have to be looked through for the person's id; the limit of a request is {most:,}. Use `scan` "
    "false to leave out the data of other agents, or the command memory_erase."
)
NOTHING: Final = "none"
"""The state of a person who is not erased."""


class PeopleViewSet(Endpoint):
    """The erasure of a person. All of it needs the permission `memory.erase_person`."""

    collection = "people"
    permission_classes = (IsAuthenticated, HasScope, MayErasePerson)  # type: ignore[assignment]
    serializer_class = serializers.ErasureSerializer
    filter_backends = ()  # type: ignore[assignment]
    pagination_class = None
    lookup_url_kwarg = "user_id"
    lookup_value_regex = ".+"  # ids of people may have slashes

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        """The view, outside of the transaction of `ATOMIC_REQUESTS`: a tombstone must be committed at once."""
        view: Any = super().as_view(actions, **initkwargs)
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    @action(detail=True, methods=[HTTPMethod.GET], url_path="erase", url_name="erase")
    def erasure(self, request: Request, user_id: str) -> Response:
        """What an erasure would cost now, and how far it is. It changes nothing."""
        return self.current(self.valid(user_id))

    @erasure.mapping.post
    def erase(self, request: Request, user_id: str) -> Response:
        """Erase up to `ERASED_AT_ONCE` records, and go on with an erasure that was begun."""
        self.valid(user_id)
        serializer = serializers.ErasureQuerySerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        keep, scan = timedelta(hours=serializer.validated_data["keep_hours"]), serializer.validated_data["scan"]

        def run(claim: Claim | None) -> Response:
            cost = cost_of(user_id, scan=scan)
            if (count := sum(cost.looked_through.values())) > MOST_LOOKED_THROUGH:
                raise TooBroad(TOO_MANY.format(count=count, most=MOST_LOOKED_THROUGH))
            by = request.user.get_username()
            done = erase_person(user_id, by=by, keep=keep, most=ERASED_AT_ONCE, wait=False, scan=scan)
            response = self.answer(user_id, done, cost)
            if claim is not None:
                claim.finish(response.status_code)  # nothing of the answer: it is made of what is stored
            return response

        return once(request, memory_settings.database, run, lambda: self.current(user_id))

    def valid(self, user_id: str) -> str:
        """The id; raises `Http404` for one that nobody can have."""
        if "\x00" in user_id and prohibits_nul():
            raise Http404
        return user_id

    def current(self, user_id: str) -> Response:
        """The cost and the progress as they are now."""
        return self.answer(user_id, progress_of(user_id), cost_of(user_id))

    def answer(self, user_id: str, progress: Progress | None, cost: Cost) -> Response:
        """The body of both operations."""
        values = {
            "user_id": user_id,
            "state": NOTHING if progress is None else progress.state,
            "erased": {} if progress is None else progress.counts,
            "go_on_at": progress and progress.go_on_at,
            "refused_until": progress and progress.until,
            "receipt": json.loads(progress.receipt) if progress and progress.receipt else None,
            "cost": cost,
        }
        return Response(self.get_serializer(values).data)
