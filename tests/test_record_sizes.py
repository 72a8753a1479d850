"""`memory.record_sizes`: the bytes of a record are those of its document."""

from datetime import UTC, datetime
from typing import Any

import pytest

from memory import limits
from memory.models import AgentData, MemoryItem
from memory.record_sizes import record_size

ITEM = {"id": "ä1", "user_id": "ada", "item_type": "message", "timestamp": datetime(2026, 1, 31, tzinfo=UTC)}


@pytest.mark.parametrize(
    "record",
    [
        MemoryItem(**ITEM),
        MemoryItem(**ITEM, text_content="Grüße", metadata={"a": [1, 2.5, {"b": None}]}, embedding=[0.5] * 3),
        MemoryItem(**ITEM, importance=0.5, derived_from=["a", "b"], supersedes=["c"], session_id="s"),
        AgentData(id="1", agent_id="a", data_type="t", content=[2**70, True, [[]]]),
    ],
)
def test_size_is_that_of_the_document(record: Any) -> None:
    """With all fields, and without some."""
    values = {field.name: getattr(record, field.attname) for field in record._meta.concrete_fields}
    assert record_size(record) == limits.document_size(record._meta.db_table, record.pk, values)
    del values["metadata"]
    assert record_size(record, {"metadata"}) == limits.document_size(record._meta.db_table, record.pk, values)
