"""The audit trail: who read, wrote, exported and erased what, without content.

    MIDDLEWARE = [..., "memory.lifecycle.audit.AuditMiddleware"]    # after AuthenticationMiddleware

The middleware records each request of the API and of the app's admin; commands record themselves
(`memory.lifecycle.commands`), and so do erasures. Every record passes `emit`, which writes it as one line of JSON to
the logger `memory.audit`, or as a row of `AuditEntry`, as `MEMORY["AUDIT"]` says. Ids are digests made with
`SECRET_KEY` unless `MEMORY["AUDIT_IDS"]` is "plain".
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from itertools import chain, islice
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, QueryDict, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils import timezone
from django.utils.crypto import salted_hmac

from ..backends.middleware import RequestMiddleware
from ..conf import memory_settings
from ..models import AuditEntry
from ..request_ids import request_id
from .deleting import delete_keys, pages_of_keys

logger = logging.getLogger("memory.audit")
failures = logging.getLogger(__name__)

SALT: Final = "memory.audit"
DIGEST_LENGTH: Final = 22
ROWS_AT_ONCE: Final = 500
READ, WRITE, EXPORT, ERASE = "read", "write", "export", "erase"
API, ADMIN, COMMAND, MCP, PYTHON = "api", "admin", "command", "mcp", "python"

OF_METHOD: Final[Mapping[str, str]] = {
    "GET": READ,
    "HEAD": READ,
    "OPTIONS": READ,
    "POST": WRITE,
    "PUT": WRITE,
    "PATCH": WRITE,
    "DELETE": ERASE,
}
NAMED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("export", "download"), EXPORT),
    **dict.fromkeys(("erase", "delete", "purge"), ERASE),
    **dict.fromkeys(("search", "context", "duplicate", "get", "evaluate"), READ),
}
"""Words in the name of a URL, an action of the admin or a command that say more than the method."""
WITHOUT_DATA: Final = frozenset({"health", "schema", "docs", "redoc"})
"""Routes of the API that show nothing of what is stored."""
ID_NAMES: Final = ("pk", "object_id", "item_id", "id", "ids", "user_id", "agent_id", "session_id", "_selected_action")
"""Names of values that are ids: arguments of URLs, parameters of queries, keys of bodies and of answers."""
OWNER_NAMES: Final = ("user_id", "agent_id")
"""Those that a record of a list is noted with."""
FORM_NAMES: Final = frozenset({"action", "post", "_selected_action", *OWNER_NAMES})
"""Values of the admin's forms: the name of an action, whether it was confirmed, and ids."""
MOST_IDS: Final = 100
"""Ids of a record of the trail."""


@dataclass(frozen=True)
class Record:
    """What was done. `ids` are as they were given: `emit` makes digests, of the first `MOST_IDS` that differ.

    `count` is of records; None: unknown.
    """

    channel: str
    action: str
    operation: str
    principal: str = ""
    model: str = ""
    ids: tuple[str, ...] = ()
    count: int | None = None
    outcome: str = ""


def digest_of(text: str, secret: str | bytes | None = None) -> str:
    """The digest of an id or a name in the trail: to look for one, make its digest. `secret`: an old `SECRET_KEY`."""
    return salted_hmac(SALT, storable(text), secret=secret, algorithm="sha256").hexdigest()[:DIGEST_LENGTH]


def storable(text: str) -> str:
    """The text with escapes for what no database, or not each, can store: lone surrogates and null characters.

    A trail has what was asked for, too, if it was refused for these characters.
    """
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def digests_of(text: str) -> list[str]:
    """The digests by the current `SECRET_KEY` and by those before it."""
    return [digest_of(text), *(digest_of(text, secret) for secret in settings.SECRET_KEY_FALLBACKS)]


def emit(record: Record) -> None:
    """Write a record to the configured sink. A database that fails is logged, and does not fail what was recorded."""
    sink = memory_settings.audit
    if sink is None:
        return
    values = {**vars(record), **_shown(record), "request_id": request_id()}
    if sink == "database":
        try:
            AuditEntry.objects.using(memory_settings.database).create(**values)
        except DatabaseError:
            failures.exception("A record of the audit trail is lost.")
        return
    logger.info(json.dumps({"at": timezone.now().isoformat(), **values}, ensure_ascii=True))


@contextmanager
def recorded(record: Record) -> Iterator[None]:
    """Write a record after the block, with the outcome `done`, or `failed` if it raises."""
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        emit(replace(record, outcome=outcome))


def _shown(record: Record) -> dict[str, Any]:
    is_plain = memory_settings.audit_ids == "plain"
    ids = list(islice(dict.fromkeys(record.ids), MOST_IDS))
    show = storable if is_plain else digest_of
    return {"ids": [show(one) for one in ids], "principal": show(record.principal) if record.principal else ""}


def action_of(method: str, name: str) -> str:
    """The action of a request, by the name of its URL and its method."""
    words = name.replace("-", "_").split("_")
    found = next((NAMED[word] for word in words if word in NAMED), None)
    if found == ERASE and method in ("GET", "HEAD", "OPTIONS"):  # the question before it
        return READ
    return found or OF_METHOD.get(method, WRITE)


def of_request(request: HttpRequest, response: HttpResponseBase) -> Record | None:
    """The record of a request of the API or of the app's admin; None for any other, and for probes of health."""
    match = request.resolver_match
    if match is None:
        return None
    if "memory-api" in match.app_names:
        if str(match.url_name).partition("-")[0] in WITHOUT_DATA:
            return None
        channel, model = API, str(match.url_name).rpartition("-")[0]
    elif "admin" in match.app_names and str(match.url_name).startswith("memory_"):
        channel, model = ADMIN, str(match.url_name).partition("_")[2].rpartition("_")[0]
    else:
        return None
    data = getattr(response, "data", None)
    rows = data.get("results") if isinstance(data, Mapping) else None
    method, form = str(request.method), _form(request) if channel == ADMIN else {}
    action = str(form.get("action", ""))  # of a change list, which asks before it deletes
    asks = action.startswith("delete") and "post" not in form
    values = (match.kwargs, _lists(request.GET), form, _body(response), data)
    return Record(
        channel,
        action_of("GET" if asks else method, f"{action}_{match.url_name}"),
        f"{method} {match.view_name} {action}".rstrip(),
        str(getattr(request.user, "get_username", str)() if hasattr(request, "user") else ""),
        model,
        tuple(dict.fromkeys(chain.from_iterable(map(ids_in, values)))),
        len(rows) if isinstance(rows, Sequence) else None,
        str(response.status_code),
    )


def ids_in(value: object) -> Iterator[str]:
    """The ids that a map of values has, and the owners of the records in its lists."""
    if not isinstance(value, Mapping):
        return
    for name, one in value.items():
        several = one if isinstance(one, list | tuple) else [one]
        if str(name).partition("__")[0] in ID_NAMES:
            yield from (str(each) for each in several if isinstance(each, str | int))
        elif several is one:
            yield from _owners_in(several)


def _owners_in(rows: Iterable[object]) -> Iterator[str]:
    for row in rows:
        if not isinstance(row, dict):  # parsed JSON and serialized records
            continue
        for name in OWNER_NAMES:
            if isinstance(owner := row.get(name), str):
                yield owner
        if "item" in row:
            yield from _owners_in([row["item"]])


def _lists(values: QueryDict) -> Mapping[str, list[str]]:
    return {str(name): [str(one) for one in several] for name, several in values.lists()}


def _form(request: HttpRequest) -> Mapping[str, Any]:
    """What a change list was asked to do with which records."""
    try:
        values = _lists(request.POST)
    except (SuspiciousOperation, UnreadablePostError, MultiPartParserError):  # the view refused it
        return {}
    return {name: found[0] if name == "action" else found for name, found in values.items() if name in FORM_NAMES}


def _body(response: HttpResponseBase) -> object:
    """What a request of the API had in its body, if it was accepted."""
    context = getattr(response, "renderer_context", None)
    return context["request"].data if context and response.status_code < HTTPStatus.BAD_REQUEST else None


class AuditMiddleware(RequestMiddleware[None]):
    """Records the requests of the API and of the app's admin, with their outcome."""

    finish_blocks = True  # the user may be read from the database

    def finish(self, request: HttpRequest, response: HttpResponseBase, entered: None) -> HttpResponseBase:
        """Unchanged, and recorded."""
        if memory_settings.audit is not None and (found := of_request(request, response)) is not None:
            emit(found)
        return response


def purge(dry_run: bool = False) -> int:
    """Delete entries older than `MEMORY["AUDIT_DAYS"]`, and all but the newest `MEMORY["AUDIT_ENTRIES"]`.

    Returns how many.
    """
    entries = AuditEntry._base_manager.using(memory_settings.database)
    deleted = 0
    for old in filter(None, (_aged(entries), _surplus(entries))):
        if dry_run:
            deleted = max(deleted, old.count())  # the one is a part of the other
            continue
        for keys in pages_of_keys(old, ROWS_AT_ONCE):
            delete_keys(AuditEntry, entries.db, keys)
            deleted += len(keys)
    return deleted


def _aged(entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry] | None:
    days = memory_settings.audit_days
    return None if days is None else entries.filter(at__lt=timezone.now() - timedelta(days=days))


def _surplus(entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry] | None:
    """The entries before the newest ones, and those of exactly the same time."""
    most = memory_settings.audit_entries
    surplus = 0 if most is None else entries.count() - most
    if surplus <= 0:
        return None
    [last] = entries.order_by("at").values_list("at", flat=True)[surplus - 1 : surplus]
    return entries.filter(at__lte=last)
