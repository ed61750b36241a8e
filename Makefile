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

.PHONY: demo test test-all bench campaign check lint clean audit sbom

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

# Known holes in what is installed, by the snapshot in supply/; and what the wheel says that it was tested with.
audit: $(VENV)/ready
	$(BIN)/python supply/audit.py

sbom: $(VENV)/ready
	@mkdir -p dist
	$(BIN)/python supply/sbom.py > dist/ltgc.cdx.json

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Versions and files are fixed by supply/hashed.txt, which is constraints.txt with hashes; for a torch of your own, or
# another platform: make PINS=constraints.txt demo. pip is the first, as an older one looks for no hashes among
# constraints; then torch, so that nothing chooses another: its build for CPUs where one is at hand, which pip would put
# behind an index's own because it learns that file's hash only by reading it.
PINS := supply/hashed.txt
$(VENV)/ready: pyproject.toml constraints.txt supply/hashed.txt
	@test -n "$(PYTHON)" || { echo "ltgc needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	sed -n '/^pip==/,/[^\\]$$/p' $(PINS) > $(VENV)/pip.txt
	$(BIN)/pip install --quiet --quiet --requirement $(VENV)/pip.txt
	$(BIN)/pip install --quiet --quiet --constraint $(PINS) "$$(sed -n 's/^\(torch==[0-9.]*\).*/\1+cpu/p' $(PINS))" 2>/dev/null \
		|| $(BIN)/pip install --quiet --quiet --constraint $(PINS) torch
	$(BIN)/python supply/wanted.py > $(VENV)/wanted.txt
	$(BIN)/pip install --quiet --quiet --constraint $(PINS) --requirement $(VENV)/wanted.txt
	$(BIN)/pip install --quiet --quiet --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build *.egg-info
