"""What a reader of the stored bytes learns of encrypted texts: `python -m benchmarks.encrypted_index`.

For each value of `MEMORY["ENCRYPTED_SEARCH"]`, a memory of the held-out facts is written and indexed on a new SQLite
file. The attacker has the file, and knows how segments are stored, but no key. A JSON line per mode:

- `words`: the share of distinct words of the texts that are in the file, as they are or as stems in a segment;
- `texts`: the share of texts that are in the file as they are;
- `guessed`: the share of texts of which the attacker can confirm a guess, by a hash that is not keyed;
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


def measure(mode: str, file: Path) -> dict[str, Any]:
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
    settings.MEMORY = {**settings.MEMORY, "ENCRYPT": encrypted, "ENCRYPTED_SEARCH": search, "INDEX_AFTER": None}
    MemoryItem.all_objects.all().delete()
    for user in ("fh-tamsin", "fh-kwame", "fh-roz"):
        erase(user, "memory")
    texts: list[str] = []
    for conversation in read_conversations(DATA.read_text("utf-8")):
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
    sealing.known.forget()
    raw = file.read_bytes()
    words = {word for text in texts for word in index_terms(text, "english")}
    terms = {term for corpus in corpora for term in corpus.terms}
    hashes = set(MemoryItem.objects.values_list("content_hash", flat=True))
    digests = {int(digest) for corpus in corpora for digest in corpus.digest}
    vectors = MemoryItem.objects.filter(text_embedding__isnull=False).count()
    in_segments = sum(len(corpus) for corpus in corpora if getattr(corpus, "vectors", None) is not None)
    return {
        "mode": mode,
        "items": len(texts),
        "distinct words": len(words),
        "words": round(
            sum(word in terms or word.encode() in raw for word in words if len(word) > 4)
            / sum(len(word) > 4 for word in words),
            3,
        ),
        "texts": round(sum(text.encode() in raw for text in texts) / len(texts), 3),
        "guessed": round(sum(is_confirmed(text, hashes, digests) for text in texts) / len(texts), 3),
        "vectors": round(min(1.0, max(vectors, in_segments) / len(texts)), 3),
    }


def is_confirmed(text: str, hashes: set[str], digests: set[int]) -> bool:
    """Whether a hash of a guessed text is stored."""
    digest = hashlib.sha256(text.encode()).digest()
    return digest.hex() in hashes or int.from_bytes(digest[:8], "big") in digests


def main() -> None:
    """Print JSON lines."""
    from cryptography.fernet import Fernet

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "memory.sqlite3"
        os.environ.update(
            APP_ENV="test",
            DJANGO_SETTINGS_MODULE="settings",
            DATABASE_URL=f"sqlite:///{folder}/service.sqlite3",
            MEMORY_DATABASE_URL=f"sqlite:///{file}",
            ENCRYPTION_KEYS=Fernet.generate_key().decode(),
        )
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", database="memory", verbosity=0)
        for mode in MODES:
            print(json.dumps(measure(mode, file)), flush=True)


if __name__ == "__main__":
    main()
