"""Primary keys that are made of the ids of users and sessions."""

from __future__ import annotations

from typing import Final

ESCAPES: Final = str.maketrans({"%": "%25", "/": "%2F", ":": "%3A"})


def id_of_user(user_id: str) -> str:
    """A user's id as a document id, unambiguous since `%`, `/` and `:` in it are percent-encoded."""
    user: str = user_id.translate(ESCAPES)
    if user.startswith("__"):  # an id that starts and ends with two underscores is reserved
        return f"%5F{user[1:]}"
    return user.replace(".", "%2E") if user in (".", "..") else user
