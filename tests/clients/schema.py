"""Writes the schema from which the TypeScript client is generated, `clients/openapi.json`.

python -m tests.clients.schema
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[2] / "clients" / "openapi.json"


def text_of(schema: Any) -> str:
    """The schema as it is checked in."""
    return json.dumps(schema, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Write the current schema."""
    os.environ.update(APP_ENV="test", ENV_FILE="/dev/null", DJANGO_SETTINGS_MODULE="settings")
    import django  # after the environment is set

    django.setup()
    from django.test import Client  # after the set-up

    SCHEMA.write_text(text_of(Client().get("/api/schema/?format=json").json()))


if __name__ == "__main__":
    main()
