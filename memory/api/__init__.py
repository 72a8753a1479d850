"""The REST API: `path("api/", include("memory.api.urls"))`."""

from memory.extras import require

require("The API", "api")
