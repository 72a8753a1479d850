"""What is in a file is in the export after its import, field by field, or in the reject file with its place."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from hypothesis import HealthCheck, given, settings

from .conversations import clear, rejects_of, run_import
from .generated import FORMATS, File, Unit

# Keys whose values are the message's role or kind: tested with the tables of files.
CONSTANT = frozenset({"type", "role", "sender", "thought", "isThought"})
# Content types of ChatGPT that are not stored.
PLAIN = ("text", "multimodal_text")
TIMES = frozenset({"created_at", "create_time", "timestamp", "time", "createTime"})
# More by command: MEMORY_TEST_EXAMPLES=300 pytest tests/interchange/test_nothing_lost.py
EXAMPLES = int(os.environ.get("MEMORY_TEST_EXAMPLES", "5"))


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The values at the ends of a JSON value, each with the nearest key above it. Empty values are left out."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, key)
    elif value is not None and value != "":
        yield key, value


def is_in(key: str, value: Any, record: dict[str, Any], renamed: dict[str, set[str]]) -> bool:
    """Whether a record has the value under its key, or in the text or field that it becomes."""
    others = renamed.get(key, set())
    for name, found in leaves(record):
        if name == key and type(found) is type(value) and found == value:
            return True
        if name in others and (found == value or (isinstance(found, str) and str(value) in found)):
            return True
    return key in TIMES and is_time_of(value, record)


def is_time_of(value: Any, record: dict[str, Any]) -> bool:
    kept = record["metadata"].get("original_time")
    time = record.get("timestamp") or record["started_at"]
    at = datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value, UTC)
    return kept == value or abs(datetime.fromisoformat(time) - at).total_seconds() < 1e-5


def missing(unit: Unit, records: list[dict[str, Any]], renamed: dict[str, set[str]]) -> list[Any]:
    """The values of a unit that its record lacks: the record that has most of them."""
    model = "UserSession" if unit.message is None else "MemoryItem"
    values = [(key, value) for key, value in leaves(unit.fields) if key not in CONSTANT and value not in PLAIN]
    lacks = [
        [each for each in values if not is_in(*each, record, renamed)] for record in records if record["model"] == model
    ]
    return min(lacks, key=len, default=values)


def exported() -> list[dict[str, Any]]:
    out = io.StringIO()
    call_command("memory_export", include_expired=True, stdout=out, stderr=io.StringIO())
    return [json.loads(line) for line in out.getvalue().split("\n") if line]


def check(file: File, folder: Path) -> None:
    clear()
    path, copy = folder / "file.json", folder / "copy.jsonl"
    path.write_text(json.dumps(file.content))
    code, said = run_import(path)
    assert code == (1 if file.rejected else 0), said
    assert [reject["inside"] for reject in rejects_of(path)] == file.rejected
    records = exported()
    for unit in file.units:
        assert missing(unit, records, file.renamed) == []
    _, said = run_import(path)
    assert "added" not in said
    assert "updated" not in said
    assert exported() == records
    copy.write_text("\n".join(map(json.dumps, records)))
    clear()
    assert run_import(copy)[0] == 0
    assert exported() == records


@pytest.mark.django_db(databases=["default", "memory"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_format(name: str, tmp_path: Path) -> None:
    """Any valid file, with messages in it that are none."""

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(FORMATS[name])
    def any_file(file: File) -> None:
        check(file, tmp_path)

    any_file()
