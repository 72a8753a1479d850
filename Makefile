# Runs the service and its tests. Needs Python >= 3.11, make and a C library.
PORT ?= 8000
PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3,$(shell $(p) -c 'import sys, venv, ensurepip; print("$(p)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
# The environment whose tools are run. `tests/matrix.py` makes others, with other versions of Django.
VENV ?= .venv
BIN := $(VENV)/bin
# The environments of the adapters' tests, each with the frameworks of a file of requirements.
ADAPTERS := .venv-adapters
CREWAI := .venv-crewai
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Two workers, random order. A worker keeps the tests of a module together, whose fixtures are then set up once.
# PYTEST_ARGS (for example "-x -k admin") is passed to every run.
PYTEST = $(BIN)/python -m pytest --numprocesses=2 --dist=worksteal $(PYTEST_ARGS)
# Tests of behaviour that is the same on every engine. `make test` runs the first list on Firestore, `make test-firestore` the
# second. LEFT_FOR_LATER are tests that start servers or take minutes.
ON_EVERY_ENGINE = tests/models tests/test_distances.py tests/api tests/admin tests/interchange \
  tests/search/test_recall.py tests/search/test_embedding.py tests/search/test_stored.py \
  tests/health/test_views.py tests/cache/test_history.py tests/orchestra/test_demo.py tests/mcp tests/access tests/querysets
ALL_ON_EVERY_ENGINE = $(wildcard tests/test_*.py) tests/models tests/sealing tests/api tests/admin tests/interchange \
  tests/search tests/health tests/cache tests/stores tests/contract tests/orchestra tests/mcp tests/access tests/querysets
LEFT_FOR_LATER = $(foreach name,api/test_fuzz api/test_served api/test_installed api/test_browser api/test_schema \
  admin/test_browser interchange/test_documentation interchange/test_memory \
  interchange/test_frames interchange/test_formats,--ignore=tests/$(name).py)
# What Django's version cannot change is tested on one: random requests against the API's schema, packages that replace
# templates, servers, and the dark theme, which has the pages of the light one.
ON_ONE_VERSION = $(foreach name,api/test_fuzz api/test_browser api/test_served admin/test_unfold,--ignore=tests/$(name).py) \
  $(foreach name,test_accessibility_and_requests[dark-390] test_pages_fit_the_screen_and_run_no_markup[dark-1280] \
  test_pages_fit_the_screen_and_run_no_markup[dark-390],"--deselect=tests/admin/test_browser.py::$(name)")

.PHONY: run test coverage test-matrix test-others test-suites test-core test-firestore test-adapters test-typescript check audit format docs links bench wheel changelog lock

run: .venv/service  ## Serve on PORT (8000); the first start loads demo data and creates an admin
	@$(BIN)/python manage.py bootstrap --port $(PORT)
	@exec $(BIN)/python manage.py runserver --noreload $(PORT)

test: .venv/develop  ## Run all checks and tests
	$(MAKE) --no-print-directory check
	$(MAKE) --no-print-directory test-suites

coverage: .venv/develop  ## Run the tests of the app on SQLite, and print the lines that none of them runs
	$(PYTEST) --cov --cov-report=term-missing:skip-covered

test-matrix: .venv/develop  ## Run all tests on every version of Django that a Python here supports
	$(BIN)/python -m tests.matrix test-suites --all

test-others: .venv/develop  ## Run the tests of the engine, models, API and admin on the versions that .venv does not have
	$(BIN)/python -m tests.matrix test-core

test-suites:
	$(PYTEST) --ds=tests.engine.settings --confcutdir=tests/engine tests/engine
	$(PYTEST) --ds=tests.firestore_only.settings --confcutdir=tests/firestore_only tests/firestore_only
	MEMORY_TEST_ENGINE=firestore $(PYTEST) -m "not embedded and not long" $(LEFT_FOR_LATER) $(ON_EVERY_ENGINE)
	$(PYTEST)

test-core:
	$(PYTEST) --ds=tests.engine.settings --confcutdir=tests/engine tests/engine
	MEMORY_TEST_ENGINE=firestore $(PYTEST) -m "not embedded and not long" tests/models tests/api/test_crud.py
	$(PYTEST) $(ON_ONE_VERSION) $(wildcard tests/test_*.py) tests/models tests/sealing tests/sqlite tests/testing \
	  tests/project/test_costs.py tests/api tests/admin tests/deploy/test_installed_elsewhere.py

test-firestore: .venv/develop  ## Run the app's tests on Firestore's emulator: about ten minutes
	MEMORY_TEST_ENGINE=firestore $(PYTEST) -m "not embedded" $(ALL_ON_EVERY_ENGINE)

test-adapters: $(ADAPTERS)/ready $(CREWAI)/ready  ## Run the adapters' tests and the frameworks' suites: docs/adapters/conformance.md
	@failed=0; for environment in $(ADAPTERS) $(CREWAI); do \
	  $$environment/bin/python -m tests.adapters.run $(PYTEST_ARGS) || failed=1; \
	done; exit $$failed

test-typescript: .venv/develop  ## Build the TypeScript client and run it against the service; needs Node.js 20 and npm
	cd clients/typescript && npm ci --no-audit --no-fund
	$(PYTEST) tests/clients/test_typescript.py

check: .venv/develop  ## Run the linters, the type checker and the index check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py firestore_indexes --database memory --check

audit: .venv/develop  ## Look up known vulnerabilities of the pinned packages, and check the workflows
	$(BIN)/python -m tests.audit

format: .venv/develop  ## Fix and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/develop  ## Build the documentation site in build/docs/
	$(BIN)/python -m sphinx -W --keep-going -q -b html -c docs -d build/doctrees . build/docs

links: .venv/develop  ## Request every external link of the documentation
	$(BIN)/python -m sphinx -q -b linkcheck -c docs -d build/doctrees . build/links

bench: .venv/develop  ## Measure the engine, the cache and search, and name missed bars: docs/performance.md
	@missed=; \
	bench() { echo "$$*"; $(BIN)/python "$$@" || missed="$$missed $$2"; }; \
	bench -m benchmarks.engine --rounds 7 --iterate 100000; \
	bench -m benchmarks.floors; \
	bench -m benchmarks.verbs; \
	bench -m benchmarks.api; \
	bench -m benchmarks.turns; \
	bench -m benchmarks.cache; \
	bench -m benchmarks.worker_memory --seconds 120; \
	bench -m benchmarks.search; \
	if [ -n "$$missed" ]; then echo "Missed bars, or failed:$$missed"; exit 1; fi

wheel: .venv/develop  ## Build the wheel in dist/
	$(BIN)/python -m build --wheel --outdir dist .

changelog: .venv/develop  ## Move the fragments of changelog.d/ into CHANGELOG.md
	$(BIN)/towncrier build --yes --version "$$($(BIN)/python -c 'from memory.version import __version__; print(__version__)')"

lock: .venv/develop  ## Resolve requirements*.in into requirements*.txt
	for name in requirements requirements-dev requirements-adapters requirements-crewai; do \
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

$(ADAPTERS)/ready: requirements-adapters.txt
$(CREWAI)/ready: requirements-crewai.txt
$(ADAPTERS)/ready $(CREWAI)/ready: requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python >= 3.11 with venv is needed; set PYTHON=/path/to/python." >&2; exit 1; }
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -r requirements.txt -r requirements-dev.txt
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -r $(filter-out requirements.txt requirements-dev.txt,$^)
	@touch $@
