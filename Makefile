# Two commands matter: `make compare` (the main job) and `make test` (all fast tests).
# Both create .venv on first use; a second run installs nothing.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Two environments beside .venv, each with its Python and its constraints-*.txt.
PYTHON_oldest ?= python3.11
PYTHON_newest ?= python3.13
VERSIONS := oldest newest
TESTS ?=

.PHONY: compare test test-slow test-versions check docs format clean help

help:
	@echo "make compare        parity, timing, training and the guide on four experiments"
	@echo "make test           the fast tests"
	@echo "make test-slow      the tests that take minutes"
	@echo "make test-versions  the fast tests with the oldest and the newest versions of libraries"
	@echo "make check          ruff, ruff format, mypy"
	@echo "make docs           the documentation site, in build/site; a warning is an error"

$(STAMP): pyproject.toml constraints.txt
	@echo "installing into $(VENV): a minute or a few, once"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	@touch $@

$(VENV)/.docs-installed: $(STAMP)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --group docs
	@touch $@

compare: $(STAMP)
	@$(BIN)/python -m comparisons.compare

test: $(STAMP)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: $(STAMP)
	@$(BIN)/python -m pytest -m slow --timeout 1800 -n $(WORKERS) --dist loadfile --no-loadscope-reorder

build/versions/%/.installed: constraints-%.txt pyproject.toml
	@echo "installing the $* versions into build/versions/$*: some minutes, once"
	@$(PYTHON_$*) -m venv build/versions/$*
	@build/versions/$*/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	@build/versions/$*/bin/python -m pip install --quiet --constraint $< --editable ".[all]" --group dev
	@touch $@

test-versions: $(VERSIONS:%=build/versions/%/.installed)
	@status=0; for each in $(VERSIONS); do \
		echo "with the $$each versions"; \
		build/versions/$$each/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS) \
			|| status=1; \
	done; exit $$status

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs-installed
	$(BIN)/python -m sphinx -c docs -d build/doctrees -W --keep-going -q . build/site

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
