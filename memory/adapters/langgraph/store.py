"""LangGraph's `BaseStore` over memory items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from memory.adapters.extras import missing
from memory.adapters.owned import Owned

try:
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        Item,
        ListNamespacesOp,
        MatchCondition,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        TTLConfig,
        validate_op_namespace,
    )
except ImportError as error:
    raise missing("langgraph", error) from error

from . import filters
from .namespaces import Namespace
from .texts import WHOLE, text_of

if TYPE_CHECKING:
    from .items import Items, Put, Search, Stored

OPERATIONS = (GetOp, SearchOp, ListNamespacesOp, PutOp)


class DjangoStore(Owned, BaseStore):
    """A LangGraph store in one user's memory.

    Items are memory items of the type `store`: the admin shows them, and the app's search finds them. `fields` are the
    JSON paths whose text is searched, by default the whole value; `index=` of a put overrides them, and `index=False`
    leaves an item out of the ranking. `ttl` is LangGraph's `TTLConfig`; expired items are never returned.

    In a batch, reads see the store as it was before the batch's writes, the last write of a key wins, and all writes
    are one transaction. Errors of the database are raised as `memory.exceptions.StorageError`, values beyond its limits
    as `ValidationError`.
    """

    supports_ttl = True

    def __init__(
        self,
        user_id: str,
        *,
        fields: Sequence[str] = (WHOLE,),
        ttl: TTLConfig | None = None,
        using: str | None = None,
    ) -> None:
        Owned.__init__(self, user_id, using)
        if isinstance(fields, str):
            raise TypeError("fields must be a list of JSON paths, not a string.")
        self.fields = tuple(fields)
        self.ttl_config = ttl

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations; return their results in the same order."""
        work = self._checked(ops)
        return self.call(partial(self._run, work)) if work else []

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`."""
        work = self._checked(ops)
        return await self.acall(partial(self._run, work)) if work else []

    @staticmethod
    def _checked(ops: Iterable[Op]) -> list[Op]:
        work = list(ops)
        for op in work:
            if not isinstance(op, OPERATIONS):
                raise ValueError(f"Unknown operation type: {type(op)}")
            validate_op_namespace(op)
            if isinstance(op, SearchOp):
                filters.check(op.filter)
            if isinstance(op, SearchOp | ListNamespacesOp) and min(op.limit, op.offset) < 0:
                raise ValueError("limit and offset must not be negative.")
        return work

    def _run(self, ops: Sequence[Op]) -> list[Result]:
        from memory.exceptions import storage_errors  # needs django.setup()

        with storage_errors("Using the store"):
            return Batch(self._items(), ops, self.fields).run()

    def _items(self) -> Items:
        from .items import Items  # needs django.setup()

        return Items(self.alias, self.user_id)


@dataclass(frozen=True)
class Batch:
    """The operations of a batch: all reads, then the refreshed TTLs, then all writes."""

    items: Items
    ops: Sequence[Op]
    fields: Sequence[str]

    def run(self) -> list[Result]:
        """The results, in the order of the operations."""
        gets = [op for op in self.ops if isinstance(op, GetOp)]
        known = self.items.get((tuple(op.namespace), op.key) for op in gets) if gets else {}
        read: dict[str, Stored] = {}
        results = [self._result(op, known, read) for op in self.ops]
        self.items.refresh(read.values())
        puts = {(tuple(op.namespace), op.key): self._put(op) for op in self.ops if isinstance(op, PutOp)}
        if puts:
            self.items.write(puts.values())
        return results

    def _result(self, op: Op, known: dict[tuple[Namespace, str], Stored], read: dict[str, Stored]) -> Result:
        """The result of one operation; `read` collects the items whose TTL it refreshes."""
        if isinstance(op, GetOp):
            item = known.get((tuple(op.namespace), op.key))
            if item is not None and op.refresh_ttl:
                read[item.id] = item
            return None if item is None else Item(**_fields_of(item))
        if isinstance(op, SearchOp):
            found = self.items.search(_search_of(op))
            read.update({item.id: item for item in found} if op.refresh_ttl else {})
            return [SearchItem(**_fields_of(item), score=item.score) for item in found]
        if isinstance(op, ListNamespacesOp):
            return listed(self.items.namespaces(), op)
        return None

    def _put(self, op: PutOp) -> Put:
        from .items import Put  # needs django.setup()

        fields = self.fields if op.index is None else op.index or ()
        text = None if op.value is None else text_of(op.value, fields)
        return Put(tuple(op.namespace), op.key, op.value, text, op.ttl)


def _search_of(op: SearchOp) -> Search:
    from .items import Search  # needs django.setup()

    return Search(tuple(op.namespace_prefix), op.filter, op.limit, op.offset, op.query)


def _fields_of(item: Stored) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "key": item.key,
        "value": item.value,
        "created_at": item.created,
        "updated_at": item.updated,
    }


def listed(namespaces: Iterable[Namespace], op: ListNamespacesOp) -> list[Namespace]:
    """The namespaces that match all conditions, cut to the depth, without repetitions, in order."""
    found = [
        namespace
        for namespace in namespaces
        if all(_matches(namespace, wanted) for wanted in op.match_conditions or ())
    ]
    cut = sorted({namespace[: op.max_depth] for namespace in found})
    return cut[op.offset : op.offset + op.limit]


def _matches(namespace: Namespace, condition: MatchCondition) -> bool:
    path = tuple(condition.path)
    if condition.match_type not in ("prefix", "suffix"):
        raise ValueError(f"Unsupported match type: {condition.match_type}")
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for label, wanted in zip(part, path, strict=True))
