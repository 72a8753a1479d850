#!/usr/bin/env bash
# google-cloud-firestore 2.34.1 (google-api-core's DatetimeWithNanoseconds): a timestamp before 1970 that has a fraction of a
# second comes back one second later each time that a document is read and written unchanged.
#
# Firestore's wire form counts nanoseconds forward from the second: -1.5 s is seconds=-2, nanos=500000000. Reading keeps that;
# encoding the value that was read truncates -1.5 towards zero and adds the fraction again.
# A plain datetime of the same instant is encoded correctly. Output seen: "read -2.500000000, written -1.500000000".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check google-cloud-firestore==2.34.1 2>/dev/null
"$folder/venv/bin/python" - <<'PY'
import datetime

from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.cloud.firestore_v1 import _helpers
from google.protobuf.timestamp_pb2 import Timestamp


def written(value):
    stamp = _helpers.encode_value(value)._pb.timestamp_value
    return stamp.seconds, stamp.nanos


stored = Timestamp(seconds=-2, nanos=500_000_000)  # 1969-12-31T23:59:58.5Z
read = DatetimeWithNanoseconds.from_timestamp_pb(stored)
plain = datetime.datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=datetime.timezone.utc)
print(f"read {stored.seconds}.{stored.nanos}, written {written(read)[0]}.{written(read)[1]}")
assert read == plain
assert written(plain) == (-2, 500_000_000), "a plain datetime was encoded correctly in 2.34.1"
assert written(read) == (-1, 500_000_000), "the value that was read moved by one second in 2.34.1"
PY
