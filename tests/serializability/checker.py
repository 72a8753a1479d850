"""Whether a history could be that of transactions run one after the other, in an order that agrees with the clock.

After Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 2020. Lists that
are only appended to show the order of their writes: the longest read of a key is its history. From that follows
which transaction depends on which:

    ww        appended right after it
    wr        saw it
    rw        did not see it yet, so comes before it
    process   was begun after it by the same process
    realtime  was begun after it had ended

A cycle among these is an anomaly, called by Adya's names: G0 (only ww), G1c (and wr), G-single (one rw), G2 (several);
with `-process` or `-realtime` where the data alone would allow it. Others need no graph: G1a (saw what failed), G1b
(saw a transaction half done), `internal` (did not see itself), `duplicate`, `garbage` (saw what nobody wrote),
`incompatible orders`, `scattered` (appends of one transaction apart, or out of order) and `lost update`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter

from .graph import Graph, components, cycle, path
from .history import Append, Read, Status, Transaction

Writers = Mapping[tuple[str, int], Transaction]
Orders = Mapping[str, tuple[int, ...]]
DATA = ("ww", "wr", "rw")


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An anomaly that no serial order explains, and the transactions that show it."""

    kind: str
    transactions: tuple[int, ...]
    text: str


def check(history: Sequence[Transaction]) -> list[Anomaly]:
    """The anomalies of a history; empty if the observed part is strictly serializable."""
    writers = _writers(history)
    found = [
        anomaly
        for transaction in history
        for anomaly in (*_internal(transaction), *_impossible_reads(transaction, writers))
    ]
    orders, disagreements = _orders(history)
    found += [*disagreements, *_scattered(orders, writers), *_lost_updates(history)]
    return [*found, *_cycles(graph_of(history, writers, orders))]


def _writers(history: Iterable[Transaction]) -> Writers:
    writers: dict[tuple[str, int], Transaction] = {}
    for transaction in history:
        for append in transaction.appends:
            if (append.key, append.value) in writers:
                raise ValueError(f"{append} is in the history twice: give each append to a key a value of its own")
            writers[append.key, append.value] = transaction
    return writers


# Single transactions.


def _internal(transaction: Transaction) -> Iterator[Anomaly]:
    """Reads that contradict the transaction's own earlier reads and appends."""
    if transaction.status is not Status.OK:
        return
    seen: dict[str, tuple[int, ...]] = {}
    added: dict[str, tuple[int, ...]] = defaultdict(tuple)
    for operation in transaction.operations:
        key = operation.key
        if isinstance(operation, Append):
            added[key] += (operation.value,)
            continue
        before = operation.values[: max(0, len(operation.values) - len(added[key]))]
        first = seen.setdefault(key, before)
        if first + added[key] != operation.values:
            text = f"{key} is {list(operation.values)} after {list(first)} and own {list(added[key])}"
            yield Anomaly("internal", (transaction.id,), text)


def _impossible_reads(transaction: Transaction, writers: Writers) -> Iterator[Anomaly]:
    for read in transaction.reads:
        if len(set(read.values)) < len(read.values):
            yield Anomaly("duplicate", (transaction.id,), f"{read.key} is {list(read.values)}")
        for value in read.values:
            writer = writers.get((read.key, value))
            if writer is None:
                yield Anomaly("garbage", (transaction.id,), f"{read.key} holds {value}, which nobody appended")
            elif writer.status is Status.FAILED:
                text = f"{read.key} holds {value}, whose transaction failed"
                yield Anomaly("G1a", (writer.id, transaction.id), text)
        yield from _half_done(transaction, read, writers)


def _half_done(transaction: Transaction, read: Read, writers: Writers) -> Iterator[Anomaly]:
    writer = writers.get((read.key, read.values[-1])) if read.values else None
    if writer is None or writer is transaction:
        return
    last = [append.value for append in writer.appends if append.key == read.key][-1]
    if last != read.values[-1]:
        text = f"{read.key} ends with {read.values[-1]}, after which its transaction appended {last}"
        yield Anomaly("G1b", (writer.id, transaction.id), text)


# Orders of keys.


def _orders(history: Iterable[Transaction]) -> tuple[Orders, list[Anomaly]]:
    """Each key's longest read, and the reads that are no beginning of it."""
    longest: dict[str, tuple[int, tuple[int, ...]]] = {}
    reads = [(transaction.id, read) for transaction in history for read in transaction.reads]
    for id, read in reads:
        if len(read.values) >= len(longest.get(read.key, (0, ()))[1]):
            longest[read.key] = (id, read.values)
    wrong = []
    for id, read in reads:
        other, values = longest[read.key]
        if values[: len(read.values)] != read.values:
            text = f"{read.key} is {list(read.values)} and {list(values)}"
            wrong.append(Anomaly("incompatible orders", (id, other), text))
    return {key: values for key, (_, values) in longest.items()}, wrong


def _scattered(orders: Orders, writers: Writers) -> Iterator[Anomaly]:
    """Transactions whose appends to a key are not together and in order; the last may not have been seen whole."""
    for key, values in orders.items():
        known = [(writers[key, value], value) for value in values if (key, value) in writers]
        runs = [(writer, [value for _, value in run]) for writer, run in groupby(known, itemgetter(0))]
        for number, (writer, run) in enumerate(runs, 1):
            made = [append.value for append in writer.appends if append.key == key]
            if run != (made if number < len(runs) else made[: len(run)]):
                yield Anomaly("scattered", (writer.id,), f"{key} holds {run} of {made}, which were appended at once")


def _lost_updates(history: Iterable[Transaction]) -> Iterator[Anomaly]:
    """Transactions that read the same list and both appended to it."""
    readers: dict[tuple[str, tuple[int, ...]], list[int]] = defaultdict(list)
    for transaction in history:
        appended = {append.key for append in transaction.appends}
        versions = {(read.key, transaction.before_itself(read)) for read in transaction.reads if read.key in appended}
        for version in versions:
            readers[version].append(transaction.id)
    for (key, values), ids in readers.items():
        if len(ids) > 1:
            yield Anomaly("lost update", tuple(ids), f"all appended to {key} as {list(values)}")


# Dependencies.


def graph_of(history: Sequence[Transaction], writers: Writers, orders: Orders) -> Graph:
    """Dependencies among the transactions that are known to have been applied."""
    graph = Graph()
    seen = {(key, value) for key, values in orders.items() for value in values}
    applied = [t for t in history if t.status is Status.OK or any((a.key, a.value) in seen for a in t.appends)]
    unseen: dict[str, set[int]] = defaultdict(set)
    for transaction in applied:
        for append in transaction.appends:
            if (append.key, append.value) not in seen:
                unseen[append.key].add(transaction.id)
    for key, values in orders.items():
        ids = [writers[key, value].id for value in values if (key, value) in writers]
        for one, following in pairwise(ids):
            graph.add(one, following, "ww")
        for last in ids[-1:]:
            for late in unseen[key]:
                graph.add(last, late, "ww")
    for transaction in history:
        for read in transaction.reads:
            _add_read(graph, transaction, read, writers, orders, unseen)
    _add_times(graph, applied)
    return graph


def _add_read(
    graph: Graph,
    transaction: Transaction,
    read: Read,
    writers: Writers,
    orders: Orders,
    unseen: Mapping[str, set[int]],
) -> None:
    version = transaction.before_itself(read)
    if version and (writer := writers.get((read.key, version[-1]))) is not None:
        graph.add(writer.id, transaction.id, "wr")
    following = orders[read.key][len(version) :]
    if not following:
        for late in unseen[read.key]:
            graph.add(transaction.id, late, "rw")
    elif (writer := writers.get((read.key, following[0]))) is not None:
        graph.add(transaction.id, writer.id, "rw")


def _add_times(graph: Graph, applied: Iterable[Transaction]) -> None:
    """Edges from those that had ended to those that began; where another lies between the two, by way of that."""
    last_of: dict[int, Transaction] = {}
    ended: list[Transaction] = []
    moments = [(t.start, 0, t.id, t) for t in applied] + [(t.ended, 1, t.id, t) for t in applied]
    for _, ends, _, transaction in sorted(moments, key=itemgetter(0, 1, 2)):
        if not ends:
            for other in ended:
                graph.add(other.id, transaction.id, "realtime")
            if (before := last_of.get(transaction.process)) is not None:
                graph.add(before.id, transaction.id, "process")
        elif transaction.status is Status.OK:
            ended = [other for other in ended if other.ended >= transaction.start]
            ended.append(transaction)
            last_of[transaction.process] = transaction


# Cycles.


def _cycles(graph: Graph) -> Iterator[Anomaly]:
    """One anomaly for each knot of transactions, by the fewest kinds of edges that make it one."""
    reported: set[int] = set()
    for suffix, more in (("", ()), ("-process", ("process",)), ("-realtime", ("process", "realtime"))):
        for knot in list(components(graph.following((*DATA, *more)))):
            if reported.isdisjoint(knot):
                reported |= knot
                kind, found = _worst(graph, knot, more)
                yield Anomaly(kind + suffix, tuple(found), graph.describe(found))


def _worst(graph: Graph, knot: set[int], more: tuple[str, ...]) -> tuple[str, list[int]]:
    for kind, kinds in (("G0", ("ww", *more)), ("G1c", ("ww", "wr", *more))):
        if (found := cycle(graph.following(kinds, knot))) is not None:
            return kind, found
    without = graph.following(("ww", "wr", *more), knot)
    for (source, target), kinds in graph.kinds.items():
        if "rw" in kinds and {source, target} <= knot and (way := path(without, target, source)) is not None:
            return "G-single", way
    found = cycle(graph.following((*DATA, *more), knot))
    if found is None:
        raise AssertionError(f"{sorted(knot)} is a knot without a cycle")
    return "G2", found
