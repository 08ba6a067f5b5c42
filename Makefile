# Two commands from nothing: `make song` and `make test`. Only Python ≥ 3.10 and a package index are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: song test lint format clean

song: $(VENV)/.installed
	@$(BIN)/heartlib generate --lyrics-file assets/lyrics.txt --tags-file assets/tags.txt --output song.mp3 --overwrite

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu and not full_size"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python --level error

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch first and pinned: an unpinned one brings gigabytes of GPU packages to a machine without a GPU.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "heartlib needs Python 3.10 or newer; name one with `make PYTHON=python3.12 …`")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache src/*.egg-info
