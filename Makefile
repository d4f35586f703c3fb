# Two commands from nothing: `make run` and `make test`. Both set up a virtual environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1

.PHONY: run test lint bench zoo clean

# Evaluate the bundled nano on the whole world suite at 0, 1 and 4 shots, and print the table.
run: $(VENV)/ready
	$(BIN)/evalkit run --model nano --tasks world --shots 0,1,4

test: $(VENV)/ready lint
	$(BIN)/python -m pytest

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/ready
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only

# Train the bundled nano anew (about six minutes on one core) and put it into the package.
zoo: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/evalkit train --size nano --corpus world --tokens 8M --out checkpoints/nano
	$(BIN)/python -c "from pathlib import Path; from evalkit.model import weights; \
	    weights.copy(Path('checkpoints/nano'), Path('evalkit/zoo/nano'))"

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
