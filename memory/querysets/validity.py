"""What is valid when: items that supersede others, and what a superseded item gets.

An item is valid from `valid_from` up to but not including `valid_to`; a null leaves that side open. An item with
`supersedes` ends the validity of the items that it names at its own `valid_from`, and they name it in `superseded_by`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..exceptions import ValidationError
from .scan import CHUNK_SIZE, streamed

if TYPE_CHECKING:
    from ..models import MemoryItem
    from .items import MemoryItemQuerySet

MOST_WALKED: Final = 1_000
"""Items that are followed from a superseded item to the one that is valid."""

_lenient: ContextVar[bool] = ContextVar("memory_lenient_links", default=False)

# The same for an id that does not exist and for an item of another user, of which nobody else learns.
MISSING = _("The user has no item %(id)s to supersede.")
CIRCULAR = _("%(id)s supersedes this item, directly or by others: it cannot be superseded by it.")


class RefusedLinkError(ValidationError):
    """An item must not supersede another: their ids."""

    def __init__(self, message: Any, item_id: str, other: str) -> None:
        super().__init__({"supersedes": message % {"id": other}})
        self.item_id, self.other = item_id, other


@contextmanager
def lenient_links() -> Iterator[None]:
    """Writes in this block may supersede items that do not exist (yet), as in an import."""
    token = _lenient.set(True)
    try:
        yield
    finally:
        _lenient.reset(token)


def is_valid(item: MemoryItem, at: datetime) -> bool:
    """Whether an item is valid at a time."""
    return (item.valid_from is None or item.valid_from <= at) and (item.valid_to is None or item.valid_to > at)


def first_valid(ordered: MemoryItemQuerySet, count: int, at: datetime | None = None) -> Iterator[MemoryItem]:
    """The first `count` items of a queryset that are valid at a time, by default now, read as they are asked for.

    The queryset is ordered by `timestamp` and the key, both in the same direction. It is read as without this function,
    and items that are not valid are left out. Only if there are some, another query reads what comes after.
    """
    moment = timezone.now() if at is None else at
    rows, size, wanted = ordered, count, count
    while wanted > 0:
        number, last = 0, None
        for item in streamed(rows[:size]):
            number, last = number + 1, item
            if is_valid(item, moment):
                yield item
                wanted -= 1
                if not wanted:
                    return
        if last is None or number < size:
            return
        rows, size = after(ordered, last), max(size, 2 * wanted, CHUNK_SIZE)


def after(ordered: MemoryItemQuerySet, last: MemoryItem) -> MemoryItemQuerySet:
    """The items of such a queryset after one of them."""
    side = "lt" if str(ordered.query.order_by[0]).startswith("-") else "gt"
    # The first condition is implied by the second, but lets the database use a range of an index.
    return ordered.filter(
        Q(**{f"timestamp__{side}e": last.timestamp}),
        Q(**{f"timestamp__{side}": last.timestamp}) | Q(**{f"pk__{side}": last.pk}),
    )


def refuse_invalid(item: MemoryItem) -> None:
    """Raise `ValidationError` for an item that supersedes itself, or ends before it begins."""
    if item.pk in item.supersedes:
        raise ValidationError({"supersedes": _("An item cannot supersede itself.")})
    if item.valid_from is not None and item.valid_to is not None and item.valid_to < item.valid_from:
        raise ValidationError({"valid_to": _("This is before the time from which the item is valid.")})


def linked(item: MemoryItem) -> tuple[str, ...]:
    """The items that an item superseded when it was read or written last."""
    return tuple(vars(item).get("_linked", ()))


def link(items: Sequence[MemoryItem], records: Any) -> None:
    """End the validity of what the items supersede, and open again what they do not supersede any more.

    Call it in the transaction that writes them. `records` is a queryset of all records. Raises `ValidationError` for an
    id that does not exist, is another user's, or supersedes the item.
    """
    changed = [item for item in items if tuple(item.supersedes) != linked(item)]
    if not changed:
        return
    new = {pk: item for item in changed for pk in item.supersedes if pk not in linked(item)}
    freed = {pk: item for item in changed for pk in linked(item) if pk not in item.supersedes}
    stored = records.in_bulk([*new, *freed])
    written: dict[str, MemoryItem] = {}
    for item in changed:
        for pk in item.supersedes:
            if pk in new:
                _refuse(item, pk, stored.get(pk), records)
        for pk in {*item.supersedes} & new.keys() & stored.keys():
            old = written.setdefault(pk, stored[pk])
            close(old, item)
        for pk in {*linked(item)} & freed.keys() & stored.keys():
            if pk not in new and stored[pk].superseded_by == item.pk:
                old = written.setdefault(pk, stored[pk])
                old.superseded_by = old.valid_to = None
    if written:
        records.bulk_update(list(written.values()), ["valid_to", "superseded_by"])
    transaction.on_commit(partial(_note, changed), using=records.db)


def _note(items: Sequence[MemoryItem]) -> None:
    for item in items:
        vars(item)["_linked"] = tuple(item.supersedes)


def close(old: Any, new: Any) -> None:
    """End the validity of an item at the time from which its successor is valid."""
    end = new.valid_from if old.valid_from is None else max(new.valid_from, old.valid_from)
    old.valid_to = end if old.valid_to is None else min(end, old.valid_to)
    old.superseded_by = new.pk


def _refuse(item: Any, one: str, old: Any, records: Any) -> None:
    if old is None:
        if _lenient.get():
            return
        raise RefusedLinkError(MISSING, item.pk, one)
    if old.user_id != item.user_id:
        raise RefusedLinkError(MISSING, item.pk, one)
    if item.pk in old.supersedes or one in successors(item, records):
        raise RefusedLinkError(CIRCULAR, item.pk, one)


def successors(item: Any, records: Any) -> Collection[str]:
    """The ids of the items that superseded an item, one after the other. Without any, nothing is read."""
    found: dict[str, None] = {}
    following = item.superseded_by
    while following is not None and following not in found and len(found) < MOST_WALKED:
        found[following] = None
        following = records.filter(pk=following).values_list("superseded_by", flat=True).first()
    return found
