"""Looks for remains of an erased person in what is stored, whatever the models are.

Every document of Firestore, every row of the SQL databases and every key of Redis is read. With a receipt alone, ids
are recognised by their digests. With the person's id too, its bytes are looked for in everything, and in the files of
SQLite databases. Nothing of what is found is returned but where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from django.apps import apps
from django.conf import settings
from django.db import connections

from ..coherence import redis_cache_of
from ..contention import retried
from ..exceptions import ConnectionError
from .digests import names_in, texts_in
from .inventory import How, holdings
from .naming import Person, named_in, of_json
from .receipts import Receipt

LONG_ENOUGH: Final = 8
"""Characters of an id from which on its bytes are looked for anywhere; a shorter one is in other words by accident."""
ROWS_AT_ONCE: Final = 500
ATTEMPTS: Final = 20
"""Of a command to Redis, whose timeout is short for requests."""
CHUNK: Final = 1 << 20
SUFFIXES: Final = ("", "-wal", "-journal")


ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Remain:
    """Something of the person. `kept`: the inventory says that it stays, for `why`."""

    where: str
    id: str
    why: str
    kept: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.id}: {self.why}" if self.id else f"{self.where}: {self.why}"


@dataclass(frozen=True)
class Wanted:
    """What is looked for: a person, the ids of records, and the bytes of the id if it is known and long enough."""

    who: Person
    needle: bytes = b""

    @classmethod
    def of(cls, receipt: Receipt, user_id: str | None = None) -> Wanted:
        """What a receipt names. Raises `ValueError` if the id is not the one of the receipt."""
        who = Person(receipt.salt, receipt.person, {table: frozenset(ids) for table, ids in receipt.ids.items()})
        if user_id is not None and not who.is_person(user_id):
            raise ValueError("The receipt is of another person.")
        return cls(who, user_id.encode() if user_id is not None and len(user_id) >= LONG_ENOUGH else b"")

    def in_row(self, table: str, key: str, raw: bytes, values: Mapping[str, Any]) -> str:
        """Why a stored row is one of the person; empty if it is not."""
        who = self.who
        if who.is_record(key, table):
            return "an erased record"
        if any(who.is_person(name) for name in names_in(key) if table == "user_sessions"):
            return "a session of the person"
        if any(who.is_person(text) for text in named_in(values)):
            return "names the person"
        if any(who.is_long_id(name) for text in texts_in(values) for name in names_in(text)):
            return "has the id of an erased record"
        return "has the person's id" if self.needle and self.needle in raw else ""


def remains(receipt: Receipt, user_id: str | None = None) -> Iterator[Remain]:
    """What is left in all databases and caches of the project. Raises `ValueError` for the id of another person."""
    wanted, kept = Wanted.of(receipt, user_id), kept_tables()
    for alias in connections:
        read = in_firestore if connections[alias].vendor == "firestore" else in_sql
        for found in read(alias, wanted):
            table = found.where.partition("/")[2]
            yield Remain(found.where, found.id, kept[table], kept=True) if table in kept else found
        if wanted.needle:
            yield from in_files(alias, wanted.needle)
    for alias in settings.CACHES:
        yield from in_redis(alias, wanted)


def kept_tables() -> dict[str, str]:
    """The tables whose rows stay, with the reason."""
    return {
        apps.get_model(one.label)._meta.db_table: one.reason
        for one in holdings(How.KEPT)
        if one.label.partition(".")[0] in apps.app_configs
    }


def in_firestore(alias: str, wanted: Wanted) -> Iterator[Remain]:
    """Documents, raw, of all collections."""
    cursor: Any = connections[alias].cursor()
    for collection in cursor.collections():
        for key, raw, values in cursor.stored(collection):
            if why := wanted.in_row(collection, key, key.encode() + raw, values):
                yield Remain(f"{alias}/{collection}", key, why)


def in_sql(alias: str, wanted: Wanted) -> Iterator[Remain]:
    """Rows, raw, of all tables."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for table in tables:
            key_column = connection.introspection.get_primary_key_column(cursor, table)
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608  (a name of a table)
            names = [column[0] for column in cursor.description]
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                for row in rows:
                    values = dict(zip(names, map(of_json, row), strict=True))
                    key = str(values.get(key_column or names[0]))
                    if why := wanted.in_row(table, key, b"\0".join(map(_bytes, row)), values):
                        yield Remain(f"{alias}/{table}", key, why)


def in_files(alias: str, needle: bytes) -> Iterator[Remain]:
    """The bytes of the id in the files of an SQLite database, in free pages too."""
    connection: Any = connections[alias]
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        return
    for suffix in SUFFIXES:
        path = Path(f"{connection.settings_dict['NAME']}{suffix}")
        if path.exists() and (places := list(_places(path, needle))):
            yield Remain(
                f"{alias}/{path.name}", "", f"has the person's id at {len(places)} places, first {places[0]:,}"
            )


def in_redis(alias: str, wanted: Wanted) -> Iterator[Remain]:
    """Keys and values, raw, of a Redis. Raises `ConnectionError` if it does not answer."""
    cache = redis_cache_of(alias)
    if cache is None:
        return
    from redis.exceptions import RedisError  # slow to import, and not used without a cache

    from ..redis import raw_client, unguarded  # imports redis, which is slow

    client: Any = raw_client(cache)

    def asked(function: Callable[[], ResultT]) -> ResultT:
        try:
            with unguarded():
                return retried(function, RedisError, ATTEMPTS)
        except RedisError as error:
            raise ConnectionError("Redis cannot be reached; verify again when it runs.") from error

    for name in asked(lambda: list(client.scan_iter(count=ROWS_AT_ONCE))):
        parts = [bytes(name), *asked(partial(_content, client, name))]
        key = bytes(name).decode(errors="replace")
        texts = [text for part in parts for text in texts_in(of_json(part.decode(errors="replace")))]
        if any(wanted.who.is_person(text) for text in texts):
            yield Remain(f"Redis {alias}", key, "names the person")
        elif any(wanted.who.is_long_id(one) for text in texts for one in _ids_in_key(text)):
            yield Remain(f"Redis {alias}", key, "has the id of an erased record")
        elif wanted.needle and any(wanted.needle in part for part in parts):
            yield Remain(f"Redis {alias}", key, "has the person's id")


def _ids_in_key(text: str) -> Sequence[str]:
    return (text, text.rpartition(":")[2], text[1:])


def _content(client: Any, name: bytes) -> list[bytes]:
    kind = client.type(name)
    match bytes(kind):
        case b"string":
            return [client.get(name) or b""]
        case b"hash":
            return [part for pair in client.hgetall(name).items() for part in pair]
        case b"zset":
            return list(client.zrange(name, 0, -1))
        case b"set":
            return list(client.smembers(name))
        case b"list":
            return list(client.lrange(name, 0, -1))
        case _:
            return []


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def _places(path: Path, needle: bytes) -> Iterator[int]:
    """Where a file has these bytes, as offsets."""
    offset, rest = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            data = rest + chunk
            place = data.find(needle)
            while place >= 0:
                yield offset - len(rest) + place
                place = data.find(needle, place + 1)
            offset += len(chunk)
            rest = data[-(len(needle) - 1) :] if len(needle) > 1 else b""
