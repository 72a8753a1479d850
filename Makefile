# The service and its tests, on a machine that has Python >= 3.11, make and a C library.
PORT ?= 8000
PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3,$(shell $(p) -c 'import sys, venv, ensurepip; print("$(p)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Two workers, random order; PYTEST_ARGS="-x -k admin" and the like go to every run.
PYTEST = $(BIN)/python -m pytest --numprocesses=2 $(PYTEST_ARGS)
# What the app must do alike on every engine: what `make test` runs on Firestore, but for what serves from processes of
# their own or takes minutes; and all of it.
ON_EVERY_ENGINE = tests/unit/test_models.py tests/unit/test_distances.py tests/api tests/admin tests/interchange \
  tests/search/test_recall.py tests/search/test_embedding.py tests/search/test_stored.py \
  tests/health/test_endpoints.py tests/cache/test_history.py
ALL_ON_EVERY_ENGINE = tests/unit tests/api tests/admin tests/interchange tests/search tests/health tests/cache \
  tests/stores tests/contract
LEFT_FOR_LATER = $(foreach name,api/test_fuzz api/test_served api/test_installed api/test_browser api/test_schema \
  admin/test_browser interchange/test_first_start interchange/test_documentation interchange/test_memory \
  interchange/test_frames interchange/test_formats,--ignore=tests/$(name).py)

.PHONY: run test test-firestore check format bench wheel lock

run: .venv/service  ## Serve on PORT (8000); on first start with a demonstration and an admin
	@$(BIN)/python manage.py bootstrap --port $(PORT)
	@exec $(BIN)/python manage.py runserver --noreload $(PORT)

test: .venv/develop  ## Every check and every test
	$(MAKE) --no-print-directory check
	$(PYTEST) --ds=tests.engine.settings --confcutdir=tests/engine tests/engine
	$(PYTEST) --ds=tests.firestore_only.settings --confcutdir=tests/firestore_only tests/firestore_only
	MEMORY_TEST_ENGINE=firestore $(PYTEST) -m "not embedded and not long" $(LEFT_FOR_LATER) $(ON_EVERY_ENGINE)
	$(PYTEST) --cov --cov-report=term

test-firestore: .venv/develop  ## All that the app does on every engine, on Firestore: some ten minutes
	MEMORY_TEST_ENGINE=firestore $(PYTEST) -m "not embedded" $(ALL_ON_EVERY_ENGINE)

check: .venv/develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py firestore_indexes --database memory --check

format: .venv/develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/develop  ## The engine beside Google's client, the cache beside none, and search: docs/performance.md
	$(BIN)/python -m benchmarks.engine --rounds 7 --iterate 100000
	$(BIN)/python -m benchmarks.cache
	$(BIN)/python -m benchmarks.search

wheel: .venv/develop  ## The app for other projects, in dist/
	$(BIN)/python -m build --wheel --outdir dist .

lock: .venv/develop  ## Pin anew what requirements*.in name
	for name in requirements requirements-dev; do \
	  $(BIN)/pip-compile --quiet --upgrade --strip-extras --no-annotate --no-header --no-emit-index-url \
	    --no-emit-find-links --no-emit-options -o $$name.txt $$name.in || exit 1; \
	done

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python >= 3.11 with venv is needed; set PYTHON=/path/to/python." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/service: .venv/bin/python requirements.txt
	$(PIP) install -r requirements.txt
	@touch $@

.venv/develop: .venv/service requirements-dev.txt
	$(PIP) install -r requirements.txt -r requirements-dev.txt
	@touch $@
