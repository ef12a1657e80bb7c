# Two commands do everything: `make book` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.from-lock
export RTMLOPS_ENV_FILE :=

.PHONY: help setup up down chapters chapters-twice book notebooks test test-cov lint fix format bench clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 18

setup: $(STAMP) ## Make .venv from the lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) tools/check_python.py
	@echo "Making $(VENV) from the lock: about 250 packages, 2 to 5 minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $@

up: $(STAMP) ## Start the local live stack with its services
	$(BIN)/rtmlops up --services all

down: $(STAMP) ## Stop it; data stays ('rtmlops down -v' wipes it)
	$(BIN)/rtmlops down

notebooks: $(STAMP) ## Write notebooks/ from book/chapters/
	$(BIN)/python tools/make_notebooks.py

chapters: $(STAMP) ## Run every chapter against the live stack
	$(BIN)/python tools/run_chapters.py

chapters-twice: $(STAMP) ## Run every chapter, then compare a second run with it
	$(BIN)/python tools/run_chapters.py --twice

book: $(STAMP) ## Run every chapter and render the book
	$(BIN)/python tools/build_book.py

test: $(STAMP) ## Run all tests, those against the live stack included
	$(BIN)/python tools/run_tests.py

test-cov: $(STAMP) ## The same with coverage, subprocesses included
	$(BIN)/coverage erase
	COVERAGE_RUN=1 $(BIN)/python tools/run_tests.py --ignore=tests/book
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(STAMP) ## Check style, types, layers and chapters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/lint_chapters.py
	$(BIN)/python tools/make_notebooks.py --check

fix: $(STAMP) ## Mend what can be mended by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

format: $(STAMP) ## Format the code
	$(BIN)/ruff format .

bench: $(STAMP) ## Measure throughput beside bare loops and peers
	$(BIN)/python tools/run_bench.py

clean: ## Remove what was built; the environment and the stack's data stay
	rm -rf _build build dist .pytest_cache .mypy_cache .ruff_cache .coverage .coverage.*
