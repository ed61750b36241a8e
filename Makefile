# make demo   the main job, from nothing: describe … eval on real handwriting, with a table and a contact sheet
# make test   the gate: linter, types, import order, tests
# make bench  the speed of whole commands, as ratios of two things timed in turns; on a machine with nothing else to do
# make campaign  an hour of attacks on what docs/reliability.md promises, with a table of what was found
# All set up .venv first; a second run starts at once.

VENV := .venv
BIN := $(VENV)/bin
# The first Python that is new enough; set PYTHON to choose another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# Two busy pools of threads on two cores are ten times slower than one thread each.
export OMP_NUM_THREADS := 1

.PHONY: demo test test-all bench campaign check lint clean

demo: $(VENV)/ready
	$(BIN)/ltgc demo

test: check

# The slow ones too: the whole demonstration, some minutes.
test-all: lint
	$(BIN)/pytest -m "not gpu"

# A quarter of an hour. Those of whole sizes are typed one by one: benchmarks/README.md.
bench: $(VENV)/ready
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/language.py
	$(BIN)/python benchmarks/language.py --tokens
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/near.py
	$(BIN)/python benchmarks/drawing.py
	$(BIN)/python benchmarks/scoring.py --images 128 --turns 3
	$(BIN)/python benchmarks/train_step.py --turns 3
	$(BIN)/python benchmarks/loader.py

# atheris, where there is a wheel of it, guides the mutated inputs by the code that they reach. CAMPAIGN="--only kills"
campaign: $(VENV)/ready
	-$(BIN)/pip install --quiet --quiet --constraint constraints.txt --editable '.[campaign]'
	$(BIN)/python tests/campaigns/campaign.py $(CAMPAIGN)

check: lint
	$(BIN)/pytest

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Versions are fixed by constraints.txt; torch comes first so that nothing chooses another for us.
$(VENV)/ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "ltgc needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --quiet --upgrade pip
	$(BIN)/pip install --quiet --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build *.egg-info
