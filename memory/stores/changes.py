"""Changes of a stored item, as pure functions: validated fields, and metadata that is merged by RFC 7396."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ..exceptions import ValidationError
from ..models import MemoryItem
from .validation import naive_problem

CHANGEABLE: Final = frozenset(
    {
        "session_id",
        "item_type",
        "persona_active",
        "text_content",
        "embedding",
        "metadata",
        "timestamp",
        "expiration",
        "supersedes",
        "valid_from",
        "valid_to",
        "source",
        "derived_from",
        "importance",
    }
)
"""The fields of an item that an update may change: all but its id, its user, and what the app computes."""


def validated_changes(changes: object, merge_metadata: object) -> dict[str, Any]:
    """The changes as a dict of their own. Raises `ValidationError`, by field, for what no update can change."""
    if not isinstance(changes, Mapping) or not changes:
        raise ValidationError({"changes": "This must be a map of fields to new values, such as {'text_content': 'x'}."})
    if not isinstance(merge_metadata, bool):
        raise ValidationError({"merge_metadata": "This must be True or False."})
    problems = {str(name): problem for name, value in changes.items() if (problem := _problem(name, value))}
    if merge_metadata and not isinstance(changes.get("metadata", {}), Mapping):
        problems["metadata"] = "This must be a map, to be merged."
    if problems:
        raise ValidationError(problems)
    return copy.deepcopy(dict(changes))


def _problem(name: object, value: object) -> str:
    if name not in CHANGEABLE:
        return f"This cannot be changed. Fields: {', '.join(sorted(CHANGEABLE))}."
    return naive_problem(value) if isinstance(value, datetime) else ""


def apply(item: MemoryItem, changes: Mapping[str, Any], merge_metadata: bool) -> None:
    """Set the new values on an item."""
    for name, value in changes.items():
        merges = merge_metadata and name == "metadata"
        setattr(item, name, merged(item.metadata, value) if merges else value)


def merged(stored: Any, patch: Any) -> Any:
    """The value after a JSON merge patch (RFC 7396): maps are merged at every level, null removes a key."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    known = stored if isinstance(stored, Mapping) else {}
    kept = {key: copy.deepcopy(value) for key, value in known.items() if key not in patch}
    return kept | {key: merged(known.get(key), value) for key, value in patch.items() if value is not None}
