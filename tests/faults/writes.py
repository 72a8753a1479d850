"""Proof by use: mixed writes from several threads through a failing network, and then the account.

    python -m tests.faults.writes --count 20000 --rate 0.2

Each thread owns documents of its own and knows what must be in them; all share counters. What must hold:

- a write that was acknowledged is in the database, a write that was refused is not, and neither is there twice;
- IntegrityError is raised exactly for documents that exist;
- a write whose outcome the engine does not know (OperationalError) is there entirely or not at all;
- no call takes longer than its deadline.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import IntegrityError, OperationalError

from memory.backends.firestore.query.plan import Create, Delete, Get, Outcome, Put, Query, Update
from memory.backends.firestore.rpc import channel
from memory.backends.firestore.rpc.executor import Executor
from memory.backends.firestore.values.types import DOCUMENT_ID, Kind, Ref
from memory.testing import emulator

from .proxy import Proxy, Randomly

T = TypeVar("T")

TIMEOUT = 10.0
SLACK = 1.0
"""Seconds over the deadline that a busy machine may take to notice it."""

THREADS = 8
SHARED = 4
BULK = 20
VALUE, COUNT = Ref(("value",), Kind.TEXT), Ref(("count",), Kind.INTEGER)
COLUMNS = (VALUE, COUNT)


@dataclass
class Account:
    """The result: calls by kind, the shared counters' bounds, and all violations."""

    calls: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)


@dataclass
class Writer:
    """One thread: the expected state of its documents ({id: (value, count)}), and the account it adds to."""

    name: str
    executor: Executor
    account: Account
    random: random.Random
    known: dict[str, tuple[str, int]] = field(default_factory=dict)
    made: int = 0

    def step(self) -> int:
        """One call; returns the number of its writes."""
        verbs = [self.create] * 4 + [self.create_again, self.bulk] + [self.update] * 2 + [self.increment] * 3
        verb = self.random.choice([*verbs, self.increment_shared, self.increment_shared, self.delete, self.put])
        self.account.calls[verb.__name__] += 1
        return verb() or 1

    def create(self) -> None:
        """A new document."""
        id = self._new_id()
        content = (uuid.uuid4().hex, 0)
        self._expect({id: content}, lambda: self.executor.commit([Create("faults", id, COLUMNS, content)]))

    def create_again(self) -> None:
        """A document that exists: must be refused."""
        id = self._any_id()
        if id is None:
            return
        try:
            self._timed(lambda: self.executor.commit([Create("faults", id, COLUMNS, (uuid.uuid4().hex, 0))]))
        except IntegrityError:
            return
        except OperationalError:
            self._learn({id: self.known[id]}, "create_again")
            return
        self.account.wrong.append(f"{id} was created twice")

    def bulk(self) -> int:
        """Several documents, among them some that exist, each standing alone."""
        new = {self._new_id(): (uuid.uuid4().hex, 0) for _ in range(BULK)}
        old = {id for id in (self._any_id(), self._any_id()) if id is not None}
        ids = self.random.sample([*new, *old], len(new) + len(old))
        writes = [Create("faults", id, COLUMNS, new.get(id, ("never", 0))) for id in ids]

        def send() -> None:
            for id, outcome in zip(ids, self.executor.commit(writes, isolate=True), strict=True):
                if (outcome is Outcome.EXISTS) != (id in old):
                    self.account.wrong.append(f"{id} in bulk: {outcome}")

        self._expect(new, send)
        return len(ids)

    def update(self) -> None:
        """Another value for a document."""
        id = self._any_id()
        if id is not None:
            value = uuid.uuid4().hex
            send = lambda: self.executor.commit([Update("faults", id, (VALUE,), (value,))])  # noqa: E731
            self._expect({id: (value, self.known[id][1])}, send)

    def increment(self) -> None:
        """One more in a counter of the thread's own."""
        id = self._any_id()
        if id is not None:
            value, count = self.known[id]
            send = lambda: self.executor.commit([Update("faults", id, increments=((COUNT, 1),))])  # noqa: E731
            self._expect({id: (value, count + 1)}, send)

    def increment_shared(self) -> None:
        """One more in a counter that all threads add to."""
        id = f"shared{self.random.randrange(SHARED)}"
        try:
            self._timed(lambda: self.executor.commit([Update("faults", id, increments=((COUNT, 1),))]))
        except OperationalError:
            self.account.unknown[id] += 1
        else:
            self.account.acknowledged[id] += 1

    def delete(self) -> None:
        """One document less."""
        id = self._any_id()
        if id is not None:
            self._expect({id: None}, lambda: self.executor.commit([Delete("faults", id, must_exist=True)]))

    def put(self) -> None:
        """A document as given."""
        id = self._any_id() or self._new_id()
        content = (uuid.uuid4().hex, 0)
        self._expect({id: content}, lambda: self.executor.commit([Put("faults", id, COLUMNS, content)]))

    def _expect(self, after: dict[str, Any], send: Callable[[], Any]) -> None:
        """Send, and record the expected state; if the outcome is unknown, read it."""
        try:
            self._timed(send)
        except IntegrityError as error:
            self.account.wrong.append(f"false IntegrityError for {list(after)[:3]}: {error}")
        except OperationalError:
            self._learn(after, "send")
            return
        self._note(after)

    def _learn(self, after: dict[str, Any], what: str) -> None:
        """Read the outcome of an unknown write: as before or as wanted, and nothing else."""
        self.account.unknown["own"] += 1
        found = {}
        for _ in range(20):
            try:
                rows = self.executor.run(Get("faults", tuple(after), (DOCUMENT_ID, *COLUMNS)))
                found = {id: (value, count) for id, value, count in rows}
                break
            except OperationalError:
                continue
        for id, wanted in after.items():
            if found.get(id) not in (wanted, self.known.get(id)):
                self.account.wrong.append(f"{id} after an unknown {what}: {found.get(id)}, wanted {wanted}")
        self._note({id: found.get(id) for id in after})

    def _note(self, after: dict[str, Any]) -> None:
        for id, content in after.items():
            if content is None:
                self.known.pop(id, None)
            else:
                self.known[id] = content

    def _timed(self, send: Callable[[], T]) -> T:
        started = time.monotonic()
        try:
            return send()
        finally:
            took = time.monotonic() - started
            self.account.slowest = max(self.account.slowest, took)
            if took > TIMEOUT + SLACK:
                self.account.wrong.append(f"a call took {took:.1f} s")

    def _new_id(self) -> str:
        self.made += 1
        return f"{self.name}-{self.made}"

    def _any_id(self) -> str | None:
        return self.random.choice(list(self.known)) if self.known else None


def run(address: str, count: int, rate: float, seed: int) -> Account:
    """`count` writes through a proxy that fails a share `rate` of all calls; `wrong` is empty if all is well."""
    project = f"faults-{uuid.uuid4().hex[:10]}"
    account = Account()
    straight = _executor(address, project)
    straight.commit([Put("faults", f"shared{number}", COLUMNS, ("", 0)) for number in range(SHARED)])
    with Proxy(address, Randomly(rate, seed)) as proxy:
        executor = _executor(proxy.address, project)
        seeds = [random.Random(f"{seed}-{n}") for n in range(THREADS)]  # noqa: S311
        writers = [Writer(f"w{n}", executor, account, seeds[n]) for n in range(THREADS)]

        def work(writer: Writer) -> None:
            done = 0
            while done < count // THREADS:
                done += writer.step()

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, writers))
        account.faults = proxy.counts
    found = {id: (value, number) for id, value, number in straight.run(Query("faults", (DOCUMENT_ID, *COLUMNS)))}
    _settle(account, writers, found)
    return account


def _executor(address: str, project: str) -> Executor:
    target = channel.target({"HOST": address, "PROJECT": project})
    return Executor(target, timeout=TIMEOUT, wrap_call=lambda description, send: send(), log=lambda rpc: None)


def _settle(account: Account, writers: list[Writer], found: dict[str, tuple[str, int]]) -> None:
    """Compare the database with the expectations of the threads."""
    expected = {id: content for writer in writers for id, content in writer.known.items()}
    for number in range(SHARED):
        id = f"shared{number}"
        low, high = account.acknowledged[id], account.acknowledged[id] + account.unknown[id]
        value = found.pop(id)[1]
        if not low <= value <= high:
            account.wrong.append(f"{id} is {value}; acknowledged {low}, unknown {high - low}")
    for id in expected.keys() | found.keys():
        if expected.get(id) != found.get(id):
            account.wrong.append(f"{id} is {found.get(id)}, must be {expected.get(id)}")


def main() -> int:
    """Run the proof and print its account; the exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    started = time.monotonic()
    account = run(emulator.emulator(f"faults-{uuid.uuid4().hex[:8]}"), given.count, given.rate, given.seed)
    lines = [
        f"calls     {dict(account.calls)}",
        f"faults    {dict(account.faults)}",
        f"shared    {sum(account.acknowledged.values())} acknowledged",
        f"unknown   {dict(account.unknown)}",
        f"slowest   {account.slowest:.2f} s of {TIMEOUT:.0f} s",
        f"took      {time.monotonic() - started:.0f} s",
        f"wrong     {len(account.wrong)}",
        *account.wrong[:20],
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if account.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
