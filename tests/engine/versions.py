"""What tests write otherwise on another version of Django."""

from __future__ import annotations

from typing import Any

import django
from django.db.models import JSONField, Value

DJANGO_6_0 = django.VERSION >= (6, 0)
DJANGO_6_1 = django.VERSION >= (6, 1)


def json_null() -> Any:
    """JSON's null in a filter, or to be saved."""
    if DJANGO_6_1:
        from django.db.models import JSONNull

        return JSONNull()
    return Value(None, JSONField())
