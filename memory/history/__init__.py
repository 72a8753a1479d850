"""A conversation's history: the order in which cache and database are read and written.

Reading: the cache; where it has nothing, the database, and then the cache is filled if no writer came between. Inside a
transaction only the database is asked, since it alone knows what the transaction sees.

Writing: mark the conversations in the cache, write to the database, and once that is committed tell the cache what was
done, which lifts the marks. Until then readers go to the database. A transaction that is rolled back drops what it had
marked. Without a cache (`MEMORY["CACHE"]` is None, or no Redis) all of this comes down to the database.

    reading -> cached <- marking <- changes <- receivers

`reading` asks, `changes` is what writers tell of themselves, `marking` keeps it until the transaction has ended,
`receivers` hear of what is written past the models. All of them know from `cached` which cache that is.
"""

from .cached import cache_of, conversation_of
from .changes import Changes, writing
from .reading import arecent, asession, recent, session, session_by_id, verify

__all__ = [
    "Changes",
    "arecent",
    "asession",
    "cache_of",
    "conversation_of",
    "recent",
    "session",
    "session_by_id",
    "verify",
    "writing",
]
