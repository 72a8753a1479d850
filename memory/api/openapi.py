"""drf-spectacular's settings for this API: `SPECTACULAR_SETTINGS` of a project that serves nothing else.

The app's own schema view uses them in any project. Imports nothing, so that a project's settings can import it.
"""

from typing import Any

from ..version import __version__

DESCRIPTION = """
A memory for AI agents: what was said, what agents produced, which sessions exist.

**Who asks.** `Authorization: Token <key>`, or the session of somebody who is logged in. You see and write your own
records only; another's answers 404. With the permission `memory.act_for_any_user` you see and write everybody's.

**Pages.** A list tells `has_more`, and a `next` link to follow as it is. A `limit` above the maximum is an error.

**Strictness.** Unknown fields and parameters, wrong types and repeated keys are errors, not ignored. Times are RFC 3339
with an offset, and come back in UTC. A slash at the end of a path is optional.

**Errors** have one shape, `error`: a `code` for programs, a `message` for people, and what is wrong by field.
"""

TAGS = (
    ("memory-items", "What was said, done or learnt, in users' memories."),
    ("agent-data", "Raw data that agents produced."),
    ("sessions", "Conversations: made by the first item in them, deleted with all of it."),
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
    "SCHEMA_PATH_PREFIX": r".*?/(?=memory-items|agent-data|sessions|health)",
    "PREPROCESSING_HOOKS": ["memory.api.schema.only_own_views"],
    "POSTPROCESSING_HOOKS": ["memory.api.schema.be_strict"],
    "DISABLE_ERRORS_AND_WARNINGS": False,
}
