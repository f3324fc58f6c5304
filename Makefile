# Every target makes the environment that it needs. Another interpreter: make PYTHON=python3.12 ...
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: search test slow lint bench docs clean

search: $(VENV)/.installed  ## the main job: search the bundled supernet
	$(BIN)/qfa-search --max-mflops 20

test: $(VENV)/.installed-dev  ## the quick tests, a file at a time on every core
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist loadfile

slow: $(VENV)/.installed-dev  ## the slow tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist loadfile -m slow

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev  ## processor time of a search, part by part
	$(BIN)/python -m benchmarks.search_speed --out runs/bench

docs: $(VENV)/.installed-docs  ## the site of the documentation, in site/
	$(BIN)/python -m mkdocs build --strict --quiet

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) site build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
