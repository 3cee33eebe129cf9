# Everything a user or developer runs. Needs only Python 3.11 or newer and make.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
TESTS := NPROC=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-all lint format types imports benchmark lock clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/runtime ## simulate a clinic, train, forecast unseen patients: demo/
	$(BIN)/python examples/demo.py --out demo

test: $(VENV)/dev ## every test of the short tier (sixteen minutes on two cores, nothing compiled)
	$(TESTS) -m "not long and not benchmark"

test-all: $(VENV)/dev ## the short and the long tier
	$(TESTS) -m "not benchmark"

lint: $(VENV)/dev ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/dev ## let ruff mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/dev ## static types
	$(BIN)/pyright

imports: $(VENV)/dev ## the import contract between rooms
	$(BIN)/lint-imports --no-logo

benchmark: $(VENV)/dev ## make benchmark TASK=name regenerates benchmarks/name/results.json
	@test -n "$(TASK)" || { echo "Name a task: make benchmark TASK=... (one of:" \
		$$(cd benchmarks 2>/dev/null && ls -d */ | tr -d /)")"; exit 2; }
	$(BIN)/python -m benchmarks.$(TASK).run

# Two views of one resolution: what a user needs, and the same pins with tests and tools added.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-header --group build pyproject.toml
lock: $(VENV)/dev ## resolve the dependencies anew: requirements.lock, requirements-dev.lock
	$(LOCK) --upgrade --extra test --extra dev --output-file requirements-dev.lock
	$(LOCK) --upgrade --constraint requirements-dev.lock --output-file requirements.lock

clean: ## remove the environment, caches and the demo's output
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .import_linter_cache build dist demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an environment is installed anew only when the lock or the metadata changed. The
# package is installed editable, so an edited source needs no second installation.
$(VENV)/python:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "LatentPK needs Python 3.11 or newer; found: $$($(or $(PYTHON),python3) --version 2>&1)."; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

define install
	$(BIN)/python -m pip install --quiet --require-hashes -r $(1)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
endef

$(VENV)/runtime: $(VENV)/python requirements.lock pyproject.toml
	@echo "Installing LatentPK into $(VENV) (a minute or two) ..."
	$(call install,requirements.lock)

$(VENV)/dev: $(VENV)/python requirements-dev.lock pyproject.toml
	@echo "Installing LatentPK with its tests and tools into $(VENV) (a minute or two) ..."
	$(call install,requirements-dev.lock)
