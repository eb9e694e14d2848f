# make demo    train on real cells, generate 5,000, compare       make demo DATA=my.h5ad LABELS=cell_type
# make test    the tests                                          make test ARGS="-k sampler -x"
# make notebooks  the tutorials with small numbers, as a check   make notebooks ARGS="--write trust" renews outputs
# Also: install, lint, format, types, docs, links, notebooks, dist, clean.
#
# PYTHON  the interpreter the environment is made from (3.11 or newer)
# TORCH   the torch requirement, installed first: a CPU wheel of your own satisfies the package's requirement
# VENV    where the environment is made

PYTHON ?= python3
TORCH ?= torch
VENV ?= .venv
DATA ?=
LABELS ?=
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# a page that a script writes is left as it is written
PAGES = $(filter-out docs/benchmarks.md,$(wildcard *.md docs/*.md docs/design/*.md))

.PHONY: install demo test lint format types docs links notebooks dist clean
.DELETE_ON_ERROR:

install: $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/python scripts/demo.py $(if $(DATA),--data "$(DATA)") $(if $(LABELS),--labels "$(LABELS)") $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mdformat --check $(PAGES)
	$(BIN)/codespell
	$(BIN)/python scripts/long_sentences.py

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mdformat $(PAGES)

types: $(VENV)/.installed-dev
	$(BIN)/mypy

docs: $(VENV)/.installed-doc
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

links: $(VENV)/.installed-doc
	$(BIN)/python -m sphinx -q -b linkcheck docs docs/_build/links

notebooks: $(VENV)/.installed-doc
	$(BIN)/python scripts/notebooks.py $(ARGS)

dist: $(VENV)/.installed-release
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

clean:
	rm -rf $(VENV) demo dist docs/_build docs/generated .pytest_cache .mypy_cache .ruff_cache

# Stamps: an installation is repeated only when pyproject.toml has changed.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "scdit needs Python 3.11 or newer; name one, as in: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv "$(VENV)"
	$(PIP) install --upgrade "pip>=25.1"
	$(PIP) install "$(TORCH)"
	$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(PIP) install --group $*
	@touch $@
