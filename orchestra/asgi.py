"""The service for ASGI servers: `uvicorn orchestra.asgi:application`.

It does not start in development's settings unless `APP_ENV` names them.
"""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.core.asgi import get_asgi_application

from settings.environment import refuse_implicit_development

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
refuse_implicit_development()
django_application = get_asgi_application()

from .warm import warm_up  # noqa: E402 - needs Django's settings

warm_up()

LIVE = frozenset({"/api/health/live", "/api/health/live/"})


async def application(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Mapping[str, Any]], Awaitable[None]]
) -> None:
    """Django's application. `live` is answered here, since Django runs all synchronous views in one thread."""
    if scope["type"] != "http" or scope["path"] not in LIVE or scope["method"] not in ("GET", "HEAD"):
        await django_application(scope, receive, send)
        return
    body = json.dumps({"status": "ok"}).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
