# `make` lists what there is. Needs Python 3.11 and make; everything else goes into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults fuzz check audit bench calibration golden reliability docs screenshots clean

BIN := .venv/bin
READY := .venv/.ready
SOURCES := platform dashboards tests benchmarks

# Two processes run the tests. The slow ones start servers for a whole file, so a file stays together.
# What takes minutes by itself is marked `long` and is run by test-faults.
QUICK_TESTS := $(wildcard tests/unit tests/statistical tests/architecture tests/golden tests/fuzz)
SLOW_TESTS := $(wildcard tests/integration tests/browser tests/security tests/deploy)
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

help:  ## List these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' \
	  | while IFS=$$'\t' read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

setup: $(READY)  ## Make .venv and install isthmus with its pinned dependencies

$(READY): pyproject.toml constraints.txt
	@python=$$(for name in "$${PYTHON:-python3.11}" python3.11 python3 python; do \
	  if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' \
	    2>/dev/null; then echo "$$name"; break; fi; done); \
	if [ -z "$$python" ]; then \
	  echo "isthmus needs Python 3.11 with its venv module; found: $$(python3 --version 2>/dev/null || echo none)." >&2; \
	  echo "Install it (Debian: python3.11-venv), or name it: make setup PYTHON=/path/to/python3.11" >&2; \
	  exit 1; fi; \
	if ! $(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; \
	  then echo "Making .venv with $$($$python --version)."; "$$python" -m venv .venv; fi
	@echo "Installing the dependencies of constraints.txt into .venv; the first time takes minutes."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[dev]'
	@touch $@
	@echo "isthmus is ready: $(BIN)/isthmus --help"

demo: $(READY)  ## Run everything on a made-up cohort, in minutes; results in demo/
	@$(BIN)/isthmus demo --output demo

test: $(READY)  ## Run the tests: the quick ones, then those that start Ray, MLflow, a browser
	@$(PYTEST) --dist worksteal -m 'not long' $(QUICK_TESTS)
	@$(PYTEST) --dist loadfile -m 'not long' $(SLOW_TESTS)

test-faults: $(READY)  ## Run the long tests: several nodes, faults, load, fuzzing, simulations
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m alone tests/integration tests/faults
	@$(PYTEST) --dist loadfile -m 'long and not alone' tests
	@$(MAKE) --no-print-directory fuzz FUZZ_INPUTS=25000

FUZZ_INPUTS := 100000
fuzz: $(READY)  ## Try 100,000 inputs on each reader by each engine, and print what came of them
	@ISTHMUS_FUZZ_INPUTS=$(FUZZ_INPUTS) $(PYTEST) --dist worksteal tests/fuzz

check: $(READY)  ## Check style, types, import contracts, spelling and the docstrings' examples
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell
	@$(BIN)/python tests/security/audit.py
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --doctest-modules platform/isthmus dashboards/isthmus_dashboard

audit: $(READY)  ## Check pins, licences, declared imports and, where it can be asked, known holes
	@$(BIN)/python tests/security/audit.py

bench: $(READY)  ## Measure convolutions, a training step, reading, the robustness job and a search, briefly
	@$(BIN)/python benchmarks/convolution.py
	@$(BIN)/python benchmarks/training_step.py
	@$(BIN)/python benchmarks/input.py
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/robustness.py
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/orchestration.py --trials 12

calibration: $(READY)  ## Run the simulations of tests/statistical and draw the figures of docs/statistics.md
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	  ISTHMUS_CALIBRATION=$$folder OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal --timeout 0 tests/statistical; \
	  $(BIN)/python tests/statistical/calibration_figures.py "$$folder" docs/images

golden: $(READY)  ## Rewrite the golden files; look at the difference before committing it
	@ISTHMUS_WRITE_GOLDEN=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/golden
	@for script in tests/golden/regenerate_*.py; do OMP_NUM_THREADS=1 $(BIN)/python $$script --write; done
	@git --no-pager diff --stat -- tests/golden

reliability: $(READY)  ## Break what studies run on, and rewrite the tables of docs/reliability.md; needs root
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	  ISTHMUS_RELIABILITY=$$folder OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/faults \
	    -k 'nodes or services or elastic'; \
	  $(BIN)/python tests/faults/reliability_table.py "$$folder" docs/reliability.md

docs: $(READY)  ## Rewrite docs/configuration.md from the settings themselves
	@$(BIN)/python -m isthmus.config.reference docs/configuration.md

screenshots: $(READY)  ## Take the pictures of MLflow's pages and of the live view in docs/images anew; needs Chromium
	@ISTHMUS_SCREENSHOTS=$(CURDIR)/docs/images ISTHMUS_SCREENSHOTS_OF="one screen" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q \
	  tests/browser/test_mlflow_ui.py tests/browser/test_dashboard.py

clean:  ## Remove caches and the demo's output; leaves .venv, runs and stores
	@rm -rf demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find platform tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
