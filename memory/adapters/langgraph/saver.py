"""LangGraph's `BaseCheckpointSaver` over the app's database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from memory.adapters.extras import missing
from memory.adapters.owned import Owned

try:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        WRITES_IDX_MAP,
        BaseCheckpointSaver,
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        DeltaChannelHistory,
        PendingWrite,
        get_checkpoint_id,
        get_checkpoint_metadata,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol
except ImportError as error:
    raise missing("langgraph", error) from error

from .frames import Frame

if TYPE_CHECKING:
    from .checkpoints import Checkpoints, Saved, Wanted, Where

    Page = tuple[Sequence[Saved], str | None, Sequence[str]]

CHECKPOINT, METADATA = "checkpoint", "metadata"
DELTA_COUNTERS = "counters_since_delta_snapshot"
KEEP_LATEST, DELETE = "keep_latest", "delete"
FIRST_PAGE = 10
PAGE = 50
LONGEST_NAME = 255


class DjangoSaver(Owned, BaseCheckpointSaver[int]):
    """A LangGraph checkpointer for the threads of one user.

    A checkpoint is one row with its values, the writes of a task are one row; what exceeds a document is split. Values
    are serialized by `serde`, as in LangGraph's own savers. Errors of the database are raised as
    `memory.exceptions.StorageError`.
    """

    def __init__(self, user_id: str, *, serde: SerializerProtocol | None = None, using: str | None = None) -> None:
        Owned.__init__(self, user_id, using)
        BaseCheckpointSaver.__init__(self, serde=serde)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint whole; return the config that identifies it."""
        self._sync(self._put(config, checkpoint, metadata))
        return _config_of(config["configurable"]["thread_id"], _namespace(config), checkpoint["id"])

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        await self._async(self._put(config, checkpoint, metadata))
        return _config_of(config["configurable"]["thread_id"], _namespace(config), checkpoint["id"])

    def _put(self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> Any:
        about: Mapping[str, Any] = get_checkpoint_metadata(config, metadata)
        frames = [
            Frame(CHECKPOINT, self.serde.dumps_typed(checkpoint)),
            Frame(METADATA, self.serde.dumps_typed(about)),
        ]
        return lambda found: found.put(
            self._where(found, config),
            checkpoint["id"],
            config["configurable"].get("checkpoint_id"),
            frames,
            _columns(about),
        )

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store writes of a task, all or none. Of an ordinary write that is put twice the first stays."""
        if writes:
            self._sync(self._put_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `put_writes`."""
        if writes:
            await self._async(self._put_writes(config, writes, task_id, task_path))

    def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Any:
        frames = {}
        for place, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, place)
            frames[index] = Frame([index, channel, task_path], self.serde.dumps_typed(value))
        checkpoint_id = config["configurable"]["checkpoint_id"]
        return lambda found: found.put_writes(self._where(found, config), checkpoint_id, task_id, list(frames.values()))

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint of the config, or the latest of its thread and namespace."""
        return self._tuple_or_none(self._sync(self._get(config)), config)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return self._tuple_or_none(await self._async(self._get(config)), config)

    def _get(self, config: RunnableConfig) -> Any:
        return lambda found: found.get(self._where(found, config), get_checkpoint_id(config) or None)

    def _tuple_or_none(self, saved: Saved | None, config: RunnableConfig) -> CheckpointTuple | None:
        if saved is None:
            return None
        found = self._tuple(saved)
        return found._replace(config=config) if get_checkpoint_id(config) else found

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first, read page by page; without a config those of all threads of the user.

        A filter compares values of the metadata. `limit` counts those that pass it; 0 and negative ones give nothing.
        """
        size = _page_size(limit, filter)
        page = self._sync(self._page(self._wanted(config, before), (), size))
        while True:
            for found in self._passing(page, filter):
                if limit is not None and limit <= 0:
                    return
                limit = None if limit is None else limit - 1
                yield found
            if page[1] is None or (limit is not None and limit <= 0):
                return
            page = self._sync(self._page(replace(self._wanted(config, before), before=page[1]), page[2], PAGE))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""
        size = _page_size(limit, filter)
        page = await self._async(self._page(self._wanted(config, before), (), size))
        while True:
            for found in self._passing(page, filter):
                if limit is not None and limit <= 0:
                    return
                limit = None if limit is None else limit - 1
                yield found
            if page[1] is None or (limit is not None and limit <= 0):
                return
            page = await self._async(self._page(replace(self._wanted(config, before), before=page[1]), page[2], PAGE))

    @staticmethod
    def _wanted(config: RunnableConfig | None, before: RunnableConfig | None) -> Wanted:
        from .checkpoints import Wanted  # needs django.setup()

        found = {} if config is None else config["configurable"]
        thread_id = found.get("thread_id")
        return Wanted(
            thread_id=None if thread_id is None else str(thread_id),
            namespace=found.get("checkpoint_ns"),
            checkpoint_id=found.get("checkpoint_id"),
            before=None if before is None else get_checkpoint_id(before),
        )

    @staticmethod
    def _page(wanted: Wanted, seen: Sequence[str], size: int) -> Any:
        return lambda found: found.page(wanted, seen, size)

    def _passing(self, page: Page, filter: Mapping[str, Any] | None) -> Iterator[CheckpointTuple]:
        for saved in page[0]:
            metadata = self._loaded(saved, METADATA)
            if all(metadata.get(key) == value for key, value in (filter or {}).items()):
                yield self._tuple(saved)

    def delete_thread(self, thread_id: str) -> None:
        """Delete all of a thread, and nothing of any other."""
        self._sync(lambda found: found.delete_thread(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await self._async(lambda found: found.delete_thread(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of these runs, and the writes after them."""
        self._sync(lambda found: found.delete_runs(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As `delete_for_runs`."""
        await self._async(lambda found: found.delete_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread."""
        self._sync(lambda found: found.copy(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As `copy_thread`."""
        await self._async(lambda found: found.copy(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = KEEP_LATEST) -> None:
        """Delete all but the latest checkpoints (`keep_latest`), or all (`delete`).

        Earlier checkpoints from which the latest one's delta channels are rebuilt are kept.
        """
        self._sync(self._pruning(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = KEEP_LATEST) -> None:
        """As `prune`."""
        await self._async(self._pruning(thread_ids, strategy))

    def _pruning(self, thread_ids: Sequence[str], strategy: str) -> Any:
        if strategy not in (KEEP_LATEST, DELETE):
            raise ValueError(f"Unknown strategy: {strategy!r}. Use {KEEP_LATEST!r} or {DELETE!r}.")

        def run(found: Checkpoints) -> None:
            for thread_id in thread_ids:
                if strategy == DELETE:
                    found.delete_thread(thread_id)
                else:
                    found.prune(thread_id, self._needed)

        return run

    def _needed(self, path: Iterable[Saved]) -> Iterator[bool]:
        """True for the latest checkpoint, and for each before it that its delta channels are rebuilt from."""
        channels: set[str] | None = None
        for saved in path:
            if channels is None:
                channels = set(self._loaded(saved, METADATA).get(DELTA_COUNTERS) or ())
            yield True
            channels = channels and channels - self._loaded(saved, CHECKPOINT)["channel_values"].keys()
            if not channels:
                return

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As in LangGraph; the path is read a page at a time."""
        return self._sync(partial(self._history, config, channels)) if channels else {}

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As `get_delta_channel_history`."""
        return await self._async(partial(self._history, config, channels)) if channels else {}

    def _history(
        self, config: RunnableConfig, channels: Sequence[str], found: Checkpoints
    ) -> dict[str, DeltaChannelHistory]:
        where, checkpoint_id = self._where(found, config), get_checkpoint_id(config)
        if not checkpoint_id:
            latest = found.get(where, None, writes=False)
            checkpoint_id = None if latest is None else latest.checkpoint_id
        history: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
        remaining = set(channels)
        for saved in found.ancestors(where, checkpoint_id) if checkpoint_id else ():
            values = self._loaded(saved, CHECKPOINT)["channel_values"]
            writes = [write for write in saved.writes if write[1].about[1] in remaining]
            for task_id, frame in reversed(writes):
                channel = frame.about[1]
                history[channel]["writes"].append((task_id, channel, self.serde.loads_typed(frame.value)))
            for channel in remaining & values.keys():
                history[channel]["seed"] = values[channel]
            remaining -= values.keys()
            if not remaining:
                break
        for entry in history.values():
            entry["writes"].reverse()
        return history

    def _tuple(self, saved: Saved) -> CheckpointTuple:
        where = saved.where
        parent = saved.parent_id and _config_of(where.thread_id, where.namespace, saved.parent_id)
        writes: Sequence[PendingWrite] = [
            (task_id, frame.about[1], self.serde.loads_typed(frame.value)) for task_id, frame in saved.writes
        ]
        return CheckpointTuple(
            config=_config_of(where.thread_id, where.namespace, saved.checkpoint_id),
            checkpoint=self._loaded(saved, CHECKPOINT),
            metadata=self._loaded(saved, METADATA),
            parent_config=parent or None,
            pending_writes=[*writes],
        )

    def _loaded(self, saved: Saved, name: str) -> Any:
        return self.serde.loads_typed(saved.frames[name].value)

    @staticmethod
    def _where(found: Checkpoints, config: RunnableConfig) -> Where:
        return found.where(config["configurable"]["thread_id"], _namespace(config))

    def _sync(self, function: Any) -> Any:
        return self.call(partial(self._run, function))

    async def _async(self, function: Any) -> Any:
        return await self.acall(partial(self._run, function))

    def _run(self, function: Any) -> Any:
        from memory.exceptions import storage_errors  # needs django.setup()

        from .checkpoints import Checkpoints  # needs django.setup()

        with storage_errors("Using the checkpoints"):
            return function(Checkpoints(self.alias, self.user_id))


def _namespace(config: RunnableConfig) -> str:
    return str(config["configurable"].get("checkpoint_ns") or "")


def _config_of(thread_id: Any, namespace: str, checkpoint_id: str) -> RunnableConfig:
    configurable = {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}
    return {"configurable": configurable}


def _columns(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that rows are found by and that the admin shows."""
    run_id, step, source = (metadata.get(name) for name in ("run_id", "step", "source"))
    return {
        "run_id": None if run_id is None else str(run_id)[:LONGEST_NAME],
        "step": step if isinstance(step, int) else None,
        "source": str(source or "")[:LONGEST_NAME],
    }


def _page_size(limit: int | None, filter: Mapping[str, Any] | None) -> int:
    """How many checkpoints are read first: as many as are wanted, if all of them pass."""
    return FIRST_PAGE if limit is None or filter else max(1, min(limit, PAGE))
