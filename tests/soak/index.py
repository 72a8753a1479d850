"""Processes write, pack and search one memory at once, and some writers and packers are killed at any moment.

    python -m tests.soak.index --seconds 120 --writers 3 --packers 3
    python -m tests.soak.index --seconds 120 --url postgresql    # starts Debian's package
    python -m tests.soak.index --seconds 120 --url firestore     # starts the emulator, unless its address is set

What must hold: each writer finds what it has just written, in every search; in the end the index and its tail have each
stored item once, as it is stored now, and nothing else after `memory_index`; no segment is left that is not listed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import django

ROOT = Path(__file__).resolve().parents[2]
USER = "soak"
FIRST_KILLED = 1_000  # numbers of writers that are killed


def configure(url: str) -> None:
    """Django on this database."""
    os.environ |= {"APP_ENV": "test", "DJANGO_SETTINGS_MODULE": "settings"}
    if url != "firestore":
        os.environ["MEMORY_DATABASE_URL"] = url
        os.environ.pop("FIRESTORE_EMULATOR_HOST", None)
    django.setup()


def write(seconds: float, number: int) -> dict[str, int]:
    """Write, change, delete and search; the numbers of what was done, and of what was not found."""
    from memory.models import MemoryItem
    from memory.search.reading import read_memory
    from memory.search.tail import configured_maker

    chance = random.Random(number)  # noqa: S311
    own: dict[str, str] = {}
    counts = {"writes": 0, "searches": 0, "missed": 0, "doubled": 0}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        action = chance.choice(["create", "create", "bulk", "change", "update", "delete", "search"])
        text = f"writer {number} says {chance.random()}"
        pk = chance.choice(sorted(own)) if own else ""
        if action == "create" or not own:
            item = MemoryItem.objects.create(user_id=USER, session_id=f"s{number}", item_type="m", text_content=text)
            own[item.pk] = text
        elif action == "bulk":
            some = [
                MemoryItem(user_id=USER, session_id=f"s{number}", item_type="m", text_content=f"{text} {one}")
                for one in range(chance.randint(2, 30))
            ]
            MemoryItem.objects.bulk_create(some)
            own |= {item.pk: str(item.text_content) for item in some}
        elif action == "change":
            item = MemoryItem.objects.get(pk=pk)
            item.text_content = own[pk] = text
            item.save()
        elif action == "update":
            MemoryItem.objects.filter(pk=pk).update(text_content=text)
            own[pk] = text
        elif action == "delete":
            MemoryItem.objects.filter(pk=pk).delete()
            del own[pk]
        counts["writes"] += 1
        corpus = read_memory(USER, MemoryItem.objects.db, configured_maker()).corpus
        seen = dict(zip(corpus.ids, corpus.digest.tolist(), strict=True))
        counts["searches"] += 1
        counts["doubled"] += len(seen) < len(corpus)
        counts["missed"] += any(seen.get(one) != digest(text) for one, text in own.items())
    return counts


def digest(text: str) -> int:
    """Of an entry."""
    from memory.search.recall import digest_of

    return digest_of(text)


def pack(seconds: float) -> dict[str, int]:
    """Pack again and again; where processes can fork, also in children that are killed at once."""
    from django.db import DatabaseError, connections

    from memory.models import MemoryItem
    from memory.search import packing

    counts = {"packed": 0, "lost": 0, "locked": 0, "kills": 0}
    using, chance = MemoryItem.objects.db, random.Random(os.getpid())  # noqa: S311
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if connections[using].vendor != "firestore" and chance.random() < 0.5:
            connections.close_all()
            if not (child := os.fork()):
                with suppress(packing.Lost, DatabaseError):
                    packing.pack(USER, using, lease=0.0)
                os._exit(0)
            time.sleep(chance.uniform(0, 0.1))
            os.kill(child, signal.SIGKILL)
            counts["kills"] += not os.WIFEXITED(os.waitpid(child, 0)[1])
        try:
            packing.pack(USER, using, lease=0.1)
            counts["packed"] += 1
        except packing.Lost:
            counts["lost"] += 1
        except DatabaseError:
            counts["locked"] += 1
        time.sleep(0.02)
    return counts


def soak(url: str, seconds: float, writers: int, packers: int) -> tuple[dict[str, int], list[str]]:
    """The sums of the processes' counts, and what was wrong."""
    url = _url(url)
    configure(url)
    from django.core.management import call_command

    from memory.models import MemoryItem, SearchIndex, SearchSegment
    from memory.search import verifying
    from memory.search.packing import erase
    from memory.search.tail import configured_maker

    using = MemoryItem.objects.db
    call_command("migrate", database=using, verbosity=0)
    MemoryItem.all_objects.filter(user_id=USER).delete()
    erase(USER, using)
    counts, wrong = dict[str, int](), list[str]()
    until = time.monotonic() + seconds
    with ThreadPoolExecutor() as threads:
        killing = {kind: threads.submit(killed, url, kind, until) for kind in ("write", "pack")}
        working = [_start(url, "write", seconds, number) for number in range(writers)]
        packing = [_start(url, "pack", seconds, number) for number in range(packers)]
        for process in [*working, *packing]:
            out, errors = process.communicate(timeout=seconds + 120)
            if process.returncode:
                wrong.append(errors.decode()[-1500:])
                continue
            for name, number in json.loads(out.splitlines()[-1]).items():
                counts[name] = counts.get(name, 0) + number
        counts |= {f"killed_{kind}": done.result() for kind, done in killing.items()}
    wrong += [f"{counts[name]} searches {name} items" for name in ("missed", "doubled") if counts.get(name)]
    state = verifying.state_of(USER, using, configured_maker())
    counts["items"] = MemoryItem.objects.filter(user_id=USER).count()
    if state.unlisted:
        wrong.append(f"{state.unlisted} segments are not listed")
    SearchIndex.objects.update(claimed=None)  # of the last packer that was killed
    call_command("memory_index", database=using, verbosity=0)
    after = verifying.state_of(USER, using, configured_maker())
    if not after.is_clean() or after.indexed != counts["items"]:
        wrong.append(f"after memory_index: {after}")
    counts["segments"] = SearchSegment.objects.count()
    return counts, wrong


def killed(url: str, kind: str, until: float) -> int:
    """Start processes of a kind one after the other, and kill each while it works; how many."""
    chance, count = random.Random(kind), 0  # noqa: S311
    while time.monotonic() < until:
        process = _start(url, kind, 3600, FIRST_KILLED + count)
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
        time.sleep(chance.uniform(0, 1))
        process.kill()
        process.communicate()
        count += 1
    return count


def _url(url: str) -> str:
    """The URL of the database, which is started if none is given."""
    if url == "postgresql":
        from tests import postgres

        return postgres.url()
    if url == "firestore" and not os.environ.get("FIRESTORE_EMULATOR_HOST"):
        from memory.testing.emulator import emulator

        os.environ["FIRESTORE_EMULATOR_HOST"] = emulator(uuid.uuid4().hex)
    return url or f"sqlite:///{tempfile.mkdtemp(prefix='soak-index-')}/memory.sqlite3"


def _start(url: str, kind: str, seconds: float, number: int) -> subprocess.Popen[bytes]:
    options = {"url": url, "kind": kind, "seconds": seconds, "number": number}
    command = [sys.executable, "-m", "tests.soak.index", *(f"--{name}={value}" for name, value in options.items())]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the counts; exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", default="", help="of the database, postgresql or firestore; default: a new SQLite")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--packers", type=int, default=2)
    parser.add_argument("--kind", choices=["write", "pack"], help="of a child")
    parser.add_argument("--number", type=int, default=0)
    options: Any = parser.parse_args(arguments)
    if options.kind:
        configure(options.url)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        found = write(options.seconds, options.number) if options.kind == "write" else pack(options.seconds)
        sys.stdout.write(json.dumps(found))
        return
    counts, wrong = soak(options.url, options.seconds, options.writers, options.packers)
    sys.stdout.write("\n".join([json.dumps(counts), *(f"WRONG: {one}" for one in wrong)]) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
