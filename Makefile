# The two commands that do everything on a fresh machine: `make train` and `make test`. PYTHON may name a Python >= 3.11.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test check format docs clean

train: .venv.stamp
	$(BIN)/equipoise train --minutes 5 --out runs/first
	$(BIN)/equipoise evaluate runs/first
	$(BIN)/equipoise report runs/first

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

check: .venv.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv.docs.stamp
	$(BIN)/python scripts/build_docs.py

# What the site is built with comes on top of the development environment, when it is first asked for.
.venv.docs.stamp: .venv.stamp
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch .venv.docs.stamp

# The development environment, pinned by constraints.txt; made again when what it is made from changes.
.venv.stamp: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'equipoise needs Python 3.11 or newer; try make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch .venv.stamp

clean:
	rm -rf .venv .venv.stamp .venv.docs.stamp build/site build/site.pages
