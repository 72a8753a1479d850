"""The conversation cache in Redis: its keys, its scripts and their replies.

It knows neither models nor the database: `history` reads it, `coherence` writes it. The rules that keep it coherent
are in `lua/` and in docs/cache.md. Every method raises `Unavailable` while Redis is down. The keys of changes that
failed are dropped before this process uses Redis again.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache as memoize
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from memory.backends.firestore.values.batching import batches

from .breaker import KEYS_AT_ONCE, Breaker, Unavailable, literal

if TYPE_CHECKING:
    from django_redis.cache import RedisCache

    from .redis import Client

__all__ = ["Conversation", "ConversationCache", "Found", "Item", "Operation", "Stats", "Unavailable", "add", "remove"]

MARK_MS = 30_000  # how long the mark of a writer that died keeps a conversation out of the cache
LEASE_MS = 15_000  # how long a reader may take to read the database
MAX_BYTES = 4 * 1024 * 1024  # of one conversation
PREFIX = "memory:h:"


@dataclass(frozen=True, slots=True)
class Conversation:
    """The user and the session of a conversation."""

    user_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Item:
    """A cached item: `time` and `expiration` as 18 digits, `snapshot` as JSON."""

    id: str
    time: str
    expiration: str
    snapshot: str

    @property
    def value(self) -> str:
        """The text that Redis stores."""
        return self.time + self.expiration + self.snapshot


@dataclass(frozen=True, slots=True)
class Found:
    """The result of `look`.

    `snapshots` is None for a miss; `lease` is then the token for `fill`, or empty if this reader must not fill.
    `whole`: the conversation has no further items. `change` is the argument of `unchanged`.
    """

    snapshots: list[bytes] | None = None
    whole: bool = False
    change: str = ""
    lease: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A writer's mark on a conversation: its token, empty if Redis is down, and what was cached at that time.

    `session` is the session's row, `newest` the newest items, newest first; None if they were not cached.
    """

    token: str = ""
    session: bytes | None = None
    newest: tuple[bytes, ...] | None = None


Operation = tuple[str, str, str]


def add(item: Item) -> Operation:
    """The item is in the conversation, with this value."""
    return ("add", item.id, item.value)


def remove(pk: str) -> Operation:
    """The item is no longer in the conversation."""
    return ("remove", pk, "")


ITEMS_CHANGED: Operation = ("items", "", "")
SESSION_CHANGED: Operation = ("session", "", "0")


@dataclass(frozen=True, slots=True)
class Written:
    """The changes of a writer to a conversation that it marked."""

    conversation: Conversation
    mark: Mark
    operations: Sequence[Operation]


@dataclass(slots=True)
class Stats:
    """Counts over all keys of the cache."""

    conversations: int = 0
    items: int = 0
    bytes: int = 0
    sessions: int = 0
    marks: int = 0


@dataclass(frozen=True, slots=True)
class _Keys:
    state: str
    order: str


@dataclass(frozen=True)
class ConversationCache:
    """The conversations of one database, in one Redis.

    `database` identifies the database and `form` the model's fields. `size` is the most items of a conversation. `ttl`
    is the seconds that a conversation is cached after it was read from the database, however often it is used.
    """

    cache: RedisCache
    database: str
    form: str
    size: int
    ttl: int
    client: Client = field(init=False, repr=False)
    breaker: Breaker = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from .redis import breaker_of, raw_client  # slow to import, and not used without a cache

        object.__setattr__(self, "client", raw_client(self.cache))
        object.__setattr__(self, "breaker", breaker_of(self.client))

    def look(self, conversation: Conversation, limit: int, now: str, fill: bool = True) -> Found:
        """The newest `limit` cached items that have not expired at `now`; `fill`: request a lease on a miss."""
        token = new_token() if fill else ""
        answer = self._run("look", self._keys(conversation), limit, now, self.form, token, LEASE_MS)
        if answer[0] != "hit":
            return Found(lease=token if answer[0] == "lease" else "")
        whole, change, snapshots = answer[1:]
        return Found(snapshots, whole=_text(whole) == "1", change=_text(change))

    def fill(self, conversation: Conversation, lease: str, items: Sequence[Item], whole: bool) -> bool:
        """Cache the conversation's newest items, newest first. Returns False if a writer came between."""
        kept = self._within_limits(items)
        arguments = [text for item in kept for text in (item.id, item.value)]
        complete = "1" if whole and len(kept) == len(items) else "0"
        keys, name = self._keys(conversation), self._name(conversation)
        answer = self._run("fill", keys, lease, LEASE_MS, self.ttl * 1000, self.form, complete, name, *arguments)
        return bool(answer[0] == "filled")

    def unchanged(self, conversation: Conversation, change: str) -> bool:
        """Whether no writer has changed or marked the conversation since a `look` returned `change`."""
        return bool(self._run("unchanged", self._keys(conversation), change)[0] == "yes")

    def look_for_session(self, conversation: Conversation) -> tuple[bytes | None, str]:
        """The session's row and "", or None and the lease for `fill_session`, empty if this reader must not fill."""
        token = new_token()
        answer = self._run("session", self._keys(conversation), token, LEASE_MS)
        return (answer[1], "") if answer[0] == "hit" else (None, token if answer[0] == "lease" else "")

    def fill_session(self, conversation: Conversation, lease: str, row: str) -> bool:
        """Cache the session's row. Returns False if a writer came between."""
        keys, name = self._keys(conversation), self._name(conversation)
        answer = self._run("fill_session", keys, lease, LEASE_MS, self.ttl * 1000, row, name)
        return bool(answer[0] == "filled")

    def mark(self, conversations: Sequence[Conversation], newest: int = 0, now: str = "") -> dict[Conversation, Mark]:
        """Mark conversations that are about to change: they are neither read nor filled until `finish`.

        The marks have up to `newest` of the newest items that have not expired at `now`.
        """
        tokens = [new_token() for _ in conversations]
        arguments = [
            (token, MARK_MS, self._name(each), newest, now, self.form)
            for token, each in zip(tokens, conversations, strict=True)
        ]
        answers = self._run_all("mark", conversations, arguments)
        return {
            conversation: _mark_of(token, answer)
            for conversation, token, answer in zip(conversations, tokens, answers, strict=True)
        }

    def finish(self, written: Sequence[Written]) -> list[bool]:
        """Apply committed changes and remove the marks. False for a conversation: it was dropped instead."""
        limits = (self.form, self.size, MAX_BYTES)
        arguments = [
            (each.mark.token or new_token(), *limits, *(text for operation in each.operations for text in operation))
            for each in written
        ]
        answers = self._run_all("finish", [each.conversation for each in written], arguments)
        return [answer[0] == "applied" for answer in answers]

    def drop(self, conversation: Conversation) -> None:
        """Remove a conversation from the cache; concurrent fills and writes of it have no effect."""
        self.finish([Written(conversation, Mark(), ())])

    def session_row(self, row: str) -> Operation:
        """The session's row has this value."""
        return ("session", row, str(self.ttl * 1000))

    def clear(self) -> int:
        """Remove all conversations of all databases. Returns the number of keys."""
        keys = list(self._scan("*"))
        for start in range(0, len(keys), KEYS_AT_ONCE):
            self._commands([("UNLINK", key) for key in keys[start : start + KEYS_AT_ONCE]])
        return len(keys)

    def forget(self, user_id: str) -> int:
        """Remove all keys of a user's conversations in this database, marks too. Returns the number of conversations.

        Reads all states. Call it after the rows were deleted: fills and writes that have begun find no lease or mark.
        """
        found = [Conversation(*name[1:]) for name, _ in self._states() if name[:2] == [self.database, user_id]]
        for batch in batches(found, KEYS_AT_ONCE):
            keys = [self._keys(each) for each in batch]
            self._commands([("UNLINK", each.state, each.order) for each in keys])
        return len(found)

    def names(self) -> Iterator[Conversation]:
        """The cached conversations of this database."""
        for name, info in self._states():
            if name[0] == self.database and info["until"] is not None:
                yield Conversation(*name[1:])

    def stats(self) -> Stats:
        """Counts for all databases. Reads every key once."""
        stats = Stats()
        for _, info in self._states():
            stats.conversations += info["until"] is not None
            stats.items += int(info["count"] or 0) if info["until"] is not None else 0
            stats.bytes += int(info["bytes"] or 0) if info["until"] is not None else 0
            stats.sessions += info["session"] is not None
            stats.marks += _text(info["marks"] or b"").count(";")
        return stats

    def _within_limits(self, items: Sequence[Item]) -> Sequence[Item]:
        total = 0
        for position, item in enumerate(items[: self.size]):
            total += len(item.value.encode())
            if total > MAX_BYTES:
                return items[:position]
        return items[: self.size]

    def _keys(self, conversation: Conversation) -> _Keys:
        # The braces put both keys into the same slot of a cluster.
        digest = hashlib.sha256(self._name(conversation).encode()).hexdigest()[:32]
        make: Callable[[str], str] = self.cache.make_key
        return _Keys(str(make(f"{PREFIX}{{{digest}}}:state")), str(make(f"{PREFIX}{{{digest}}}:order")))

    def _name(self, conversation: Conversation) -> str:
        return json.dumps([self.database, conversation.user_id, conversation.session_id])

    def _states(self) -> Iterator[tuple[list[str], Mapping[str, bytes | None]]]:
        fields = ("name", "until", "count", "bytes", "session", "marks")
        for batch in batches(self._scan("*:state"), KEYS_AT_ONCE):
            for values in self._commands([("HMGET", key, *fields) for key in batch]):
                info = dict(zip(fields, values, strict=True))
                if info["name"]:
                    yield json.loads(info["name"]), info

    def _scan(self, pattern: str) -> Iterator[str]:
        match = literal(str(self.cache.make_key(PREFIX))) + pattern
        found: list[Any] = self.breaker.call(
            lambda: list(self.client.scan_iter(match=match, count=KEYS_AT_ONCE)), timed=False
        )
        return map(_text, found)

    def _run(self, script: str, keys: _Keys, *arguments: Any) -> list[Any]:
        return self.breaker.call(lambda: _checked(script, self._evaluate(script, keys, arguments)), (keys.state,))

    def _run_all(
        self, script: str, conversations: Sequence[Conversation], arguments: Sequence[tuple[Any, ...]]
    ) -> list[list[Any]]:
        """Run a script for several conversations in one round trip."""
        keys = [self._keys(conversation) for conversation in conversations]
        if len(keys) == 1:
            return [self._run(script, keys[0], *arguments[0])]
        states = [each.state for each in keys]
        return self.breaker.call(lambda: self._evaluate_all(script, keys, arguments), states)

    def _evaluate(self, script: str, keys: _Keys, arguments: tuple[Any, ...]) -> Any:
        from redis.exceptions import NoScriptError

        execute = getattr(self.client, "execute_unguarded", self.client.execute_command)
        try:
            return execute("EVALSHA", _sha(script), 2, keys.state, keys.order, *arguments)
        except NoScriptError:
            return execute("EVAL", _source(script), 2, keys.state, keys.order, *arguments)

    def _evaluate_all(
        self, script: str, keys: Sequence[_Keys], arguments: Sequence[tuple[Any, ...]]
    ) -> list[list[Any]]:
        from redis.exceptions import NoScriptError

        pipeline = self.client.pipeline(transaction=False)
        for each, given in zip(keys, arguments, strict=True):
            pipeline.execute_command("EVALSHA", _sha(script), 2, each.state, each.order, *given)
        answers = pipeline.execute(raise_on_error=False)
        for position, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):
                answers[position] = self._evaluate(script, keys[position], arguments[position])
            elif isinstance(answer, Exception):
                raise answer
        return [_checked(script, answer) for answer in answers]

    def _commands(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        def send() -> list[Any]:
            pipeline = self.client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute()
            return answers

        return self.breaker.call(send)


# The replies of each script: a word, and how many values follow it.
_REPLIES: Mapping[str, Mapping[str, int]] = {
    "look": {"hit": 3, "marked": 0, "lease": 0, "miss": 0},
    "fill": {"filled": 0, "refused": 0},
    "unchanged": {"yes": 0, "no": 0},
    "session": {"hit": 1, "marked": 0, "lease": 0, "miss": 0},
    "fill_session": {"filled": 0, "refused": 0},
    "mark": {"marked": 2, "full": 0},
    "finish": {"applied": 0, "overlapped": 0, "lost": 0},
}


def _mark_of(token: str, answer: Sequence[Any]) -> Mark:
    if answer[0] != "marked":
        return Mark(token)
    _, session, newest = answer
    return Mark(token, session or None, None if newest is None else tuple(newest))


def _checked(script: str, answer: Any) -> list[Any]:
    """The reply, its first word as text. Raises `InvalidResponse` for a reply that the script never returns."""
    if isinstance(answer, list) and answer and isinstance(answer[0], bytes | str):
        word = _text(answer[0])
        if _REPLIES[script].get(word) == len(answer) - 1:
            return [word, *answer[1:]]
    from redis.exceptions import InvalidResponse

    raise InvalidResponse(f"Unexpected reply to the script {script!r}.")


@memoize
def _source(script: str) -> str:
    folder = files(__package__) / "lua"
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in ("prelude", script))


@memoize
def _sha(script: str) -> str:
    return hashlib.sha1(_source(script).encode(), usedforsecurity=False).hexdigest()


def new_token() -> str:
    """A random token of 16 hexadecimal digits."""
    return secrets.token_hex(8)


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
