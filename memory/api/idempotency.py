"""`Idempotency-Key`: a write that is sent twice is applied once, and answered twice.

A request with a key first claims the key by a row of its own. The answer is stored in that row in the same transaction
as the write itself, so both exist or neither does, whichever process ends, and when. A repeated request finds one of

    an answer                       the write was applied: the answer is sent again
    a claim that is younger         the first request runs: 409
    a claim that is older           the first request was lost: this one takes the claim over, after which the first one
                                    can no longer commit

Only what the request does not hold itself is stored of an answer, so a deleted record leaves no copy of its text.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, IntegrityError
from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import APIException, ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ..contention import write_transaction
from ..fields import new_id
from ..models import IdempotencyKey
from ..sealing import keyed_hash, protected
from .errors import OutcomeUnknown
from .permissions import only_owner

logger = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEY = re.compile(r"[!-~]{1,255}")
LEASE = timedelta(seconds=30)
"""How long a request may run before a repeated one takes over."""

ATTEMPTS = 5


class KeyInUse(APIException):
    """409: a request with this key is running."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "idempotency_key_in_use"
    default_detail = "A request with this Idempotency-Key is being processed. Try again later."
    wait = 1


class KeyReused(APIException):
    """422: the key belongs to another request."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "idempotency_key_reused"
    default_detail = "This Idempotency-Key was used for another request: use a new key."


@dataclass(frozen=True)
class Claim:
    """The right of one request to use a key."""

    using: str
    key: str
    token: str
    # The request's own values, which are not stored again.
    sent: Mapping[str, Any]

    def _row(self) -> Any:
        return IdempotencyKey.objects.using(self.using).filter(pk=self.key, claim=self.token)

    def finish(self, code: int, data: Any = None) -> None:
        """Store the answer, in the transaction of the write. Raises `KeyInUse` if another request took over."""
        own = {name: value for name, value in (data or {}).items() if differs(self.sent, name, value)}
        answer = {"sent": sorted((data or {}).keys() - own.keys()), "own": own}
        if not self._row().update(status=code, answer=answer):
            raise KeyInUse

    def release(self) -> None:
        """Forget the key after a failure that wrote nothing: the client may use it again."""
        with suppress(DatabaseError):  # the claim ends by itself, later
            self._row().filter(status=None).delete()

    def give_up(self) -> None:
        """End the claim, but keep an answer that may have been stored: the outcome is unknown."""
        with suppress(DatabaseError):
            self._row().filter(status=None).update(until=timezone.now())


def differs(sent: Mapping[str, Any], name: str, value: Any) -> bool:
    """Whether the request does not have this value; 1, 1.0 and True are different values."""
    return name not in sent or json.dumps(sent[name]) != json.dumps(value)


def once(
    request: Request,
    using: str,
    run: Callable[[Claim | None], Response],
    current: Callable[[], Response] | None = None,
) -> Response:
    """The response of `run`, or the stored one of an earlier request with the same key.

    `run` gets None for a request without a key. Otherwise it must call `finish()` in the transaction of its write. If
    the answer is more than the request and a few values, `current` makes it of what is stored now.
    """
    text = request.headers.get(HEADER)
    if text is None:
        return run(None)
    if not KEY.fullmatch(text):
        message = "Send 1 to 255 visible ASCII characters."
        raise ValidationError({HEADER: [ErrorDetail(message, code="invalid")]})
    sent = request.data if isinstance(request.data, Mapping) else {}
    found = claimed(using, key_of(request, text), fingerprint(request), sent)
    if isinstance(found, Response):
        return replayed(current() if current else found)
    try:
        return run(found)
    except OutcomeUnknown:
        found.give_up()
        raise
    except Exception:
        found.release()
        raise


def key_of(request: Request, text: str) -> str:
    """The stored form of a key: keys of different users never meet."""
    parts = json.dumps([str(request.user.pk), only_owner(request), text])
    return hashlib.sha256(parts.encode()).hexdigest()


def fingerprint(request: Request) -> str:
    """What the request asks for: method, path and the values of the body."""
    parts = json.dumps([request.method, request.path.rstrip("/"), request.data], sort_keys=True)
    # The hash of a text that is encrypted elsewhere must not confirm a guess.
    return keyed_hash(parts) if protected() else hashlib.sha256(parts.encode()).hexdigest()


def claimed(using: str, key: str, asked: str, sent: Mapping[str, Any]) -> Claim | Response:
    """A claim of the key, or the stored response. Raises `KeyInUse` and `KeyReused`."""
    rows = IdempotencyKey.objects.using(using)
    for _ in range(ATTEMPTS):
        token, now = new_id(), timezone.now()
        values = {"fingerprint": asked, "claim": token, "until": now + LEASE, "created": now}
        try:
            with write_transaction(using):
                rows.create(pk=key, **values)
        except IntegrityError:
            known = rows.filter(pk=key).first()
        else:
            return Claim(using, key, token, sent)
        if known is None:  # released meanwhile
            continue
        if not known.is_expired:
            if known.fingerprint != asked:
                raise KeyReused
            if known.status is not None:
                return replay(known, sent)
            if known.until > now:
                raise KeyInUse
        if rows.filter(pk=key, claim=known.claim).update(**values, status=None, answer={}):
            logger.info("A request takes over the Idempotency-Key of one that did not end.")
            return Claim(using, key, token, sent)
    raise KeyInUse


def replay(row: IdempotencyKey, sent: Mapping[str, Any]) -> Response:
    """The first response again, from the request and what was stored."""
    values = {name: sent[name] for name in row.answer.get("sent", ())} | row.answer.get("own", {})
    data = None if row.status == status.HTTP_204_NO_CONTENT else values
    return Response(data, row.status)


def replayed(response: Response) -> Response:
    """The response, marked as a repeated one."""
    response[REPLAYED] = "true"
    return response
