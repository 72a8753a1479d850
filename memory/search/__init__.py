"""Search of a user's items by words and by meaning, without an LLM: docs/search.md.

`MIN_SCORE` is the default for "nothing found": below it the best result of a search is probably no answer. `warm_up`
loads the models before a process serves.
"""

from memory.extras import require

require("Search", "search")

from .weights import NOTHING_BELOW as MIN_SCORE  # noqa: E402 - after the error for a missing extra

__all__ = ["MIN_SCORE", "warm_up"]


def warm_up() -> None:
    """Load the models of search, so that the first search of the process need not: 1.7 CPU seconds and 210 MiB."""
    from .warming import warm_up as load  # imports the models' packages

    load()
