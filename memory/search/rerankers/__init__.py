"""Rerankers for `MEMORY["RERANKER"]`; see `memory.search.reranking` for the protocol."""
