"""Export actions: JSON lines (complete, can be read by `memory_import`) and CSV (for spreadsheets)."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from ..fields import VectorField
from ..interchange.export import exported_fields, to_json_line

CHUNK_SIZE = 20  # each record may have 1 MiB
# Characters with which a spreadsheet starts a formula (https://owasp.org/www-community/attacks/CSV_Injection).
# The last four are the full-width = + - @.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class EchoFile:
    """A file whose `write` returns the text, so that `csv.writer.writerow` returns each row."""

    def write(self, text: str) -> str:
        """Return the text."""
        return text


def json_lines(records: QuerySet[Any]) -> Iterator[str]:
    """One line of JSON per record."""
    for record in records.iterator(chunk_size=CHUNK_SIZE):
        yield f"{to_json_line(record)}\n"


def csv_lines(records: QuerySet[Any]) -> Iterator[str]:
    """A header line and one line per record, without vector columns."""
    fields = [field for field in exported_fields(records.model) if not isinstance(field, VectorField)]
    writer = csv.writer(EchoFile())
    yield writer.writerow([field.name for field in fields])
    for record in records.only(*[field.name for field in fields]).iterator(chunk_size=CHUNK_SIZE):
        yield writer.writerow([cell(field.value_from_object(record)) for field in fields])


def cell(value: Any) -> str:
    """A value as a CSV cell: JSON for maps and lists, UTC times, empty for null, formulas escaped."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA_STARTS) else text


@dataclass(frozen=True)
class Format:
    """An export format."""

    suffix: str
    content_type: str
    lines: Callable[[QuerySet[Any]], Iterator[str]]


JSON_LINES = Format("jsonl", "application/x-ndjson; charset=utf-8", json_lines)
CSV = Format("csv", "text/csv; charset=utf-8", csv_lines)


def download(queryset: QuerySet[Any], export_format: Format) -> StreamingHttpResponse:
    """Stream the records as a file in the order of the change list."""
    name = f"{slugify(queryset.model._meta.verbose_name_plural)}-{timezone.localdate():%Y-%m-%d}.{export_format.suffix}"
    return StreamingHttpResponse(
        export_format.lines(queryset.defer(None)),
        content_type=export_format.content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


@admin.action(permissions=["view"], description=_("Export selected %(verbose_name_plural)s as JSON lines"))
def export_jsonl(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> StreamingHttpResponse:
    """Admin action: export the selection as JSON lines."""
    return download(queryset, JSON_LINES)


@admin.action(permissions=["view"], description=_("Export selected %(verbose_name_plural)s as CSV"))
def export_csv(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> StreamingHttpResponse:
    """Admin action: export the selection as CSV."""
    return download(queryset, CSV)
