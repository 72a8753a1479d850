"""The cache compared with a simple model: hypothesis orders writers, readers, evictions and failovers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from memory.cache import Conversation, ConversationCache, Item, Mark, Operation, Written, add, remove
from memory.testing.redis import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True, databases=["default", "memory"])]

CHAT = Conversation("ada", "chat")
IDS = st.sampled_from(["a", "b", "c", "d", "é", "～", "😀"])  # noqa: RUF001  (a character beyond U+F8FF)
TIMES = st.integers(0, 3)
CLOCKS = st.integers(0, 3)


@dataclass(frozen=True)
class Row:
    """An item in the model of the database; `ends` is its expiration, None for never."""

    pk: str
    time: int
    text: str
    ends: int | None

    def item(self) -> Item:
        """The item in the form that the cache takes."""
        ends = "9" * 18 if self.ends is None else f"{self.ends:018}"
        return Item(self.pk, f"{self.time:018}", ends, self.text)


ROWS = st.builds(Row, IDS, TIMES, st.text(max_size=5), st.none() | st.integers(1, 3))


@dataclass
class Writer:
    """A writer between its mark and its finish."""

    mark: Mark
    operations: list[Operation]
    losses: int = 0


@dataclass(frozen=True)
class Reader:
    """A reader that has missed and has read the database."""

    lease: str
    rows: list[Row]


class Machine(RuleBasedStateMachine):
    """One conversation. A lookup must return the current rows of the database, or a miss."""

    cache: ConversationCache

    writers = Bundle("writers")
    readers = Bundle("readers")

    @initialize()
    def begin(self) -> None:
        self.cache.client.execute_command("FLUSHALL")
        self.rows: dict[str, Row] = {}
        self.losses = 0
        self.hidden = False  # somebody has committed a change that could not reach Redis
        self.old: list[tuple[str, bytes]] = []

    def expected(self, clock: int) -> list[Row]:
        """The live rows, newest first."""
        live = [row for row in self.rows.values() if row.ends is None or row.ends > clock]
        return sorted(live, key=lambda row: (row.time, row.pk.encode()), reverse=True)

    @rule(target=writers, row=ROWS)
    def begin_to_write(self, row: Row) -> Writer:
        """Mark and commit, without finishing; other steps may come between."""
        mark = self.cache.mark([CHAT])[CHAT]
        self.rows[row.pk] = row
        return Writer(mark, [add(row.item())], self.losses)

    @rule(writer=writers, row=ROWS)
    def write_more(self, writer: Writer, row: Row) -> None:
        if writer.losses == self.losses:  # otherwise the mark is lost, and readers may see only finished writes
            self.rows[row.pk] = row
            writer.operations.append(add(row.item()))

    @rule(writer=consumes(writers))
    def finish(self, writer: Writer) -> None:
        self.cache.finish([Written(CHAT, writer.mark, writer.operations)])

    @rule(row=ROWS)
    def write_a_row(self, row: Row) -> None:
        self.finish(self.begin_to_write(row))

    @rule(pk=IDS)
    def delete_a_row(self, pk: str) -> None:
        mark = self.cache.mark([CHAT])[CHAT]
        self.rows.pop(pk, None)
        self.finish(Writer(mark, [remove(pk)]))

    @rule(pk=IDS)
    def change_a_row(self, pk: str) -> None:
        """The writer does not know the new values."""
        mark = self.cache.mark([CHAT])[CHAT]
        if pk in self.rows:
            self.rows[pk] = replace(self.rows[pk], text="changed")
        self.finish(Writer(mark, [("items", "", "")]))

    @rule(row=ROWS)
    def write_and_die(self, row: Row) -> None:
        """The mark lasts a millisecond, the write is committed, and the mark is never removed."""
        self.cache._run("mark", self.cache._keys(CHAT), "dead", 1, self.cache._name(CHAT), 0, "", self.cache.form)
        self.rows[row.pk] = row
        time.sleep(0.002)

    @rule(row=ROWS)
    def write_behind_a_partition(self, row: Row) -> None:
        """Redis does not receive the change yet."""
        self.rows[row.pk] = row
        self.hidden = True

    @rule()
    def end_the_partition(self) -> None:
        """Conversations whose changes did not reach Redis are dropped."""
        if self.hidden:
            self.evict(0)
            self.hidden = False

    @rule(target=readers, clock=CLOCKS)
    def miss(self, clock: int) -> Reader:
        found = self.cache.look(CHAT, 1, f"{clock:018}")
        return Reader(found.lease, self.expected(0))

    @rule(reader=readers)
    def fill(self, reader: Reader) -> None:
        """Fills may be repeated and may be late."""
        if reader.lease:
            items = [row.item() for row in reader.rows]
            self.cache.fill(CHAT, reader.lease, items[: self.cache.size], whole=len(items) <= self.cache.size)

    @rule()
    def read_and_fill(self) -> None:
        self.fill(self.miss(0))

    @rule(position=st.integers(0, 1))
    def evict(self, position: int) -> None:
        keys = self.cache._keys(CHAT)
        self.cache.client.execute_command("DEL", (keys.state, keys.order)[position])
        self.losses += 1

    @rule()
    def replicate(self) -> None:
        """The state that a replica or a file has so far."""
        keys = self.cache._keys(CHAT)
        dumps = [(key, self.cache.client.execute_command("DUMP", key)) for key in (keys.state, keys.order)]
        self.old = [(key, dump) for key, dump in dumps if dump]

    @rule()
    def fail_over(self) -> None:
        """The replica takes over, with an old state and another run id."""
        keys = self.cache._keys(CHAT)
        self.cache.client.execute_command("DEL", keys.state, keys.order)
        self.losses += 1
        for key, dump in self.old:
            self.cache.client.execute_command("RESTORE", key, 60_000, dump)
        if self.cache.client.execute_command("EXISTS", keys.state):
            self.cache.client.execute_command("HSET", keys.state, "run", "0" * 40)

    @invariant()
    def tells_what_the_database_has(self) -> None:
        self.look(10, 0)

    @rule(limit=st.integers(1, 8), clock=CLOCKS)
    def look(self, limit: int, clock: int) -> None:
        found = self.cache.look(CHAT, limit, f"{clock:018}", fill=False)
        if found.snapshots is None or self.hidden:
            return
        texts = [snapshot.decode() for snapshot in found.snapshots]
        expected = [row.text for row in self.expected(clock)][:limit]
        assert texts == expected[: len(texts)]
        assert len(texts) == len(expected) or not found.whole

    @invariant()
    def is_bounded(self) -> None:
        assert self.cache.client.execute_command("ZCARD", self.cache._keys(CHAT).order) <= self.cache.size


def test_the_cache_keeps_its_word(redis_server: RedisServer, use_redis: Callable[..., ConversationCache]) -> None:
    """In any order of events, lookups return only current rows, and the cache stays within its limits."""
    Machine.cache = replace(use_redis(redis_server), size=3)
    profile = settings(max_examples=250, stateful_step_count=30, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Machine, settings=profile)
