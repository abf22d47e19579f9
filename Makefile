# All that a checkout needs: make and a Python >= 3.11. Everything else is installed into $(VENV), once.
VENV   ?= .venv
PYTHON ?=
ARGS   ?=

BIN := $(VENV)/bin
# Kept inside the environment, so that they go with it; installing again is due when pyproject.toml changed.
DEMO_STAMP := $(VENV)/.installed-demo
TEST_STAMP := $(VENV)/.installed-test

PYTEST   := $(BIN)/pytest
# Two workers; tests of one xdist_group share a worker, and so what they have set up.
PARALLEL := -n 2 --dist loadgroup
QUICK_PATHS = tests/domain tests/graphs tests/stores/test_store_contract.py

# Twice quiet: errors alone. Nothing may ask, and there may be nobody to see a progress bar.
PIP_FLAGS := --quiet --quiet --no-input --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test quick check coverage bench soak support clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(DEMO_STAMP) ## See double texting go right, in one terminal
	$(BIN)/threadfold demo $(ARGS)

test: $(TEST_STAMP) ## Run the tests (ARGS="-k name" for some of them)
	$(PYTEST) $(PARALLEL) $(ARGS)

quick: $(TEST_STAMP) ## Run the tests of the domain and of the ports' contracts, under a minute
	$(PYTEST) $(PARALLEL) -m "not slow and not soak and not bench" $(QUICK_PATHS) $(ARGS)

check: $(TEST_STAMP) ## Run lint, format, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

coverage: $(TEST_STAMP) ## Run the tests and hold branch coverage to its marks
	$(PYTEST) $(PARALLEL) --cov --cov-report= $(ARGS)
	$(BIN)/coverage report --include='domain/*' --fail-under=100
	$(BIN)/coverage report --omit='domain/*' --fail-under=95

bench: $(TEST_STAMP) ## Measure, each figure as a ratio within the run
	$(BIN)/python tests/benchmarks/run.py $(ARGS)

soak: $(TEST_STAMP) ## Run the long campaigns
	$(PYTEST) -m soak --timeout=0 $(ARGS)

support: $(TEST_STAMP) ## Write docs/support.md again, after routes or SDKs have changed
	$(BIN)/python -m tests.support.support_matrix

clean: ## Remove caches and build outputs, not the environment
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov
	find __pycache__ domain infrastructure app tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

venv: $(BIN)/python

$(DEMO_STAMP): pyproject.toml | $(BIN)/python
	@echo "Installing threadfold and what its demo needs into $(VENV) (once) ..."
	@$(BIN)/python -m pip install $(PIP_FLAGS) --editable '.[demo]'
	@touch $@

$(TEST_STAMP): pyproject.toml | $(BIN)/python
	@echo "Installing threadfold and what its tests and checks need into $(VENV) (once) ..."
	@$(BIN)/python -m pip install $(PIP_FLAGS) --editable '.[test,dev]'
	@touch $@

# `command -v` is not enough: version managers put names on the PATH that fail when run, and some systems leave ensurepip out.
$(BIN)/python:
	@for python in $(if $(PYTHON),'$(PYTHON)',python3 python3.14 python3.13 python3.12 python3.11 python); do \
	    if "$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	        echo "Creating $(VENV) with $$("$$python" --version) ..."; \
	        exec "$$python" -m venv '$(VENV)'; \
	    fi; \
	done; \
	echo "threadfold needs Python 3.11 or newer, with its venv module (Debian: python3-venv);" >&2; \
	echo "$(if $(PYTHON),$(PYTHON) is not one.,none is on the PATH.) Name one: make PYTHON=/path/to/python3" >&2; \
	exit 1
