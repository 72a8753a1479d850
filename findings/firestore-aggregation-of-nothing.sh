#!/usr/bin/env bash
# google-cloud-firestore 2.34.1: the average of no documents is 0.0 instead of None, and a count of 0 is the float 0.0.
#
# The service answers avg over nothing with a null value and count over nothing with the integer 0. The client takes
# `integer_value or double_value` of each, so null and 0 both become 0.0. Output seen: "avg 0.0, count 0.0 (float)".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check google-cloud-firestore==2.34.1 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
from google.cloud.firestore_v1.base_aggregation import _query_response_to_result
from google.cloud.firestore_v1.types import RunAggregationQueryResponse

answer = RunAggregationQueryResponse({"result": {"aggregate_fields": {"avg": {"null_value": 0}, "count": {"integer_value": 0}}}})
fields = answer.result.aggregate_fields
assert fields["avg"]._pb.WhichOneof("value_type") == "null_value"
assert fields["count"]._pb.WhichOneof("value_type") == "integer_value"
values = {result.alias: result.value for result in _query_response_to_result(answer)}
print(f"avg {values['avg']!r}, count {values['count']!r} ({type(values['count']).__name__})")
assert values["avg"] == 0.0 and isinstance(values["avg"], float), "avg of nothing was 0.0 in 2.34.1"
assert isinstance(values["count"], float), "count of nothing was a float in 2.34.1"
PY
