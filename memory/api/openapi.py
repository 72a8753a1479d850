"""drf-spectacular's settings for this API, for the `SPECTACULAR_SETTINGS` of a project that serves no other.

The app's schema view uses them in any project. This module imports no Django, so settings modules can import it.
"""

from typing import Any

from ..version import __version__

DESCRIPTION = """
A memory for AI agents: conversations, data that agents produce, and sessions.

**Authentication.** Send `Authorization: Token <key>`, or a session cookie. You can read and write your own records;
those of others return 404. With the permission `memory.act_for_any_user` you can read and write all records.

**Pagination.** Lists return `has_more` and the URL of the `next` page. A `limit` above the maximum is an error.

**Validation.** Unknown fields and parameters, wrong types and repeated keys are errors. Times are RFC 3339 with an
offset, and are returned in UTC. The trailing slash of a path is optional.

**Repeated writes.** With an `Idempotency-Key` a write can be sent again after any error: it is applied once, and the
first answer is returned again.

**Errors.** All errors have the same format: `error` with a stable `code`, a readable `message`, and errors by field.
"""

TAGS = (
    ("memory-items", "Messages, facts and events in users' memories."),
    ("agent-data", "Raw data produced by agents."),
    ("sessions", "Conversations. Created with their first item; deleted with all their items."),
    ("people", "Everything that is stored of a person: what an erasure costs, and the erasure, with a receipt."),
)

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Orchestra memory",
    "DESCRIPTION": DESCRIPTION.strip(),
    "VERSION": __version__,
    "TAGS": [{"name": name, "description": description} for name, description in TAGS],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": r".*?/(?=memory-items|agent-data|sessions|people|health)",
    "PREPROCESSING_HOOKS": ["memory.api.schema.only_own_views"],
    "POSTPROCESSING_HOOKS": ["memory.api.schema.be_strict"],
    "DISABLE_ERRORS_AND_WARNINGS": False,
}
