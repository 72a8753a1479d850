"""Who may see and write what: a principal its own records, or anybody's with `memory.act_for_any_user`."""

from typing import Any


def username(user: Any) -> str:
    """The default `MEMORY["PRINCIPAL"]`: a user owns the records that carry its user name."""
    return str(user.get_username())
