# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
# Needs Python >= 3.11, make and git. The environment is made in .venv; uv is fetched into .cache where it is missing.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(shell command -v uv 2>/dev/null || echo .cache/uv/bin/uv)
PIP := tools/bootstrap/pip-25.3-py3-none-any.whl/pip
GROUPS ?= dev

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-clients test-crash differential examples lint types layers docs docs-check bench reference lock wheel wheel-check tutorial how-to clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

.cache/uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Kloster needs Python 3.11 or newer; found: $$($(PYTHON) --version 2>&1). Set PYTHON=..."; exit 1; }
	@echo "fetching uv into .cache"
	@$(PYTHON) $(PIP) install --quiet --root-user-action=ignore --require-hashes --no-deps --target .cache/uv -r tools/bootstrap/uv.txt

$(READY): pyproject.toml requirements.lock | $(if $(findstring .cache,$(UV)),.cache/uv/bin/uv)
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	@VIRTUAL_ENV=$(VENV) $(UV) pip sync --quiet --require-hashes requirements.lock
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(READY) ## make the environment in .venv

demo: $(READY) ## a host, a virtual cluster and a real application in it, checked and cleaned up
	@$(BIN)/kloster demo

test: $(READY) ## every test that needs Python alone
	$(BIN)/python -m pytest -m "not clients and not crash" -n 2 --dist loadfile

test-crash: $(READY) ## kill the process under load, fifty times and on a disk that loses unsynced writes
	$(BIN)/python -m pytest -m crash

test-clients: $(READY) ## kubectl, Go and Python clients that nobody here wrote
	@command -v go >/dev/null || { echo "test-clients needs Go 1.24 or newer on PATH (it builds kubectl and the Go clients)"; exit 1; }
	$(BIN)/python -m pytest -m clients tests/clients

differential: $(READY) ## the generated requests, recorded anew from real API servers (MINORS=1.34, needs Go) and compared
	@for minor in $(or $(MINORS),1.34); do \
	  $(BIN)/python -m tests.differential.generated record $$minor $(ARGS) || exit 1; \
	  $(BIN)/python -m tests.differential.generated compare $$minor || exit 1; done

examples: $(READY) ## the operator of examples/, tested in all Kubernetes versions
	cd examples/greeter && ../../$(BIN)/python -m pytest -q --kubernetes-versions=all -n 2

lint: $(READY) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy --strict
	$(BIN)/mypy

layers: $(READY) ## import contracts
	$(BIN)/lint-imports --no-cache

docs: $(READY) ## regenerate the reference pages
	$(BIN)/python tools/docs/generate.py

docs-check: $(READY) ## the reference pages are up to date, links work, every command and setting is documented
	$(BIN)/python tools/docs/generate.py --check

bench: $(READY) ## all figures of docs/benchmarks.md (one file a figure: bench/*.py)
	@for file in bench/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

reference: $(READY) ## make reference VERSION=1.34 [ARGS="--server-kubeconfig F"]: all data of a minor (CONTRIBUTING.md)
	@test -n "$(VERSION)" || { echo "say which minor: make reference VERSION=1.34"; exit 1; }
	$(BIN)/python -m tools.reference $(VERSION) $(ARGS)

lock: ## refresh requirements.lock (with hashes) from pyproject.toml
	$(UV) lock --quiet --upgrade
	$(UV) export --quiet --all-groups --no-emit-project --no-annotate --no-header --format requirements-txt -o requirements.lock

wheel: $(READY) ## build dist/*.whl
	@rm -f dist/*.whl
	$(UV) build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist .

wheel-check: wheel ## the wheel is small, imported fast, and works: installed, and by uvx
	$(BIN)/python tools/check_wheel.py dist/*.whl --uv $(UV) --python $(PYTHON)

tutorial: $(READY) ## follow docs/tutorial.md literally
	@command -v kubectl >/dev/null || { echo "make tutorial needs kubectl on PATH, as the tutorial does"; exit 1; }
	$(BIN)/python tools/docs/follow.py docs/tutorial.md --skip "## "

how-to: wheel ## follow the how-tos for testing literally, each in an empty environment
	@command -v go >/dev/null || { echo "make how-to needs Go 1.24 or newer on PATH, as one of the pages does"; exit 1; }
	$(BIN)/python tools/docs/empty.py --wheel dist/*.whl --uv $(UV) $(addprefix docs/how-to/test-your-,operator.md controller.md go-operator.md)

clean: ## remove what make made
	rm -rf $(VENV) .cache dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
