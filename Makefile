# Needs make and Python 3.11 or newer; everything else goes into .venv, from requirements/*.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two more than there are cores: tests that start servers wait for them half of the time. These come
# first, in the order of the folders, so that no long one is left over at the end.
PROCESSES = $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 2)')
CODE := $(wildcard src tests tools examples benchmarks docs)

export PORT ?= 8000
export EXAMPLE ?= blog

.PHONY: help run test lint types bench faults soak lock clean
.NOTPARALLEL:

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s  %s\n", $$1, $$2 }' Makefile

run: $(VENV)/run.stamp  ## Serve an example; PORT, DATABASE_URL, EXAMPLE=blog|cars|quickstart
	@exec $(BIN)/python -m examples

test: lint types  ## Check style, types and layers, and run all tests; ARGS go to pytest
	@echo "== Tests (pytest)"
	@$(BIN)/python -m pytest --numprocesses=$(PROCESSES) --dist=loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/dev.stamp  ## Check style, format and layers
	@echo "== Style (ruff check)"
	@$(BIN)/ruff check $(CODE)
	@echo "== Format (ruff format)"
	@$(BIN)/ruff format --check $(CODE)
	@echo "== Layers (import-linter)"
	@$(BIN)/lint-imports --no-logo

types: $(VENV)/dev.stamp  ## Check types
	@echo "== Types (mypy)"
	@$(BIN)/mypy $(CODE)

bench: $(VENV)/dev.stamp  ## Measure Carboy beside its peers: 30 minutes at most; ARGS
	@$(BIN)/python -m benchmarks $(ARGS)

faults: $(VENV)/dev.stamp  ## Let every fault happen three times, under load
	@$(BIN)/python -m tests.faults --publish $(ARGS)

soak: $(VENV)/dev.stamp  ## Load a server for MINUTES=30, and see whether anything grows
	@$(BIN)/python -m tests.faults.soak --publish $(ARGS)

lock: $(VENV)/dev.stamp  ## Bring requirements/*.lock up to the newest versions
	@$(BIN)/python -m pip install -qq uv
	@$(COMPILE) --all-extras --group dev --output-file requirements/dev.lock
	@$(COMPILE) --extra postgresql --extra server --group run \
		--constraint requirements/dev.lock --output-file requirements/run.lock
	@$(COMPILE) --all-extras --group run \
		--constraint requirements/dev.lock --output-file requirements/deploy.lock
	@$(COMPILE) --group bench \
		--constraint requirements/dev.lock --output-file requirements/bench.lock

COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-annotate --custom-compile-command "make lock"

clean:  ## Remove .venv, caches and what was built
	@rm -rf $(VENV) .venv-bench build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp says that $(VENV) holds the lock of the same name and Carboy itself, editable.
$(VENV)/%.stamp: requirements/%.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Carboy needs Python 3.11 or newer. Name one: make PYTHON=python3.13 ..." >&2; exit 1; }
	@echo "Installing $< into $(VENV) (once; takes a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r $<
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
		--no-deps --no-build-isolation --editable .
	@touch $@
