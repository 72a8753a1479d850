"""The models of memory items, agent data, and the sessions that items belong to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, ClassVar, Self
from urllib.parse import unquote

from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import limits, sealing
from ..batches import Activity, Place, activities, places_of
from ..cache import Conversation
from ..coherence import Changes, Tables, cache_of, conversation_of, writing
from ..contention import retry_on_contention, write_lock
from ..exceptions import ValidationError
from ..fields import (
    BoundField,
    CompactVectorField,
    ContentHashField,
    DocumentIdField,
    NameField,
    ProtectedJSONField,
    ProtectedMapField,
    ProtectedTextField,
    SparseIdsField,
    SparseMapField,
    SparseNameField,
    SparseNumberField,
    SparseTimeField,
    VectorField,
    WriteTime,
    WriteTimeField,
    new_id,
)
from ..plain_values import unclear_fields
from ..querysets import AgentDataQuerySet, LiveManager, MemoryItemQuerySet, UserSessionQuerySet, validity
from ..record_sizes import record_size
from ..telemetry import DELETE, UPDATE, UPDATE_SESSION, traced
from ..text_index import text_index
from ..tombstones import tombstones
from . import versions
from .ids import ESCAPES

TOO_LARGE = _("The record has %(total)d bytes, %(field)d of them in this field; the limit is %(most)d.")
RESERVED = _("%(id)r is reserved for a path of the API.")


class Document(models.Model):
    """A row within the limits of a Firestore document: `save()` raises `ValidationError` for anything beyond them."""

    # Whether the conversation cache holds rows of this model.
    CACHED: ClassVar[bool] = False
    # The field with the id of the person whose row it is.
    OWNER: ClassVar[str] = "user_id"
    # Fields that only search reads; and the most bytes of a document that they take.
    UNREAD_FIELDS: ClassVar[frozenset[str]] = frozenset()
    UNREAD_BYTES: ClassVar[int] = 0

    class Meta:
        abstract = True

    def clean(self) -> None:
        """Raise `ValidationError` for a document above Firestore's limit, on the field that takes most of it."""
        super().clean()
        self.renew_derived_fields()
        most = min(limits.MAX_VALUE_BYTES, limits.MAX_DOCUMENT_BYTES - self.UNREAD_BYTES)
        if sealing.protected() or record_size(self, self.UNREAD_FIELDS) > most:
            self._refuse_too_large()

    def _refuse_too_large(self) -> None:
        """Raise `ValidationError` if the document, or a value, is too large."""
        sizes, total = self._sizes(self.UNREAD_FIELDS)
        if total > limits.MAX_DOCUMENT_BYTES - self.UNREAD_BYTES:  # load and measure the others only if they matter
            sizes, total = self._sizes()
        largest = max(sizes.keys() - self.UNREAD_FIELDS, key=lambda name: sizes[name])
        if sizes[largest] > limits.MAX_VALUE_BYTES or total > limits.MAX_DOCUMENT_BYTES:
            numbers = {"total": total, "field": sizes[largest], "most": limits.MAX_DOCUMENT_BYTES}
            problem = ValidationError(TOO_LARGE, code="too_large", params=numbers)
            raise ValidationError({largest: problem})

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Django's `clean_fields`, which is not called for values that it would keep as they are."""
        unclear = set(unclear_fields(self)).difference(exclude or ())
        if unclear:
            super().clean_fields(exclude={field.name for field in self._meta.fields} - unclear)

    def _sizes(self, without: Collection[str] = ()) -> tuple[dict[str, int], int]:
        """Bytes of each value, and of the document."""
        values = self._values(without)
        sizes = {name: limits.value_size(value) for name, value in values.items()}
        if sealing.protected():
            sizes = {name: sealing.sealed_size(name, values[name], size) for name, size in sizes.items()}
        return sizes, limits.document_size_of(self._meta.db_table, str(self.pk), sizes)

    def _values(self, without: Collection[str] = ()) -> dict[str, Any]:
        fields = (field for field in self._meta.concrete_fields if field.name not in without)
        return {field.name: field.value_from_object(self) for field in fields}

    @classmethod
    def refuse_erased(cls, records: Iterable[Any], using: str) -> None:
        """Raise `PersonErased` if one of the owners was erased. Call it before the transaction that writes them."""
        tombstones.refuse((getattr(record, cls.OWNER) for record in records), using)

    def is_whole(self) -> bool:
        """Whether all fields are loaded but those that only search reads."""
        return self.get_deferred_fields() <= self.UNREAD_FIELDS

    def renew_derived_fields(self) -> None:
        """Compute the fields that are derived from others."""
        self.renew([self])

    @classmethod
    def renew(cls, records: Sequence[Any]) -> None:
        """Compute the derived fields of several records at once."""

    @classmethod
    def is_cached(cls, using: str) -> bool:
        """Whether the conversation cache must follow changes of these rows on the database `using`."""
        return cls.CACHED and cache_of(using, MemoryItem) is not None

    @classmethod
    def writing(cls, using: str, savepoint: bool = False) -> AbstractContextManager[Changes]:
        """`atomic()`, which also updates the conversation cache on commit if it holds rows of this model."""
        return writing(using, CACHED, savepoint=savepoint, cached=cls.CACHED)

    def check_limits(self, fields: Collection[str] | None = None) -> None:
        """Raise `ValidationError`, by field, for values beyond the limits. `fields` are those to write; None: all."""
        names = {field.name for field in self._meta.concrete_fields}
        unloaded = self.get_deferred_fields()
        try:
            self.clean_fields(exclude=(names - set(names if fields is None else fields)) | unloaded)
            self.clean()
        except DjangoValidationError as error:
            raise ValidationError(error) from error


class Record(Document):
    """Base of items and agent data: a time, a map of metadata, and an expiration."""

    id = DocumentIdField(default=new_id)
    timestamp = models.DateTimeField(_("time"), default=timezone.now)
    metadata = ProtectedMapField(_("metadata"))
    expiration = models.DateTimeField(
        _("expiration"),
        null=True,
        blank=True,
        help_text=_("Not returned from this time on. Empty: never expires."),
    )

    SIZED_FIELDS: ClassVar[frozenset[str]] = frozenset({"metadata"})
    # Whether changes of these rows are kept as versions, if that is configured.
    HAS_VERSIONS: ClassVar[bool] = False

    class Meta:
        abstract = True

    @classmethod
    def has_versions(cls) -> bool:
        """Whether rows may have versions, which are deleted with them."""
        return cls.HAS_VERSIONS and versions.is_kept()

    @classmethod
    def keep(cls, records: Sequence[Any], using: str, names: Collection[str] | None) -> None:
        """Keep the stored values that writing `names` (None: all) of these records is about to change."""
        if cls.has_versions():
            versions.keep(records, names, using)

    @classmethod
    def drop_versions(cls, ids: Iterable[str], using: str) -> None:
        """Delete the versions of deleted records."""
        if cls.has_versions():
            versions.drop(ids, using)

    def clean(self) -> None:
        """As `Document.clean`; also raises if a new record has an id that is a path of the API."""
        if self._state.adding and self.pk in limits.RESERVED_IDS:
            raise ValidationError({"id": RESERVED % {"id": self.pk}})
        super().clean()

    @classmethod
    def with_derived_fields(cls, fields: Iterable[str]) -> list[str]:
        """`fields`, and the fields that are derived from them."""
        return list(fields)

    @classmethod
    def stamps(cls) -> dict[str, Any]:
        """Values that every write of a stored record sets, by field."""
        return {}

    @classmethod
    def writes_all_of_text(cls, names: Collection[str] | None) -> bool:
        """Whether a write of these fields (None: all) includes those that `before_write` computes."""
        return names is None

    @property
    def conversation(self) -> Conversation | None:
        """The cached conversation that the record belongs to, if any."""
        return None

    @classmethod
    def before_transaction(cls, records: Sequence[Any], using: str) -> None:
        """Compute what is slow, and make missing keys. Called before the transaction that writes these records."""
        sealing.ensure_keys((sealing.owner_of(record) for record in records), using)

    def take_derived_fields(self, other: Any) -> None:
        """Take the derived fields of an unsaved twin of this record, if they were derived from the same values."""

    @classmethod
    def before_write(cls, records: Sequence[Any], using: str, changes: Changes) -> None:
        """Compute fields in the transaction that writes these records; `changes.expect()` was called for them."""

    @classmethod
    def after_write(cls, records: Sequence[Any], using: str, changes: Changes) -> None:
        """Update other rows in the transaction that wrote these records."""

    @classmethod
    def link(cls, records: Sequence[Any], using: str, names: Collection[str] | None) -> None:
        """Update the records to which these refer, in the transaction that wrote the fields `names` (None: all)."""

    def activities(self) -> list[Activity]:
        """The time of the record in its session, if it has one."""
        return []

    def after_delete(self, using: str) -> None:
        """Update other rows in the transaction that deleted this record."""

    @traced(UPDATE)
    @retry_on_contention
    def save(self, *args: Any, **kwargs: Any) -> None:
        """Django's `save`; raises `ValidationError` for values beyond the limits."""
        if kwargs.get("update_fields"):
            kwargs["update_fields"] = [*self.with_derived_fields(kwargs["update_fields"]), *self.stamps()]
        for name in self.stamps():  # Django does not write fields that were not loaded
            vars(self).setdefault(name, None)
        self.check_limits(kwargs.get("update_fields"))
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        self.refuse_erased([self], using)
        whole = kwargs.get("update_fields") is None and self.is_whole()
        if self.writes_all_of_text(kwargs.get("update_fields")):
            self.before_transaction([self], using)
        with self.writing(using) as changes:
            inserted = self._state.adding and not kwargs.get("force_update")
            old = [] if inserted or not changes.active else self._places(using)
            conversations = [self.conversation, *(conversation for _, conversation in old)]
            changes.expect(conversations)
            if self.writes_all_of_text(kwargs.get("update_fields")):
                self.before_write([self], using, changes)
            if not inserted:
                self.keep([self], using, kwargs.get("update_fields"))
            super().save(*args, **kwargs)
            if whole:
                changes.saved([self], old)
            else:
                changes.changed(conversations)
            self.after_write([self], using, changes)
            self.link([self], using, kwargs.get("update_fields"))

    @traced(DELETE)
    @retry_on_contention
    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """Django's `delete`."""
        using = using or router.db_for_write(type(self), instance=self)
        if not self.is_cached(using) and not self.activities() and not self.has_versions():
            with write_lock(using):
                return super().delete(using, keep_parents)
        with self.writing(using) as changes:
            old = self._places(using) if changes.active else []
            changes.expect(conversation for _, conversation in old)
            self.drop_versions([self.pk], using)
            deleted = super().delete(using, keep_parents)
            changes.removed(old)
            self.after_delete(using)
        return deleted

    delete.alters_data = True  # type: ignore[attr-defined]

    def _places(self, using: str) -> list[Place]:
        return places_of(type(self)._base_manager.using(using).filter(pk=self.pk))[0]

    def refresh_from_db(
        self, using: str | None = None, fields: Iterable[str] | None = None, from_queryset: Any = None
    ) -> None:
        """Django's `refresh_from_db`; raises `DoesNotExist` if the record has expired meanwhile."""
        if from_queryset is None:
            alias = using or router.db_for_read(type(self), instance=self)
            from_queryset = type(self)._default_manager.using(alias)
        super().refresh_from_db(using=using, fields=fields, from_queryset=from_queryset)


class MemoryItem(Record):
    """One thing that was said, done or learnt: an item of a user's memory."""

    user_id = NameField(_("user"))
    session_id = NameField(_("session"), null=True, blank=True)
    item_type = NameField(_("type"), help_text=_("What it is: message, fact, event, ..."))
    persona_active = NameField(_("persona"), null=True, blank=True)
    text_content = ProtectedTextField(_("text"), null=True, blank=True)
    embedding = VectorField(_("embedding"), null=True, blank=True)
    content_hash = ContentHashField(source="text_content")
    # Documents of earlier versions lack the following fields on Firestore: memory/querysets/validity.py.
    supersedes = SparseIdsField(_("supersedes"), help_text=_("Ids of items that this one corrects or replaces."))
    superseded_by = SparseNameField(_("superseded by"), max_length=limits.MAX_ID_BYTES, null=True, editable=False)
    valid_from = SparseTimeField(_("valid from"), null=True, blank=True, help_text=_("Empty: since ever."))
    valid_to = SparseTimeField(
        _("valid to"), null=True, blank=True, help_text=_("Not valid from this time on. Empty: still valid.")
    )
    source = SparseNameField(
        _("source"), null=True, blank=True, help_text=_("Where it comes from: a document, a tool, a person.")
    )
    derived_from = SparseIdsField(_("derived from"), help_text=_("Ids of items that this one was made of."))
    importance = SparseNumberField(
        _("importance"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text=_("0 to 1, for searches that weigh it."),
    )
    touched = SparseTimeField(_("last used"), null=True, editable=False)
    # Computed from the text for search: memory/search/indexing.py.
    text_embedding = CompactVectorField(
        _("embedding of the text"), null=True, blank=True, editable=False, serialize=False
    )
    embedding_model = NameField(_("model of the embedding"), default="", blank=True, editable=False, serialize=False)
    # What the segments of the search index do not have yet is found by it: memory/search/reading.py.
    written = WriteTimeField(_("written"), serialize=False)

    CACHED = True
    HAS_VERSIONS = True
    SIZED_FIELDS = frozenset({"metadata", "text_content", "embedding", "supersedes", "derived_from"})
    VALIDITY_FIELDS = frozenset({"supersedes", "valid_from", "valid_to"})
    # Derived from the text and written with it.
    TEXT_FIELDS = ("content_hash", "text_embedding", "embedding_model")
    SOURCES_OF_TEXT_FIELDS = ("text_content",)
    UNREAD_FIELDS = frozenset({"text_embedding", "embedding_model", "written"})
    UNREAD_BYTES = 200_000

    # With these each filter of the API and the admin is served in both orders: Firestore merges indexes that end alike.
    firestore_indexes = (
        ("session_id", "-timestamp"),
        ("user_id", "timestamp"),
        ("session_id", "timestamp"),
        ("item_type", "timestamp"),
        ("persona_active", "timestamp"),
        ("timestamp", "id"),
        ("id",),  # records by id that have not expired
    )

    objects = LiveManager.from_queryset(MemoryItemQuerySet)()
    all_objects = MemoryItemQuerySet.as_manager()

    class Meta:
        db_table = "memory_items"
        base_manager_name = "all_objects"
        verbose_name = _("memory item")
        verbose_name_plural = _("memory items")
        ordering = ("-timestamp", "-id")
        permissions = (("act_for_any_user", _("Can act for any user over the API")),)
        indexes = (
            models.Index(fields=["user_id", "item_type", "-timestamp"], name="memory_items_user_type_time"),
            models.Index(fields=["user_id", "session_id", "-timestamp"], name="memory_items_user_session_time"),
            models.Index(fields=["user_id", "session_id", "timestamp"], name="memory_items_user_session_asc"),
            models.Index(fields=["user_id", "item_type", "timestamp"], name="memory_items_user_type_asc"),
            models.Index(fields=["user_id", "-timestamp"], name="memory_items_user_time"),
            models.Index(fields=["user_id", "content_hash", "item_type"], name="memory_items_user_content"),
            models.Index(fields=["-timestamp", "-id"], name="memory_items_time"),
            models.Index(fields=["expiration"], name="memory_items_expiration"),
            models.Index(fields=["item_type", "-timestamp"], name="memory_items_type_time"),
            models.Index(fields=["persona_active", "-timestamp"], name="memory_items_persona_time"),
            models.Index(fields=["user_id", "written"], name="memory_items_user_written"),
        )

    def __str__(self) -> str:
        text = "" if "text_content" in sealing.protected() else self.text_content or ""  # the admin's log stores it
        return f"{self.user_id}: {text[:60]}{'…' if len(text) > 60 else ''}" if text else f"{self.user_id}: {self.id}"

    @property
    def role(self) -> str:
        """The speaker's role: `metadata["role"]` (user, assistant, ...), or an empty string."""
        role = self.metadata.get("role", "")
        return role if isinstance(role, str) else ""

    @classmethod
    def stamps(cls) -> dict[str, Any]:
        """The time of the write."""
        return {"written": WriteTime()}

    @classmethod
    def with_derived_fields(cls, fields: Iterable[str]) -> list[str]:
        """`fields`, and with `text_content` the fields that are derived from it."""
        names = [*fields]
        if "supersedes" in names:
            names.append("valid_from")
        return list(dict.fromkeys([*names, *(cls.TEXT_FIELDS if "text_content" in names else ())]))

    def clean(self) -> None:
        """As `Document.clean`; user and session must also form a valid id of the session's row."""
        super().clean()
        if not self.get_deferred_fields() & self.VALIDITY_FIELDS:
            validity.refuse_invalid(self)
        if self.session_id is not None:
            refuse_session(self.user_id, self.session_id)

    @classmethod
    def renew(cls, records: Sequence[Any]) -> None:
        """Compute the fields that are derived from texts that changed; what supersedes others is valid from a time."""
        text_index().prepare(records)
        for record in records:
            known = vars(record)
            if known.get("supersedes") and "valid_from" in known and record.valid_from is None:
                record.valid_from = record.timestamp

    @classmethod
    def writes_all_of_text(cls, names: Collection[str] | None) -> bool:
        """As `Record.writes_all_of_text`."""
        return names is None or set(cls.TEXT_FIELDS) <= set(names)

    @classmethod
    def before_transaction(cls, records: Sequence[MemoryItem], using: str) -> None:
        """Compute the vectors of the texts, and make missing keys."""
        super().before_transaction(records, using)
        text_index().embed(records)

    def take_derived_fields(self, other: MemoryItem) -> None:
        """As `Record.take_derived_fields`: a vector depends on the text."""
        if all(getattr(self, name) == getattr(other, name) for name in self.SOURCES_OF_TEXT_FIELDS):
            for name in self.TEXT_FIELDS:
                setattr(self, name, getattr(other, name))

    @classmethod
    def before_write(cls, records: Sequence[MemoryItem], using: str, changes: Changes) -> None:
        """Compute the vectors of new texts that still lack one."""
        text_index().add_vectors(records)

    def _values(self, without: Collection[str] = ()) -> dict[str, Any]:
        values = super()._values(without)
        if set(without) >= self.UNREAD_FIELDS:
            return values
        return {**values, **text_index().reserved_values(self), "written": self.timestamp}

    @property
    def conversation(self) -> Conversation | None:
        """The conversation that the item belongs to; None for an item without a session."""
        return conversation_of(self)

    @classmethod
    def after_write(cls, records: Sequence[MemoryItem], using: str, changes: Changes) -> None:
        """Create the rows of new sessions and widen the times of existing ones.

        Where the cache has the row, its times may lag by a minute (docs/cache.md).
        """
        cls.sessions(using).touch(changes.to_touch(records))
        text_index().written(records, using)

    @classmethod
    def link(cls, records: Sequence[MemoryItem], using: str, names: Collection[str] | None) -> None:
        """End the validity of the items that these supersede."""
        if names is None or "supersedes" in names:
            validity.link([record for record in records if "supersedes" in vars(record)], cls.all_objects.using(using))

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any) -> Self:
        """Django's `from_db`; also notes what the item supersedes, so that a change can be found."""
        item = super().from_db(db, field_names, values, **kwargs)
        if superseded := vars(item).get("supersedes"):
            vars(item)["_linked"] = tuple(superseded)
        return item

    def is_valid(self, at: datetime | None = None) -> bool:
        """Whether the item is valid at a time, by default now."""
        return validity.is_valid(self, timezone.now() if at is None else at)

    def activities(self) -> list[Activity]:
        """As `Record.activities`."""
        return activities([(self.user_id, self.session_id, self.timestamp)])

    def after_delete(self, using: str) -> None:
        """Correct the times of the session."""
        self.sessions(using).narrow(self.activities())

    @classmethod
    def sessions(cls, using: str) -> UserSessionQuerySet:
        """All sessions on the database `using`."""
        return UserSession.objects.using(using)


class AgentData(Record):
    """Data that an agent produced."""

    agent_id = NameField(_("agent"))
    data_type = NameField(_("type"))
    content = ProtectedJSONField(_("content"), null=True, blank=True)

    OWNER = "agent_id"
    SIZED_FIELDS = frozenset({"metadata", "content"})
    firestore_indexes = (
        ("agent_id", "timestamp"),
        ("data_type", "timestamp"),
        ("timestamp", "id"),
        ("id",),  # records by id that have not expired
    )

    objects = LiveManager.from_queryset(AgentDataQuerySet)()
    all_objects = AgentDataQuerySet.as_manager()

    class Meta:
        db_table = "agent_data"
        base_manager_name = "all_objects"
        verbose_name = _("agent data")
        verbose_name_plural = _("agent data")
        ordering = ("-timestamp", "-id")
        indexes = (
            models.Index(fields=["agent_id", "data_type", "-timestamp"], name="agent_data_agent_type_time"),
            models.Index(fields=["agent_id", "-timestamp"], name="agent_data_agent_time"),
            models.Index(fields=["-timestamp", "-id"], name="agent_data_time"),
            models.Index(fields=["expiration"], name="agent_data_expiration"),
            models.Index(fields=["data_type", "-timestamp"], name="agent_data_type_time"),
        )

    def __str__(self) -> str:
        return f"{self.agent_id}: {self.data_type}"


class UserSession(Document):
    """A conversation of one user. Its id is made of the user's and the session's id, so it is unique."""

    id = DocumentIdField(editable=False)
    user_id = NameField(_("user"))
    session_id = NameField(_("session"))
    started_at = BoundField(_("started"), default=timezone.now)
    last_activity = BoundField(_("last activity"), default=timezone.now)
    metadata = SparseMapField(_("metadata"))

    CACHED = True
    firestore_indexes = (
        ("session_id", "-last_activity"),
        ("user_id", "last_activity"),
        ("session_id", "last_activity"),
        # Pages after the first one, which begin at a time and an id.
        ("user_id", "-last_activity", "-id"),
        ("user_id", "last_activity", "id"),
        ("session_id", "-last_activity", "-id"),
        ("session_id", "last_activity", "id"),
        ("-last_activity", "-id"),
        ("last_activity", "id"),
    )

    objects = UserSessionQuerySet.as_manager()

    class Meta:
        db_table = "user_sessions"
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        ordering = ("-last_activity", "-id")
        indexes = (
            models.Index(fields=["user_id", "-last_activity"], name="user_sessions_user_activity"),
            models.Index(fields=["-last_activity", "-id"], name="user_sessions_activity"),
        )

    def __str__(self) -> str:
        return f"{self.user_id}: {self.session_id}"

    @staticmethod
    def make_id(user_id: str, session_id: str) -> str:
        """The row's id, `user:session`, unambiguous since `%`, `/` and `:` in both are percent-encoded."""
        user, session = user_id.translate(ESCAPES), session_id.translate(ESCAPES)
        # An id that starts and ends with two underscores is reserved.
        return f"%5F{user[1:]}:{session}" if user.startswith("__") else f"{user}:{session}"

    @classmethod
    def parts_of(cls, pk: str) -> tuple[str, str] | None:
        """The inverse of `make_id`: user and session; None for an id that it cannot return."""
        user_id, _, session_id = (unquote(part, errors="replace") for part in pk.partition(":"))
        return (user_id, session_id) if cls.make_id(user_id, session_id) == pk else None

    def check_limits(self, fields: Collection[str] | None = None) -> None:
        """As `Document.check_limits`; also raises if the user or the session of a stored row changed."""
        made = self.make_id(self.user_id, self.session_id)
        if not self._state.adding and self.pk != made:
            raise ValidationError({"session_id": _("The user and the id of a session cannot change.")})
        self.id = made
        refuse_session(self.user_id, self.session_id)
        super().check_limits(fields)

    @traced(UPDATE_SESSION)
    @retry_on_contention
    def save(self, *args: Any, **kwargs: Any) -> None:
        """Django's `save`, under the id made of user and session; raises `ValidationError` beyond the limits."""
        self.check_limits(kwargs.get("update_fields"))
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        self.refuse_erased([self], using)
        whole = kwargs.get("update_fields") is None and self.is_whole()
        with self.writing(using) as changes:
            changes.expect([self.conversation])
            super().save(*args, **kwargs)
            if whole:
                changes.session_saved(self)
            else:
                changes.sessions_changed([self.conversation])

    @property
    def conversation(self) -> Conversation:
        """The conversation that the row describes."""
        return Conversation(self.user_id, self.session_id)

    @retry_on_contention
    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """Delete the session and all its items, expired ones too."""
        return type(self).objects.using(using or self._state.db).filter(pk=self.pk).delete()

    @classmethod
    def stored_items(cls, using: str) -> MemoryItemQuerySet:
        """All items on the database `using`, expired ones too."""
        return MemoryItem.all_objects.using(using)

    def items(self) -> MemoryItemQuerySet:
        """The session's live items, newest first."""
        live: MemoryItemQuerySet = MemoryItem.objects.using(self._state.db)
        return live.for_user(self.user_id).in_session(self.session_id).newest_first()


CACHED = Tables(items=MemoryItem, sessions=UserSession)


def refuse_session(user_id: str, session_id: str) -> None:
    """Raise `ValidationError` if the two do not form a valid document id of a session."""
    if problem := limits.document_id_problem(UserSession.make_id(user_id, session_id)):
        raise ValidationError({"session_id": _("With the user's id: %s") % problem})
