"""Reads rows in order and keeps those that match a condition which Firestore cannot filter by (`planner.Sifted`).

The first read has a few rows more than are wanted (`SPARE`), so that it is the only call if few do not match. Each
further read has twice as many, and begins after the last row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from ..errors import QueryTooBroad
from ..query.evaluate import Holds, holds
from ..query.plan import Merge, Query
from ..query.planner import Sifted
from ..rpc import codec

Row = tuple[Any, ...]

SPARE: Final = 5
"""Rows that are read beyond those that are wanted, but not more than these."""


def rows(connection: Any, sifted: Sifted) -> Iterator[Row]:
    """The rows that match. Raises `QueryTooBroad` if more than `mirror_limit` are read in vain."""
    read = sifted.read
    if isinstance(read, Query) and sifted.limit is not None:  # a further read begins after the last row's values
        missing = dict.fromkeys(order.ref for order in read.orders if order.ref not in read.columns)
        read = replace(read, columns=(*read.columns, *missing))
    matches = holds(sifted.residue, read.columns, codec.as_read)
    stop = None if sifted.limit is None else sifted.offset + sifted.limit
    found = islice(_matching(connection, read, matches, stop), sifted.offset, stop)
    return (row[: sifted.width] for row in found)


def _matching(connection: Any, read: Query | Merge, matches: Holds, stop: int | None) -> Iterator[Row]:
    limit, kept, vain = None if stop is None else stop + min(stop, SPARE), 0, 0
    most: int = connection.option("mirror_limit")
    after: Query | Merge | None = read
    while after is not None:
        count, last = 0, None
        for row in connection.plan_cursor().run(replace(after, limit=limit)):
            count, last = count + 1, row
            if matches(row):
                kept += 1
                yield row
                continue
            vain += 1
            if stop is not None and vain > most:
                raise QueryTooBroad(
                    f"The first {count} rows of the query have too few that match: more than {most} were read in vain "
                    '(OPTIONS["mirror_limit"]). Add a filter.'
                )
        if limit is None or count < limit or stop is None or kept >= stop:
            return
        after = _after(read, after, last, count)
        limit *= 2


def _after(read: Query | Merge, before: Query | Merge, last: Row | None, count: int) -> Query | Merge:
    """The read of the rows after those that were read: by the last one's values, else by their number."""
    if isinstance(read, Query) and last is not None and read.orders:
        return replace(read, start_after=tuple(last[read.columns.index(order.ref)] for order in read.orders))
    return replace(read, offset=before.offset + count)
