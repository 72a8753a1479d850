"""Namespaces as session ids, and the keys of items: pure functions.

The session id of `("users", "ada")` is `store/users/ada/`. Labels are percent-encoded and each ends with a slash, so no
two namespaces have the same id, and the namespaces below a prefix are one range of ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from urllib.parse import unquote

ROOT = "store/"
ESCAPES = str.maketrans({"%": "%25", "/": "%2F"})
AFTER_SLASH = chr(ord("/") + 1)

Namespace = tuple[str, ...]


def session_of(namespace: Sequence[str]) -> str:
    """The session id of a namespace, also of a prefix of others."""
    return ROOT + "".join(f"{label.translate(ESCAPES)}/" for label in namespace)


def namespace_of(session_id: str) -> Namespace:
    """The inverse of `session_of`."""
    return tuple(unquote(label) for label in session_id[len(ROOT) :].split("/")[:-1])


def end_of(session_id: str) -> str:
    """The least text after all session ids that start with `session_id`."""
    return session_id[:-1] + AFTER_SLASH


def item_id(user_id: str, namespace: Sequence[str], key: str) -> str:
    """The document id of an item: a digest, so that any characters and lengths are possible and none can collide."""
    return digest("store", user_id, list(namespace), key)


def digest(*parts: object) -> str:
    """64 hexadecimal digits that are unique to the parts, which are JSON."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()
