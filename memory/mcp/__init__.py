"""A server of the Model Context Protocol: `path("", include("memory.mcp.urls"))` serves it at `/mcp`.

`views` (Streamable HTTP) or `stdio` -> `protocol` (which message it is) -> `server` (methods) -> `tools`, `resources`.
`tools` is the table of tools with their schemas, `calls` is what they do.
"""

from ..extras import require

require("The MCP server", "api")
