"""Conditional requests (RFC 9110, section 13): `ETag`, `If-Match` and `If-None-Match`.

A tag is the hash of a record's representation, so it takes no column and no read of its own. A write with a condition
compares the tag of the row that it has just read, in the transaction in which it writes.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rest_framework import status
from rest_framework.exceptions import APIException, ErrorDetail, ValidationError
from rest_framework.request import Request

ETAG: Final = "ETag"
IF_MATCH: Final = "If-Match"
IF_NONE_MATCH: Final = "If-None-Match"
ANY: Final = "*"
TAGGED: Final = frozenset({"create", "retrieve", "update", "partial_update"})
"""Actions whose response is one record."""

# `weak` is "W/" or empty. https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
TAG = re.compile(r'(?P<weak>(?:W/)?)(?P<tag>"[!#-~\x80-\xff]*")')
SEPARATOR = re.compile(r"[ \t]*(?:,[ \t]*)+")
TAGS_PATTERN: Final = r'^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$'
"""The pattern of both headers in the schema."""


class PreconditionFailed(APIException):
    """412: the record changed since the client read it."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "precondition_failed"
    default_detail = "The record is not the one that the condition names. Nothing was written; read it again."


def etag_of(data: Mapping[str, Any]) -> str:
    """The strong tag of a record's representation. The order of keys does not matter: databases do not keep it."""
    vector = data.get("embedding")
    if isinstance(vector, list):  # as text it takes a hundred times longer
        data = {**data, "embedding": hashlib.sha256(array("d", vector)).hexdigest()}
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]}"'


@dataclass(frozen=True)
class Condition:
    """The tags of one header: pairs of the tag and whether it is weak. `any` is `*`."""

    any: bool
    tags: frozenset[tuple[str, bool]] = frozenset()

    def has_strong(self, tags: Collection[str]) -> bool:
        """Whether one of these tags of the record matches by the strong comparison."""
        return self.any or any((tag, False) in self.tags for tag in tags)

    def has(self, tags: Collection[str]) -> bool:
        """Whether one of these tags of the record matches by the weak comparison."""
        return self.any or any((tag, weak) in self.tags for tag in tags for weak in (False, True))


def parsed(text: str, name: str) -> Condition:
    """The header's value; raises `ValidationError` for text that is no list of tags."""
    text = text.strip(" \t")
    if text == ANY:
        return Condition(any=True)
    tags, position = set(), 0
    while found := TAG.match(text, position):
        tags.add((found["tag"], bool(found["weak"])))
        position = found.end()
        if position == len(text):
            return Condition(any=False, tags=frozenset(tags))
        separator = SEPARATOR.match(text, position)
        if separator is None:
            break
        position = separator.end()
    message = 'Send * or entity tags in double quotes, such as "0f8e6c1b", separated by commas.'
    raise ValidationError({name: [ErrorDetail(message, code="invalid")]})


@dataclass(frozen=True)
class Preconditions:
    """Both headers of a request; None for one that it does not have."""

    if_match: Condition | None = None
    if_none_match: Condition | None = None

    def __bool__(self) -> bool:
        return self.if_match is not None or self.if_none_match is not None

    def check(self, tags: Collection[str]) -> None:
        """Raise `PreconditionFailed` unless a write of the record with one of these tags may go on."""
        if self.if_match is not None and not self.if_match.has_strong(tags):
            raise PreconditionFailed
        if self.if_none_match is not None and self.if_none_match.has(tags):
            raise PreconditionFailed

    def is_known(self, tag: str) -> bool:
        """Whether a client that asks for the record has it already: 304. Raises `PreconditionFailed` by `If-Match`."""
        if self.if_match is not None and not self.if_match.has_strong([tag]):
            raise PreconditionFailed
        return self.if_none_match is not None and self.if_none_match.has([tag])


def preconditions(request: Request) -> Preconditions:
    """The conditions of a request; raises `ValidationError` for headers that are none."""
    found = {name: request.headers.get(name) for name in (IF_MATCH, IF_NONE_MATCH)}
    match, none_match = (None if text is None else parsed(text, name) for name, text in found.items())
    return Preconditions(match, none_match)
