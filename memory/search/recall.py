"""Search of one user's items: from a query to items, best first.

whole memory (reading) -> known filters -> rank -> results, read as items in the order of their scores
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, islice
from operator import index
from typing import Any

import numpy as np
from django.db import connections
from django.utils import timezone
from numpy.typing import NDArray

from memory.backends.clock import real_time
from memory.backends.firestore.values.sizes import ByteBudget
from memory.batches import batches
from memory.conf import memory_settings
from memory.contention import in_transaction
from memory.embedding import is_remote
from memory.models import MemoryItem
from memory.querysets import MemoryItemQuerySet
from memory.querysets.scan import streamed
from memory.text_index import MOST_RESULTS, Results, SearchOptions, readable_question

from . import choosing
from . import directory as directories
from .background import index_later
from .corpus import HIDDEN, Corpus
from .encrypted import refuse_without_index
from .known_filters import KnownFilters, by_id, known_filters
from .owner import one_user_of
from .passing import looked_up
from .preferring import Preference, candidates, extra_parts
from .reading import Memory, read_memory
from .relevance import Asked, Ranked, Ranking, asked, rank, ranking
from .reranking import MOST_RERANKED, reranked, sets_scores
from .tail import Maker
from .texts import Budget, readable
from .view import CONSIDERED

MOST_READ_IN_VAIN = 3
"""Times `limit` that items are read which turn out not to pass the filters, before those that pass are looked up."""
ROUNDS = 5
"""If too many pass to look them up: of the best entries, this many times `CONSIDERED` are checked."""

CHECKED_AT_ONCE = 500

MOST_EMBEDDED = 10_000
"""Characters of texts that are not indexed yet which a search embeds: some 0.2 s of CPU time with the default embedder.
Those of further texts are estimated, until a packer has indexed them."""

RESULT_BYTES = 32 * 1024 * 1024
"""Of the items in memory that a search reads as results, for all its questions. The results end before they exceed
them."""
AT_ONCE = 10
"""Results that are read at once, best first, if all together exceed their bytes. Each may have 4 MB."""

MOST_SAME = 100
"""Other items with the text of a result of which it is looked up whether they pass the filters."""

FindItems = Callable[[Sequence[str]], Iterable[MemoryItem]]
"""The items among these ids that pass the filters."""


def search(items: MemoryItemQuerySet, queries: Sequence[str], options: SearchOptions) -> list[Results]:
    """For each query the items of one user that answer it best, best first.

    Each has its `score` from 0 to 1, `same`, the ids of other items with its text, `valid`, and with `explain`
    `score_parts`, otherwise None. Raises `ValueError` for a limit outside 1..100, for a query over 10,000 characters,
    and unless `items` are restricted to one user. A query without letters, digits or anything that the embedder knows
    has no results.
    """
    refuse_without_index()
    options = checked(options)
    texts = [readable_question(query) for query in queries]
    user_id = one_user_of(items)
    maker = Maker(memory_settings.language, memory_settings.embedder, budget=Budget(MOST_EMBEDDED))
    questions = [asked(text, maker.embedder, maker.language, options.asker) for text in texts]
    if not any(texts):
        return [Results() for _ in texts]
    filters = known_filters(items)
    memory = read_memory(user_id, items.db, maker, [question for question in questions if question.text], filters)
    budgets = [ByteBudget(RESULT_BYTES // len(texts)) for _ in texts]
    found = [
        _Answering(items, memory, question, options, filters, budget).results() if text else ([], False)
        for text, question, budget in zip(texts, questions, budgets, strict=True)
    ]
    _index_if_needed(memory)
    results = [
        Results(
            [_scored(item, ranked, memory.corpus, options) for item, ranked in answers[: options.limit]],
            memory.waiting,
            is_cut and len(answers) < options.limit,
        )
        for answers, is_cut in found
    ]
    if options.touch:
        MemoryItem.all_objects.using(items.db).touch([item for result in results for item in result])
    return results


def search_items(items: Sequence[MemoryItem], passing: Collection[str], text: str, options: SearchOptions) -> Results:
    """As `search` of an index, in items of one user that are in memory. Only those with ids in `passing` are found.

    All texts are embedded, none are estimated, since no index follows. Vectors of a remote embedder are not computed.
    """
    options = checked(options)
    embedder = memory_settings.embedder
    embedder = None if embedder is None or is_remote(embedder) else embedder
    maker = Maker(memory_settings.language, embedder)
    question = asked(text, maker.embedder, maker.language, options.asker)
    if not text:
        return Results()
    corpus = Corpus.of(maker.entries(items))
    allowed = np.fromiter((identity in passing for identity in corpus.ids), bool, len(corpus)) & visible(
        corpus, options.hidden
    )
    ranked = _above(rank(question, corpus, allowed, _wanted(options)), _least(options))
    found = in_last_order(question, [(items[candidate.place], candidate) for candidate in ranked], options.min_score)
    known = {item.pk: item for item in items if item.pk in passing}
    preference = Preference(
        options, timezone.now(), corpus, lambda ids: [known[identity] for identity in ids if identity in known]
    )
    return Results(
        _scored(item, candidate, corpus, options) for item, candidate in preference.ordered(found)[: options.limit]
    )


def checked(options: SearchOptions) -> SearchOptions:
    """The options with an int as limit. Raises `TypeError` and `ValueError`."""
    if not hasattr(options.limit, "__index__"):
        raise TypeError(f"limit must be an integer from 1 to {MOST_RESULTS}, not {options.limit!r}.")
    if not 1 <= (limit := index(options.limit)) <= MOST_RESULTS:
        raise ValueError(f"limit must be 1 to {MOST_RESULTS}, not {limit}.")
    if isinstance(options.min_score, bool) or not isinstance(options.min_score, int | float):
        raise TypeError(f"min_score must be a number from 0 to 1, not {options.min_score!r}.")
    if not 0 <= options.min_score <= 1:
        raise ValueError(f"min_score must be 0 to 1, not {options.min_score}.")
    for name in ("importance", "recency"):
        weight = getattr(options, name)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise TypeError(f"{name} must be a number from 0 to 1, not {weight!r}.")
        if not 0 <= weight <= 1:
            raise ValueError(f"{name} must be 0 to 1, not {weight}.")
    if options.as_of is not None and not isinstance(options.as_of, datetime):
        raise TypeError(f"as_of must be a datetime, not {options.as_of!r}.")
    return replace(options, limit=limit)


def visible(corpus: Corpus, hidden: bool) -> NDArray[np.bool_]:
    """The entries with a text that are not hidden, unless hidden ones are wanted."""
    has_text: NDArray[np.bool_] = corpus.digest != np.uint64(NO_TEXT)
    return has_text if hidden else has_text & (corpus.flags & HIDDEN == 0)


def in_last_order(
    question: Asked, found: Sequence[tuple[MemoryItem, Ranked]], least: float
) -> list[tuple[MemoryItem, Ranked]]:
    """The results in the order of the configured reranker, those with at least a score; some rerankers set it."""
    order = reranked(question.text, [item.text_content or "" for item, _ in found])
    ordered = [(*found[place], score) for place, score in order]
    scored = [
        (item, candidate if score is None else candidate._replace(score=score)) for item, candidate, score in ordered
    ]
    return [(item, candidate) for item, candidate in scored if candidate.score >= least]


def _wanted(options: SearchOptions) -> int:
    """How many results are needed: a reranker sees more than are returned."""
    most = candidates(options)
    return most if memory_settings.reranker is None else max(most, MOST_RERANKED)


def _least(options: SearchOptions) -> float:
    """The least score before reranking."""
    return 0.0 if sets_scores() else options.min_score


def _above(ranked: Sequence[Ranked], min_score: float) -> Sequence[Ranked]:
    return [candidate for candidate in ranked if candidate.score >= min_score] if min_score > 0 else ranked


@dataclass(frozen=True)
class _Answering:
    """Finds the results of one question in a user's memory, among items that pass filters."""

    items: MemoryItemQuerySet
    memory: Memory
    question: Asked
    options: SearchOptions
    filters: KnownFilters
    budget: ByteBudget

    def results(self) -> tuple[list[tuple[MemoryItem, Ranked]], bool]:
        """The results, and whether others may have been left out."""
        corpus, filters, limit = self.memory.corpus, self.filters, _wanted(self.options)
        find, is_cut = self._find(), False
        preference = Preference(self.options, timezone.now(), corpus, lambda ids: self.budget.take(find(ids)))
        allowed = self._allowed()
        ranked = self._best(allowed)
        above = self._above(ranked)
        # Those below the least score need not be looked for.
        most = int(allowed.sum()) if len(above) == len(ranked) else 0
        in_vain = None if filters.complete else MOST_READ_IN_VAIN * limit
        picking = Picking(corpus, find, limit, self.budget, in_vain)
        if not picking.pick(above, most):
            above, is_cut = self._passing(allowed, limit)
            picking = Picking(corpus, find, limit, self.budget, items=picking.items)
            picking.pick(above, 0)
        elif filters.complete:
            self.memory.not_found(picking.missing)
        if outdated := sum(not item.is_valid(preference.at) for item, _ in picking.found):
            items, missing = picking.items, picking.missing
            picking = Picking(corpus, find, limit + outdated, self.budget, items=items, missing=missing)
            picking.pick(above, 0)
        found = picking.found if filters.complete else _with_passing(picking.found, corpus, self.items)
        ordered = in_last_order(self.question, found, self.options.min_score)
        return preference.ordered(ordered), is_cut or self.budget.is_spent

    @property
    def _is_large(self) -> bool:
        return choosing.is_large(self.memory.directory.segments)

    def _find(self) -> FindItems:
        columns = by_id(self.items.only(*_columns(self.items)))
        return lambda ids: streamed(columns.filter(pk__in=ids))

    def _allowed(self) -> NDArray[np.bool_]:
        """The entries that may be results: in a large memory, those that pass all filters."""
        corpus = self.memory.corpus
        allowed = self.memory.allowed() & self.filters.mask(corpus) & visible(corpus, self.options.hidden)
        if self._is_large and not self.filters.complete:
            allowed &= self.filters.passing(True).mask(corpus)
        return allowed

    def _passing(self, allowed: NDArray[np.bool_], limit: int) -> tuple[Sequence[Ranked], bool]:
        """The best of only those entries that pass all filters, and whether others were not checked."""
        corpus, passing, is_cut = self.memory.corpus, self.filters.passing(self._is_large), False
        allowed = allowed & passing.mask(corpus)
        if not passing.is_whole:
            allowed, is_cut = _checked(self.items, corpus, allowed, self._best, limit)
        return self._above(self._best(allowed)), is_cut

    def _best(self, allowed: NDArray[np.bool_]) -> Ranking:
        return ranking(self.question, self.memory.corpus, allowed, CONSIDERED)

    def _above(self, ranked: Sequence[Ranked]) -> Sequence[Ranked]:
        return _above(ranked, _least(self.options))


def _checked(
    items: MemoryItemQuerySet,
    corpus: Corpus,
    allowed: NDArray[np.bool_],
    best: Callable[[NDArray[np.bool_]], Sequence[Ranked]],
    limit: int,
) -> tuple[NDArray[np.bool_], bool]:
    """Of the best entries that are allowed, those that pass the filters; and whether others were not checked."""
    left, found, texts = allowed.copy(), np.zeros(len(corpus), bool), 0
    rows = by_id(items).order_by()
    for _ in range(ROUNDS):
        ranked = best(left)
        places = [[candidate.place, *candidate.same] for candidate in ranked]
        passing: set[str] = set()
        for ids in batches([corpus.ids[place] for text in places for place in text], CHECKED_AT_ONCE):
            passing.update(looked_up(rows.filter(pk__in=ids).values_list("pk", flat=True)))
        for text in places:
            left[text] = False
            found[text] = has = [corpus.ids[place] in passing for place in text]
            texts += any(has)
        if texts >= limit or not ranked:
            break
    return found, bool(ranked) and bool(left.any())


def _with_passing(
    found: Sequence[tuple[MemoryItem, Ranked]], corpus: Corpus, items: MemoryItemQuerySet
) -> list[tuple[MemoryItem, Ranked]]:
    """The results, whose others with the same text pass the filters, as far as `MOST_SAME` of them tell."""
    ids = [corpus.ids[place] for _, candidate in found for place in candidate.same][:MOST_SAME]
    if not ids:
        return list(found)
    passing = set(by_id(items).filter(pk__in=ids).values_list("pk", flat=True))
    return [
        (item, candidate._replace(same=tuple(place for place in candidate.same if corpus.ids[place] in passing)))
        for item, candidate in found
    ]


@dataclass
class Picking:
    """Reads ranked entries as items, best first, until there are `limit`.

    An item that does not pass the filters, or whose text is not the one that was ranked, is replaced by the next, or by
    another one with the same text. `most` are the items that may be read in vain (None: any number). Ends at the item
    that exceeds `budget`.
    """

    corpus: Corpus
    find: FindItems
    limit: int
    budget: ByteBudget
    most: int | None = None
    items: dict[str, MemoryItem] = field(default_factory=dict)
    found: list[tuple[MemoryItem, Ranked]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def pick(self, ranked: Sequence[Ranked], allowed: int) -> bool:
        """Fill `found`. False if some of the `allowed` entries that were not ranked, or not read, may belong to it."""
        waiting = iter(ranked)
        while len(self.found) < self.limit:
            wanted = self.limit - len(self.found) + len(self.missing)
            if not (batch := list(islice(waiting, wanted))):
                break
            if self.most is not None and len(self.missing) > self.most:
                return False
            waiting = chain(list(self._read(batch)), waiting)
            if self.budget.is_spent:
                break
        is_full = self.budget.is_spent or len(self.found) >= self.limit
        del self.found[self.limit :]
        return is_full or not self.missing or sum(1 + len(candidate.same) for candidate in ranked) >= allowed

    def _read(self, batch: Sequence[Ranked]) -> Iterator[Ranked]:
        """Read items; return what must be looked at again: those with the same text as a missing one, and the rest."""
        ids = [self.corpus.ids[candidate.place] for candidate in batch]
        if unread := [identity for identity in ids if identity not in self.items]:
            self._read_items(unread)
        for at, (identity, candidate) in enumerate(zip(ids, batch, strict=True)):
            item = self.items.get(identity)
            if item is None and self.budget.is_spent:
                return
            if item is not None and digest_of(item.text_content) == int(self.corpus.digest[candidate.place]):
                self.found.append((item, candidate))
                continue
            if item is None:
                self.missing.append(identity)
            if candidate.same:
                yield Ranked(candidate.same[0], candidate.score, candidate.shares, candidate.same[1:])
                yield from batch[at + 1 :]
                return

    def _read_items(self, ids: Sequence[str]) -> None:
        left = self.budget.left
        read = {item.pk: item for item in self.budget.take(self.find(ids))}
        if self.budget.is_spent:  # the database has its own order
            read, budget = {}, ByteBudget(left)
            for batch in batches(ids, AT_ONCE):
                if budget.is_spent:
                    break
                found = {item.pk: item for item in self.find(batch)}
                read |= {
                    item.pk: item for item in budget.take(found[identity] for identity in batch if identity in found)
                }
        self.items |= read


def digest_of(text: str | None) -> int:
    """As in an entry."""
    said = readable(text).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(said).digest()[:8], "big")


NO_TEXT = digest_of(None)


def _columns(items: MemoryItemQuerySet) -> list[str]:
    """The columns of results: all but vectors and fields that only search reads."""
    unread = {*items.model.UNREAD_FIELDS, "embedding"}
    return [column.attname for column in items.model._meta.concrete_fields if column.name not in unread]


def _scored(item: Any, ranked: Ranked, corpus: Corpus, options: SearchOptions) -> MemoryItem:
    at = options.as_of or timezone.now()
    parts = {**ranked.parts, **dict(extra_parts(item, options, at))} if options.explain else None
    item.score, item.score_parts, item.valid = ranked.score, parts, item.is_valid(at)
    item.same = tuple(corpus.ids[place] for place in ranked.same)
    found: MemoryItem = item
    return found


def _index_if_needed(memory: Memory) -> None:
    after = memory_settings.index_after
    connection = connections[memory.using]
    if after is None or in_transaction(connection):
        return
    directory, now = memory.directory, real_time() * directories.SECOND
    may_settle = bool(directory.segments) and not directory.is_settled()
    if memory.tail > after or (may_settle and now > directory.newest + directories.margin(connection.vendor)):
        index_later(memory.user_id, memory.using)
