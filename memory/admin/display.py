"""Display of values: excerpts, formatted JSON, summaries of vectors. User content is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..models import UserSession

EMPTY = "-"
EXCERPT = 120  # characters
SUMMARY_NUMBERS = 4


def excerpt(text: str | None, length: int = EXCERPT) -> str:
    """The start of a text on one line."""
    start = " ".join((text or "")[: 4 * length].split())
    return start if len(start) <= length and len(text or "") <= 4 * length else f"{start[: length - 1]}…"


def clip(text: str, length: int) -> str:
    """Truncate a text with an ellipsis."""
    return text if len(text) <= length else f"{text[:length]}…"


def text_line(text: str) -> SafeString | None:
    """An excerpt with its own text direction, or None if it is empty."""
    return format_html('<span class="memory-line" dir="auto">{}</span>', start) if (start := excerpt(text)) else None


def name_cell(name: str | None, length: int = 24) -> SafeString | None:
    """A name for a column: its start, and the whole of a long one as a tooltip."""
    if not name:
        return None
    start = excerpt(name, length)
    tooltip = format_html(' title="{}"', name) if start != name else ""
    return format_html('<span class="memory-name" dir="auto"{}>{}</span>', tooltip, start)


def time_cell(time: datetime) -> SafeString:
    """A time in the current time zone, formatted for a column."""
    local = timezone.localtime(time)
    return format_html(
        '<time class="memory-time" datetime="{}"><span>{}</span> <span>{}</span></time>',
        local.isoformat(),
        f"{local:%Y-%m-%d}",
        f"{local:%H:%M:%S}",
    )


def time_text(time: datetime | None) -> str:
    """A time in the current time zone: every page of the app's admin shows times in this form."""
    return EMPTY if time is None else f"{timezone.localtime(time):%Y-%m-%d %H:%M:%S}"


def text_block(text: str | None) -> str:
    """The whole text with its line breaks and its own text direction."""
    return format_html('<div class="memory-text" dir="auto">{}</div>', text) if text else EMPTY


def formatted_json(value: Any) -> str:
    """Readable JSON: indented, not ASCII-escaped, with sorted keys, since Firestore does not keep their order."""
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


def json_block(value: Any) -> str:
    """Formatted JSON as a block."""
    if value is None or value == {}:
        return EMPTY
    return format_html('<pre class="memory-json" dir="ltr" tabindex="0">{}</pre>', formatted_json(value))


def vector_summary(vector: Sequence[float] | None) -> str:
    """A vector's dimension, length and first numbers."""
    if vector is None:
        return EMPTY
    first = ", ".join(f"{number:.4g}" for number in vector[:SUMMARY_NUMBERS])
    return _("%(count)d dimensions, length %(length).4g: %(first)s%(more)s") % {
        "count": len(vector),
        "length": math.hypot(*vector),
        "first": first,
        "more": ", …" if len(vector) > SUMMARY_NUMBERS else "",
    }


def title_of(session: UserSession) -> str:
    """The session's `metadata["title"]`, or an empty string."""
    title = session.metadata.get("title") if isinstance(session.metadata, dict) else None
    return title if isinstance(title, str) else ""


def session_url(page: str, user_id: str, session_id: str) -> str:
    """The URL of a session's page `change` or `conversation`."""
    return reverse(f"admin:memory_usersession_{page}", args=(quote(UserSession.make_id(user_id, session_id)),))


def conversation_url(user_id: str, session_id: str, item_id: str | None = None) -> str:
    """The URL of a conversation, or of an item's place in it."""
    url = session_url("conversation", user_id, session_id)
    return f"{url}?{urlencode({'item': item_id})}#here" if item_id is not None else url


def items_url(user_id: str, session_id: str) -> str:
    """The URL of the list of a session's items."""
    query = urlencode({"user_id": user_id, "session_id": session_id})
    return f"{reverse('admin:memory_memoryitem_changelist')}?{query}"
