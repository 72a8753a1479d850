"""The stored models of agents' checkpoints: opaque bytes of a framework, with what they are found by.

`memory.adapters.langgraph` reads and writes them. Keys are digests, so that any thread, namespace and task has one. A
value above a document's size is in parts, which its row names: they are written before it and never change.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..fields import AnyJSONField, DocumentIdField, LongTextField, NameField, new_id
from ..tombstones import Guarded


class Bytes(Guarded):
    """Bytes of one user's thread: in the row, or in the parts with these ids."""

    id = DocumentIdField(editable=False)
    user_id = NameField(_("user"))
    thread_id = NameField(_("thread"))
    data = models.BinaryField()
    parts = AnyJSONField(default=list, blank=True, editable=False)

    firestore_unindexed: tuple[str, ...] = ("data", "parts")

    class Meta:
        abstract = True


class AgentCheckpoint(Bytes):
    """The state of an agent's thread at one step, with its metadata."""

    namespace = LongTextField(_("namespace"), blank=True)  # of a subgraph; empty: the graph itself
    place = models.CharField(max_length=64, editable=False)  # a digest of user, thread and namespace
    checkpoint_id = NameField(_("checkpoint"))
    parent_id = NameField(_("parent"), null=True, blank=True)
    run_id = NameField(_("run"), null=True, blank=True)
    step = models.BigIntegerField(_("step"), null=True, blank=True)
    source = NameField(_("source"), blank=True, default="")
    created = models.DateTimeField(_("created"), default=timezone.now)

    firestore_unindexed = (*Bytes.firestore_unindexed, "namespace")
    firestore_indexes = (("thread_id", "-checkpoint_id"),)  # of the admin

    class Meta:
        db_table = "memory_checkpoints"
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")
        indexes = (
            models.Index(fields=["place", "-checkpoint_id"], name="memory_checkpoints_place"),
            models.Index(fields=["user_id", "thread_id", "-checkpoint_id"], name="memory_checkpoints_thread"),
            models.Index(fields=["user_id", "-checkpoint_id"], name="memory_checkpoints_user"),
            models.Index(fields=["user_id", "run_id"], name="memory_checkpoints_run"),
        )

    def __str__(self) -> str:
        return f"{self.user_id}: {self.thread_id}, {self.checkpoint_id}"

    @classmethod
    def idle_threads(cls, before: datetime) -> Iterator[tuple[str, str]]:
        """Users and threads whose latest checkpoint was written before a time."""
        rows = cls._default_manager
        old = rows.filter(created__lt=before).order_by("created").values_list("user_id", "thread_id")
        for user_id, thread_id in dict.fromkeys(old):
            thread = rows.filter(user_id=user_id, thread_id=thread_id).order_by("-checkpoint_id")
            latest = thread.values_list("created", flat=True).first()
            if latest is not None and latest < before:
                yield user_id, thread_id

    @classmethod
    def purge(cls, before: datetime) -> int:
        """Delete all of the idle threads; return their number."""
        count = 0
        for user_id, thread_id in cls.idle_threads(before):
            for model in (cls, AgentWrites, AgentPart):
                model._default_manager.filter(user_id=user_id, thread_id=thread_id).delete()
            count += 1
        return count


class AgentWrites(Bytes):
    """What a task wrote after a checkpoint, before the next one."""

    checkpoint = models.CharField(max_length=64, editable=False)  # the key of its row, which may not exist yet
    task_id = NameField(_("task"))

    class Meta:
        db_table = "memory_checkpoint_writes"
        verbose_name = _("writes of a task")
        verbose_name_plural = _("writes of tasks")
        indexes = (
            models.Index(fields=["checkpoint"], name="memory_writes_checkpoint"),
            models.Index(fields=["user_id", "thread_id"], name="memory_writes_thread"),
        )

    def __str__(self) -> str:
        return f"{self.user_id}: {self.thread_id}, {self.task_id}"


class AgentPart(Guarded):
    """A part of the bytes of a checkpoint or of writes."""

    id = DocumentIdField(default=new_id, editable=False)
    user_id = NameField(_("user"))
    thread_id = NameField(_("thread"))
    data = models.BinaryField()

    firestore_unindexed = ("data",)

    class Meta:
        db_table = "memory_checkpoint_parts"
        verbose_name = _("part of a checkpoint")
        verbose_name_plural = _("parts of checkpoints")
        indexes = (models.Index(fields=["user_id", "thread_id"], name="memory_parts_thread"),)

    def __str__(self) -> str:
        return str(self.pk)
