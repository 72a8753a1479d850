"""Scopes of CrewAI as session ids, and the ids of records: pure functions.

The session id of the scope `/company/team` is `crewai/company/team/`, that of the root is `crewai/`.
"""

from __future__ import annotations

from memory.adapters.paths import digest, labels_of, path_of

ROOT = "crewai/"


def path_of_scope(scope: str | None) -> str:
    """The session id of a scope. Empty labels are left out; no scope is the root."""
    return path_of(ROOT, [label for label in (scope or "").split("/") if label])


def scope_of(path: str) -> str:
    """The inverse of `path_of_scope`."""
    return "/" + "/".join(labels_of(ROOT, path))


def child_of(parent: str, path: str) -> str | None:
    """The scope right below `parent` that `path`, below it, is or is in; both are session ids. None for itself."""
    rest = path[len(parent) :].partition("/")[0]
    return scope_of(f"{parent}{rest}/") if rest else None


def item_id(user_id: str, record_id: str) -> str:
    """The id of the item of a record."""
    return digest("crewai", user_id, record_id)
