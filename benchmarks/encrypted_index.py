"""What a reader of the stored bytes learns of encrypted texts: `python -m benchmarks.encrypted_index`.

For each value of `MEMORY["ENCRYPTED_SEARCH"]`, a memory of the held-out facts is written and indexed on a new SQLite
file, and its conversations are read and searched through a new Redis. The attacker has the file and all that Redis has,
and knows how segments are stored, but no key. A JSON line per mode:

- `words`: the share of distinct words of the texts that are in the file, as they are or as stems in a segment;
- `texts`: the share of texts that are in the file as they are;
- `guessed`: the share of texts of which the attacker can confirm a guess, by a hash that is not keyed;
- `words in Redis`, `texts in Redis`: the same shares of the values of Redis' keys;
- `vectors`: the share of items with a vector of the text, in the item or in a segment.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "tests" / "search" / "data" / "kinds" / "facts_heldout.json"
MODES = ("not encrypted", "clear", "sealed", "none")


def readable(data: bytes) -> Any:
    """The corpus of a segment without a key; None if it cannot be read."""
    from memory.search.segments import UnreadableSegment, unpack

    try:
        return unpack(data).corpus
    except UnreadableSegment:
        return None


def measure(mode: str, file: Path, server: Any) -> dict[str, Any]:
    """The figures of a mode."""
    from django.conf import settings
    from django.db import connections

    from memory import sealing
    from memory.models import MemoryItem, SearchSegment
    from memory.search.encrypted import is_searched
    from memory.search.labelled import read_conversations
    from memory.search.packing import erase, pack
    from memory.search.stored import items_of
    from memory.search.terms import index_terms

    encrypted = [] if mode == MODES[0] else ["text_content"]
    search = "clear" if mode == MODES[0] else mode
    own = {"ENCRYPT": encrypted, "ENCRYPTED_SEARCH": search, "INDEX_AFTER": None, "SEARCH_CACHE": "default"}
    settings.MEMORY = {**settings.MEMORY, **own}
    MemoryItem.all_objects.all().delete()
    for user in ("fh-tamsin", "fh-kwame", "fh-roz"):
        erase(user, "memory")
    texts: list[str] = []
    conversations = list(read_conversations(DATA.read_text("utf-8")))
    for conversation in conversations:
        passages = [replace(one, id=f"{conversation.id}:{one.id}") for one in conversation.passages]
        MemoryItem.objects.bulk_create(items_of(passages, conversation.id))
        texts += [one.text for one in passages]
        if is_searched():
            pack(conversation.id, "memory")
    found = [readable(bytes(data)) for data in SearchSegment.objects.values_list("data", flat=True)]
    corpora = [one for one in found if one is not None]
    with connections["memory"].cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.execute("VACUUM")
    in_redis = read_through(server, conversations)
    sealing.known.forget()
    raw = file.read_bytes()
    words = {word for text in texts for word in index_terms(text, "english")}
    terms = {term for corpus in corpora for term in corpus.terms}
    hashes = set(MemoryItem.objects.values_list("content_hash", flat=True))
    digests = {int(digest) for corpus in corpora for digest in corpus.digest}
    vectors = MemoryItem.objects.filter(text_embedding__isnull=False).count()
    in_segments = sum(len(corpus) for corpus in corpora if getattr(corpus, "vectors", None) is not None)
    cached = b"\0".join(in_redis)
    cached_terms = {term for value in in_redis if (one := readable(value)) is not None for term in one.terms}
    return {
        "mode": mode,
        "items": len(texts),
        "distinct words": len(words),
        "words": share_of(words, terms, raw),
        "texts": round(sum(text.encode() in raw for text in texts) / len(texts), 3),
        "guessed": round(sum(is_confirmed(text, hashes, digests) for text in texts) / len(texts), 3),
        "words in Redis": share_of(words, cached_terms, cached),
        "texts in Redis": round(sum(text.encode() in cached for text in texts) / len(texts), 3),
        "vectors": round(min(1.0, max(vectors, in_segments) / len(texts)), 3),
    }


def share_of(words: set[str], terms: set[str], raw: bytes) -> float:
    """The share of the words of more than four letters that are among the terms, or in the bytes."""
    long = [word for word in words if len(word) > 4]
    return round(sum(word in terms or word.encode() in raw for word in long) / len(long), 3)


def read_through(server: Any, conversations: list[Any]) -> list[bytes]:
    """The values that Redis has after the conversations were read and searched."""
    from memory import history
    from memory.models import MemoryItem, UserSession
    from memory.search import segment_cache
    from memory.search.encrypted import is_searched

    with server.client() as client:
        client.flushall()
        for conversation in conversations:
            for session in UserSession.objects.filter(user_id=conversation.id).values_list("session_id", flat=True):
                history.recent(conversation.id, session, 200)
            if is_searched():
                segment_cache.cache.forget("memory", conversation.id)
                MemoryItem.objects.search("Where does she live?", user_id=conversation.id)
        found: list[bytes] = []
        for key in client.scan_iter():
            kind = client.type(key).decode()
            if kind == "hash":
                found += client.hvals(key)
            elif kind == "zset":
                found += client.zrange(key, 0, -1)
            elif kind == "string":
                found.append(client.get(key))
        return found


def is_confirmed(text: str, hashes: set[str], digests: set[int]) -> bool:
    """Whether a hash of a guessed text is stored."""
    digest = hashlib.sha256(text.encode()).digest()
    return digest.hex() in hashes or int.from_bytes(digest[:8], "big") in digests


def main() -> None:
    """Print JSON lines."""
    from cryptography.fernet import Fernet

    from memory.testing.redis import RedisServer

    with tempfile.TemporaryDirectory() as folder, RedisServer() as server:
        file = Path(folder) / "memory.sqlite3"
        os.environ.update(
            APP_ENV="test",
            DJANGO_SETTINGS_MODULE="settings",
            DATABASE_URL=f"sqlite:///{folder}/service.sqlite3",
            MEMORY_DATABASE_URL=f"sqlite:///{file}",
            REDIS_URL=server.url,
            ENCRYPTION_KEYS=Fernet.generate_key().decode(),
        )
        import django

        from memory import breaker

        django.setup()
        breaker.SLOW_SECONDS = 60.0  # a loaded machine is not a Redis that is down
        from django.core.management import call_command

        call_command("migrate", database="memory", verbosity=0)
        for mode in MODES:
            print(json.dumps(measure(mode, file, server)), flush=True)


if __name__ == "__main__":
    main()
