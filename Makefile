# From a bare checkout: python3 (3.11 or later), make and a package registry are all that is needed.
PYTHON ?= python3
VENV := .venv
BENCH := .venv-bench
BIN := $(VENV)/bin
LOCK := pyproject.toml constraints.txt
# Some families' image processors exist for torchvision alone; it stays out of the way of all other tests.
VISION := $(VENV)/torchvision
NEED_VISION := cohere2 or lfm2 or llama4 or mistral3 or molmo2 or perception_lm or pixtral
# Tests that look at real terminals run alone; the others side by side.
ALONE := tests/terminals
JOBS ?= 2
INSTALL := -m pip --disable-pip-version-check --no-input install -q -c constraints.txt
PIP := $(BIN)/python $(INSTALL)
BENCH_PIP := $(BENCH)/bin/python $(INSTALL)

# Nothing is ever downloaded by a test.
test lint types faults fuzz: export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint types bench faults fuzz tour paper clean

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/.runtime ## Take the shipped model apart on a shipped picture; on a terminal, explore it
	@$(BIN)/flowtui demo

test: lint types $(VISION)/.ready ## Lint, types, import rules and every test
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ALONE:%=--ignore=%)
	$(BIN)/pytest $(ALONE)
	PYTHONPATH=tests/torchvision:$(VISION) $(BIN)/pytest tests/engine/families -k '$(NEED_VISION)'

lint: $(VENV)/.dev ## ruff and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

bench: $(BENCH)/.done ## Measure against the peers; prints a table (benchmarks/run.py)
	$(BENCH)/bin/python benchmarks/run.py

faults: $(VENV)/.dev ## Kills, full disks, lost lines: every promise of docs/promises.md of that kind, in full (an hour)
	$(BIN)/python -m tests.trust faults --full

fuzz: $(VENV)/.dev ## Hostile and damaged files: the other promises, in full (an hour or two)
	$(BIN)/python -m tests.trust fuzz --full

tour: $(VENV)/.dev ## Take a picture of every view of the explorer, into docs/tour
	$(BIN)/python docs/tour.py

paper: $(VENV)/.dev ## The paper's figures and table on the demo world, into docs/paper.md
	$(BIN)/python -m docs.paper

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) $(BENCH) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "flowtui needs Python 3.11 or later; $(PYTHON) is older. Try: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "This Python makes no virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The build backend comes from the constraints too, so it is installed first and builds are not isolated.
$(VENV)/.runtime: $(LOCK) | $(BIN)/python
	@echo "Installing flowtui and what it needs (once; torch is large) ..."
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation -e .
	@touch $@

$(VISION)/.ready: $(VENV)/.dev
	@$(PIP) --no-deps --upgrade --target $(VISION) torchvision
	@touch $@

$(VENV)/.dev: $(LOCK) | $(BIN)/python
	@echo "Installing flowtui and its development tools (once; torch is large) ..."
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation -e '.[dev]'
	@touch $(VENV)/.runtime $@

# The peers stay out of the environment that is tested: they bring many packages of their own.
$(BENCH)/.done: $(LOCK) benchmarks/requirements.txt
	@echo "Installing flowtui and the packages it is measured against (once; large) ..."
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH_PIP) setuptools
	@$(BENCH_PIP) --no-build-isolation -e . -r benchmarks/requirements.txt
	@touch $@
