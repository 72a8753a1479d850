"""Ids of sessions that are paths of labels, and digests as ids of rows: pure functions.

Labels are percent-encoded and each ends with a slash, so no two paths are the same, and all paths below one are a range
of ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from urllib.parse import unquote

ESCAPES = str.maketrans({"%": "%25", "/": "%2F"})
AFTER_SLASH = chr(ord("/") + 1)


def path_of(root: str, labels: Iterable[str]) -> str:
    """The path of these labels below a root, which ends with a slash."""
    return root + "".join(f"{label.translate(ESCAPES)}/" for label in labels)


def labels_of(root: str, path: str) -> tuple[str, ...]:
    """The inverse of `path_of`."""
    return tuple(unquote(label) for label in path[len(root) :].split("/")[:-1])


def end_of(path: str) -> str:
    """The least text after all paths that start with this one."""
    return path[:-1] + AFTER_SLASH


def digest(*parts: object) -> str:
    """64 hexadecimal digits that are unique to the parts, which are JSON."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()
