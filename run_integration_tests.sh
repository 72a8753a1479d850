#!/usr/bin/env bash
# Tests the stores on real backends: an emulator and a Redis that the tests start, or the services that these variables name:
#   GCP_PROJECT_ID (and GCP_SA_KEY_JSON or GCP_SA_KEY_PATH) with INTEGRATION_TEST_DATABASE, REDIS_HOST (REDIS_PORT, REDIS_PASSWORD).
# Arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-.venv/bin/python}
[ -x "$(command -v "$python")" ] || make --no-print-directory .venv/develop
export MEMORY_INTEGRATION=1
exec "$python" -m pytest tests/integration "$@"
