"""Recall: what was said, found again by words and by meaning, without an LLM. docs/search.md tells how."""
