# Two commands on a fresh machine: `make demo` and `make test`. Both make .venv first, from pinned versions.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINED := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint types docs readme results clean

demo: $(VENV)/.installed
	$(BIN)/savs demo

# Two processes with a thread each: the tests are many and small. What one file shares is made in one process.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	$(BIN)/mkdocs build --strict

readme: $(VENV)/.installed
	$(BIN)/python docs/update_readme.py

# The paper's tables and figures in miniature, into docs/results. What is finished is kept in build/, and not run again.
RECIPES ?= table1 table2 table3 figure3 figure4
BENCH ?= --max-test 120 --jobs 2 --dtype float32

results: $(VENV)/.installed-dev
	for recipe in $(RECIPES); do $(BIN)/savs bench $$recipe $(BENCH) -o docs/results --cells build/bench/cells --store build/bench/features || exit 1; done

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch comes first and alone: with it in place, nothing that follows can resolve another build of it.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(CONSTRAINED) torch
	$(CONSTRAINED) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(CONSTRAINED) --editable ".[dev]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	$(CONSTRAINED) --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
