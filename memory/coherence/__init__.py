"""Keeps the conversation cache coherent with the database: what each write marks, and what its commit applies.

1. Before a write, the conversations that it changes are marked in the cache. Readers then use the database.
2. After the commit, the changes are applied to the cache and the marks are removed, in one script.
3. After a rollback, the marked conversations are dropped from the cache.

Without a cache (`MEMORY["CACHE"]` is None, or not a Redis) nothing is marked or applied.

    rows <- marking <- changes

`rows` finds the cache of a database and converts rows to cached values and back. `marking` holds what a transaction
has marked until it ends. `changes` is the interface of the write paths. None of them imports the models: they take
model classes as arguments (`Tables`). Reads are in `memory.history`.
"""

from .changes import Changes, writing
from .rows import Tables, cache_of, conversation_of, redis_cache_of

__all__ = ["Changes", "Tables", "cache_of", "conversation_of", "redis_cache_of", "writing"]
