"""Search of a user's items by words and by meaning, without an LLM: docs/search.md.

`MIN_SCORE` is the default for "nothing found": below it the best result of a search is probably no answer.
"""

from memory.extras import require

require("Search", "search")

from .weights import NOTHING_BELOW as MIN_SCORE  # noqa: E402 - after the error for a missing extra

__all__ = ["MIN_SCORE"]
