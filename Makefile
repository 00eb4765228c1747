# What CI runs and what the README names. POSIX systems; on Windows run the commands of a target by hand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One worker for each processor. Under load a test case may take any time: that profile sets no deadline.
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4 --dist loadgroup --hypothesis-profile ci

.PHONY: demo test lint bench clean

demo: $(VENV)/installed  ## the main job on a database of 200 MB that it makes
	$(BIN)/python benchmarks/demo.py

test: $(VENV)/installed  ## every test: quick ones with branch coverage, then those with real servers or many cases, then alone
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -m 'not (real or many or alone)' $(SIDE_BY_SIDE)
	$(BIN)/python -m pytest -m '(real or many) and not alone' $(SIDE_BY_SIDE)
	$(BIN)/python -m pytest -m alone
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: $(VENV)/installed  ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/installed  ## the figures of the README
	$(BIN)/python benchmarks/bench_offload.py
	$(BIN)/python benchmarks/bench_s3.py
	$(BIN)/python benchmarks/bench_fleet.py
	$(BIN)/python benchmarks/bench_scale.py
	$(BIN)/python benchmarks/bench_marks.py
	$(BIN)/python benchmarks/bench_opencode.py
	$(BIN)/python benchmarks/bench_sessions.py
	$(BIN)/python benchmarks/bench_watch.py
	$(BIN)/python benchmarks/bench_databases.py
	$(BIN)/python benchmarks/bench_mirror.py

clean:
	rm -rf $(VENV) .cache .coverage* demo build dist

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
