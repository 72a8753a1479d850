"""Namespaces as session ids, and the keys of items: pure functions.

The session id of `("users", "ada")` is `store/users/ada/`.
"""

from __future__ import annotations

from collections.abc import Sequence

from memory.adapters.paths import digest, labels_of, path_of

ROOT = "store/"

Namespace = tuple[str, ...]


def session_of(namespace: Sequence[str]) -> str:
    """The session id of a namespace, also of a prefix of others."""
    return path_of(ROOT, namespace)


def namespace_of(session_id: str) -> Namespace:
    """The inverse of `session_of`."""
    return labels_of(ROOT, session_id)


def item_id(user_id: str, namespace: Sequence[str], key: str) -> str:
    """The document id of an item: a digest, so that any characters and lengths are possible and none can collide."""
    return digest("store", user_id, list(namespace), key)
