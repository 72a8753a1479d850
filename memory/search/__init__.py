"""Search of a user's items by words and by meaning, without an LLM: docs/search.md.

`MIN_SCORE` is the default for "nothing found": below it the best result of a search is probably no answer.
"""

from .weights import NOTHING_BELOW as MIN_SCORE

__all__ = ["MIN_SCORE"]
