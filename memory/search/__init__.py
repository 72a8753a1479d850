"""Search of a user's items by words and by meaning, without an LLM: docs/search.md."""
