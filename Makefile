# `make repro` and `make test` set the environment up on first use.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
PYTHON ?= python3
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup repro test lint lock clean

setup: $(READY)

# Compiled now, packages load in a third of the time in every program that comes after.
$(READY): requirements.lock pyproject.toml
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@command -v $(UV) >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

repro: $(READY)
	@classifier check
	dvc repro
	@classifier summary

test: $(READY)
	@python -m pytest -n auto

lint: $(READY)
	ruff check .
	ruff format --check .
	lint-imports
	pyright

lock: $(READY)
	$(UV) pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
		--no-emit-index-url --no-header --output-file requirements.lock pyproject.toml
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --constraint requirements.lock \
		--output-file docker/requirements.lock docker/requirements.in
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --constraint requirements.lock \
		--output-file docker/requirements-gpu.lock docker/requirements-gpu.in
	python -m classifier.core.versions

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis *.egg-info
