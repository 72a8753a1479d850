"""Imports files and shows what a person would read."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command

from memory.models import MemoryItem, UserSession


def run_import(path: Path, *options: str) -> tuple[int, str]:
    """The exit code and the output of an import for the user `ada`."""
    said, code = io.StringIO(), 0
    try:
        call_command("memory_import", "--user-id", "ada", *options, str(path), stdout=said, stderr=said)
    except CommandError as error:
        code = error.returncode
    return code, said.getvalue()


def rejects_of(path: Path) -> list[dict[str, Any]]:
    """The lines of the reject file."""
    file = path.with_name(path.name + ".rejects.jsonl")
    return [json.loads(line) for line in file.read_text().split("\n") if line] if file.exists() else []


def conversations() -> dict[str, list[str]]:
    """The messages of each session, oldest first, and under an empty key the memories without a session."""
    found = {
        session.session_id: [line_of(item) for item in reversed(session.items())]
        for session in sorted(UserSession.objects.all(), key=lambda one: (one.started_at, one.session_id))
    }
    if alone := list(MemoryItem.objects.filter(session_id=None).order_by("timestamp", "id")):
        found[""] = [item.text_content or "" for item in alone]
    return found


def line_of(item: MemoryItem) -> str:
    """`role: text`, with the names of called tools, and a star for messages that the user did not see last."""
    calls = item.metadata.get("tool_calls") or [item.metadata.get("function_call") or item.metadata]
    names = [call.get("name") or call.get("function", {}).get("name", "") for call in calls if isinstance(call, dict)]
    text = item.text_content or f"[{' '.join(filter(None, names))}]"
    return f"{'*' if item.metadata.get('branch') else ''}{item.role}: {text}"


def clear() -> None:
    """Delete all items and sessions."""
    MemoryItem.all_objects.all().delete()
    UserSession.objects.all().delete()
