"""People are erased while processes write them, and writers, erasers and Redis are killed at any moment.

    python -m tests.soak.erasure --people 5 --items 10000 --writers 8 --rounds 3
    python -m tests.soak.erasure --url firestore    # starts the emulator, unless its address is set

Each round erases one person. What must hold when the command has ended, while writers go on: `--verify` finds nothing;
the person's token, which is in the id and in every text of theirs, is in no document, row, key, file of the database or
log, byte by byte; and every acknowledged item of the others is stored.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import django

ROOT = Path(__file__).resolve().parents[2]
MODULE = "tests.soak.erasure"


def configure(check: float, write: float) -> None:
    """Django, as the variables of this process say."""
    os.environ |= {"APP_ENV": "test", "DJANGO_SETTINGS_MODULE": "settings"}
    django.setup()
    from django.conf import settings

    from memory.lifecycle import erasure

    # Without an embedder the search index has words only, and is made fifty times faster.
    changes = {"ERASURE_CHECK": check, "SEARCH_CACHE": "default", "EMBEDDER": None, "VERSIONS": 3}
    settings.MEMORY = {**settings.MEMORY, **changes}
    erasure.WRITE_SECONDS = write  # type: ignore[misc]


def write(people: Sequence[str], ledger: Path, number: int) -> None:
    """Write, read and search the memory of all until killed. The ledger has the ids of what was acknowledged."""
    from django.db import DatabaseError

    from memory import history
    from memory.exceptions import PersonErased
    from memory.models import AgentData, AgentPart, MemoryItem, SearchLabel

    chance = random.Random(f"{number}-{time.time()}")  # noqa: S311
    with ledger.open("a") as file:
        while True:
            person = chance.choice(people)
            session = f"s{chance.randrange(20)}"
            items = [
                MemoryItem(user_id=person, session_id=session, item_type="message", text_content=f"{person} says {one}")
                for one in range(chance.choice((1, 1, 1, 20)))
            ]
            try:
                if len(items) == 1:
                    items[0].save()
                else:
                    MemoryItem.objects.bulk_create(items)
                if chance.random() < 0.1:
                    AgentData(agent_id="planner", data_type="note", content={"user_id": person}).save()
                    AgentPart(user_id=person, thread_id="t", data=person.encode()).save()
                    SearchLabel.store(person, f"who is {person}?", items[0].pk, answers=True, by="soak")
                    MemoryItem.objects.filter(pk=items[0].pk).update(text_content=f"{person} says it again")
                history.recent(person, session, 20)
                if chance.random() < 0.02:
                    MemoryItem.objects.search("who says this?", user_id=person)
            except PersonErased:
                continue
            except DatabaseError:  # contention: what was written is not acknowledged
                time.sleep(0.05)
                continue
            # Ids of people who are erased later are digits without a meaning, so the ledger names nobody.
            file.writelines(f"{people.index(person)} {item.pk}\n" for item in items)
            file.flush()


def fill(people: Sequence[str], items: int) -> None:
    """What is stored before the rounds."""
    from asgiref.sync import async_to_sync
    from django.db import DatabaseError

    from memory.backends.firestore.values.batching import batches
    from memory.exceptions import ConnectionError
    from memory.models import MemoryItem
    from memory.stores.redis import RedisClient

    client = RedisClient(ttl=86_400)

    def written(some: list[MemoryItem]) -> bool:
        try:
            MemoryItem.objects.already_checked().bulk_create(some, ignore_conflicts=True)
        except DatabaseError:  # on a loaded machine an emulator answers late
            return False
        return True

    def stored(write: Callable[[], Any]) -> bool:
        try:
            client.initialize()
            write()
        except ConnectionError:  # on a loaded machine Redis answers late
            return False
        return True

    for number, person in enumerate(people):
        made = [
            MemoryItem(
                id=f"first-{number}-{one}",
                user_id=person,
                session_id=f"s{one % 20}",
                item_type="message",
                text_content=f"{person} said {one}",
            )
            for one in range(items)
        ]
        MemoryItem.renew(made)
        for some in batches(made, 500):
            while not written(some):
                time.sleep(1)
        # What a project keeps by `RedisClient`.
        kept = [one for one in made if one.session_id == "s0"][:20]
        while not stored(lambda kept=kept, person=person: async_to_sync(client.set_history)(person, "s0", kept)):  # type: ignore[misc]
            time.sleep(0.5)


class Fleet:
    """The processes of a soak, with their logs in a folder."""

    def __init__(self, folder: Path, options: argparse.Namespace, people: Sequence[str]) -> None:
        self.folder, self.options, self.people = folder, options, people
        self.numbers = 0
        self.kills = {"writers": 0, "erasers": 0, "redis": 0}

    def start(self, kind: str, *args: str) -> subprocess.Popen[bytes]:
        """A process of a kind."""
        self.numbers += 1
        log = (self.folder / f"{kind}-{self.numbers}.log").open("wb")
        command = [sys.executable, "-m", MODULE, f"--kind={kind}", f"--number={self.numbers}", *args]
        command += [f"--check={self.options.check}", f"--write={self.options.write}"]
        environment = {**os.environ, "SOAK_PEOPLE": json.dumps(list(self.people))}
        # In a session of its own the eraser's share of the machine is that of all writers together: autogroups.
        alone = kind == "eraser"
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=alone
        )

    def size(self, place: int) -> int:
        """Bytes of a writer's ledger."""
        ledger = self.folder / f"{place}.ledger"
        return ledger.stat().st_size if ledger.exists() else 0

    def has_written(self, place: int, since: int) -> bool:
        """Whether a write was acknowledged since a size of the ledger."""
        return self.size(place) > since

    def wait_for_writes(self) -> None:
        """Return when every writer has written something in this round. Raises `AssertionError` after ten minutes."""
        sizes, until = [self.size(one) for one in range(self.options.writers)], time.monotonic() + 600
        while not all(self.has_written(place, size) for place, size in enumerate(sizes)):
            if time.monotonic() > until:
                raise AssertionError("some writers write nothing")
            time.sleep(0.2)

    @contextmanager
    def writers(self, server: Any) -> Iterator[None]:
        """Writers, one of which is killed and replaced every now and then, and a Redis that is restarted."""
        ended, chance = threading.Event(), random.Random("writers")  # noqa: S311
        since = [self.size(one) for one in range(self.options.writers)]
        running = [self.start("writer", str(self.folder / f"{one}.ledger")) for one in range(self.options.writers)]

        def kill() -> None:
            while not ended.wait(chance.uniform(1, 4)):
                place = chance.randrange(len(running))
                if not self.has_written(place, since[place]) and chance.random() < 0.9:
                    continue  # a kill before the first write proves little
                running[place].kill()
                running[place].wait()
                since[place] = self.size(place)
                running[place] = self.start("writer", str(self.folder / f"{place}.ledger"))
                self.kills["writers"] += 1
                if chance.random() < 0.3:
                    server.restart()
                    self.kills["redis"] += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            yield
        finally:
            ended.set()
            killer.join()
            for process in running:
                process.kill()
                process.wait()

    def erase(self, person: str, receipt: Path) -> None:
        """Erase a person; the first attempts are killed. An attempt that meets a Redis that is away is repeated."""
        chance = random.Random(person)  # noqa: S311
        for _ in range(self.options.kills):
            process = self.start("eraser", person, str(receipt))
            time.sleep(chance.uniform(2.0, 6.0))
            self.kills["erasers"] += process.poll() is None
            process.kill()
            process.wait()
        until = time.monotonic() + 600
        while self.start("eraser", person, str(receipt)).wait():
            if time.monotonic() > until:
                raise AssertionError("the eraser does not end")

    def ledger(self, number: int) -> set[str]:
        """The acknowledged ids of a person."""
        return {
            words[1]
            for file in self.folder.glob("*.ledger")
            for line in file.read_text().splitlines()
            if len(words := line.split()) == 2 and words[0] == str(number) and len(words[1]) == 32
        }


def bytes_left(needle: bytes, folder: Path, server: Any, database: Path | None) -> list[str]:
    """Where the token is, byte by byte."""
    from django.db import connections

    from memory.conf import memory_settings

    found = [file.name for file in folder.glob("*.log") if needle in file.read_bytes()]
    files = [] if database is None else [database.with_name(database.name + end) for end in ("", "-wal", "-journal")]
    found += [file.name for file in files if file.exists() and needle in file.read_bytes()]
    connection: Any = connections[memory_settings.database]
    if connection.vendor == "firestore":
        cursor = connection.cursor()
        for collection in cursor.collections():
            found += [
                f"{collection}: {key}" for key, raw, _ in cursor.stored(collection) if needle in key.encode() + raw
            ]
    with server.client() as client:
        found += [
            f"Redis: {key!r}" for key in client.scan_iter() if needle in key or needle in (client.dump(key) or b"")
        ]
        client.config_set("rdbcompression", "no")
        client.save()
    dump = server.folder / "dump.rdb"
    return [*found, *(["dump.rdb"] if dump.exists() and needle in dump.read_bytes() else [])]


def note(text: str) -> None:
    """Print how far the soak is."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def soak(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """What was done, and what was wrong."""
    from memory.testing.redis import RedisServer

    folder = Path(tempfile.mkdtemp(prefix="soak-erasure-"))
    people = [f"person-{secrets.token_hex(8)}" for _ in range(options.people)]
    server = RedisServer(save="3600 1").start()
    database = None
    os.environ |= {"REDIS_URL": server.url, "DATABASE_URL": f"sqlite:///{folder}/default.sqlite3"}
    if options.url == "firestore":
        if not os.environ.get("FIRESTORE_EMULATOR_HOST"):
            from memory.testing.emulator import emulator

            os.environ["FIRESTORE_EMULATOR_HOST"] = emulator(uuid.uuid4().hex)
        os.environ["GCP_PROJECT_ID"] = f"soak-{uuid.uuid4().hex[:8]}"
    else:
        database = folder / "memory.sqlite3"
        os.environ["MEMORY_DATABASE_URL"] = options.url or f"sqlite:///{database}"
    configure(options.check, options.write)
    from django.core.management import CommandError, call_command
    from django.db import DatabaseError

    from memory.conf import memory_settings
    from memory.contention import retried
    from memory.models import MemoryItem

    for alias in {"default", memory_settings.database}:
        # An emulator that has just begun answers late on a loaded machine.
        retried(partial(call_command, "migrate", database=alias, verbosity=0), DatabaseError, 20)
    note(f"files in {folder}")
    began = time.monotonic()
    fill(people, options.items)
    note(f"filled in {time.monotonic() - began:.0f} s")
    fleet, wrong, erased = Fleet(folder, options, people), list[str](), 0
    began = time.monotonic()
    for number in range(options.rounds):
        person, receipt = people[number], folder / f"receipt-{number}.json"
        with fleet.writers(server):
            fleet.wait_for_writes()
            time.sleep(options.seconds)
            before = [len(fleet.ledger(one)) for one in range(len(people))]
            fleet.erase(person, receipt)
            during = [len(fleet.ledger(one)) - count for one, count in enumerate(before)]
            time.sleep(options.seconds)
        note(f"round {number + 1}: writes acknowledged while the person was erased: {during}")
        erased += sum(json.loads(json.loads(receipt.read_text())["payload"])["counts"].values())
        try:
            call_command("memory_erase", person, verify=str(receipt), stdout=sys.stderr)
        except CommandError as error:
            wrong.append(f"round {number + 1}: {error}")
        wrong += [f"round {number + 1}: {one}" for one in bytes_left(person.encode(), folder, server, database)]
        for other in range(number + 1, len(people)):
            stored = set(MemoryItem.objects.filter(user_id=people[other]).values_list("pk", flat=True))
            expected = {f"first-{other}-{one}" for one in range(options.items)} | fleet.ledger(other)
            if lost := expected - stored:
                wrong.append(f"round {number + 1}: {len(lost)} items of another person are lost")
    counts = {
        "seconds": round(time.monotonic() - began),
        "erased": erased,
        "acknowledged": sum(len(fleet.ledger(one)) for one in range(len(people))),
        "kills": fleet.kills,
        "load": os.getloadavg()[0],
    }
    server.close()
    return counts, wrong


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the counts; exit with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("args", nargs="*", help="of a child")
    parser.add_argument("--url", default="", help="firestore, or the URL of an SQL database; default: a new SQLite")
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=3, help="of erasers, in each round")
    parser.add_argument("--seconds", type=float, default=3.0, help="before and after each erasure")
    parser.add_argument("--check", type=float, default=5.0, help='MEMORY["ERASURE_CHECK"]')
    parser.add_argument("--write", type=float, default=5.0, help="the most seconds of a write, on SQL")
    parser.add_argument("--kind", choices=["writer", "eraser"], help="of a child")
    parser.add_argument("--number", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.kind:
        configure(options.check, options.write)
        if options.kind == "writer":
            write(json.loads(os.environ["SOAK_PEOPLE"]), Path(options.args[0]), options.number)
        from django.core.management import call_command

        call_command("memory_erase", options.args[0], no_input=True, receipt=options.args[1], by="soak")
        return
    counts, wrong = soak(options)
    sys.stdout.write("\n".join([json.dumps(counts), *(f"WRONG: {one}" for one in wrong)]) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
